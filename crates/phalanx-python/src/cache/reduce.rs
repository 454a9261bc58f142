//! Objects that only their pickle tells the contents of: `__reduce_ex__` and what it returns.

use crate::once::{MadeOnce, intern};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyModule, PyString, PyTuple};

use super::walk::{Walk, Written, write_bytes};

/// The newest protocol whose state holds buffers inside, in any version of Python.
const PROTOCOL: u8 = 4;

/// Writes an object by the parts of which a pickle would make it again.
pub(super) fn write<'py>(
    walk: &mut Walk<'py>,
    obj: &Bound<'py, PyAny>,
    out: &mut Written,
) -> PyResult<()> {
    if method(walk, obj, out)? {
        return Ok(());
    }
    let py = walk.py();
    let reduced = match reducer(py, obj)? {
        Some(reducer) => reducer.call1((obj,))?,
        None => obj.call_method1(intern!(py, "__reduce_ex__"), (PROTOCOL,))?,
    };
    if let Ok(path) = reduced.cast::<PyString>() {
        out.update(b"g");
        let module =
            obj.getattr(intern!(py, "__module__")).unwrap_or_else(|_| py.None().into_bound(py));
        walk.value(&module, out)?;
        write_bytes(b"s", path.to_string_lossy().as_bytes(), out);
        return Ok(());
    }
    let Ok(parts) = reduced.cast_into::<PyTuple>() else {
        let class = obj.get_type().qualname()?;
        return Err(PyTypeError::new_err(format!(
            "cannot hash a {class}: its __reduce_ex__ returns neither a string nor a tuple"
        )));
    };
    out.update(b"r");
    for place in 0..3 {
        match parts.get_item(place) {
            Ok(part) => walk.value(&part, out)?,
            Err(_) => drop(walk.value(&py.None().into_bound(py), out)),
        }
    }
    for (place, tag) in [(3, b"3"), (4, b"4")] {
        let Some(items) = parts.get_item(place).ok().filter(|items| !items.is_none()) else {
            continue;
        };
        out.update(tag);
        if place == 3 {
            for item in items.try_iter()? {
                walk.value(&item?, out)?;
            }
        } else {
            let pairs = items.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            walk.pairs(pairs.into_iter(), out)?;
        }
        out.update(b".");
    }
    Ok(())
}

/// What `copyreg` knows for a type that does not know itself.
fn reducer<'py>(py: Python<'py>, obj: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    static TABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let table = TABLE
        .made(py, || Ok::<_, PyErr>(py.import("copyreg")?.getattr("dispatch_table")?.unbind()))?;
    Ok(table.bind(py).get_item(obj.get_type()).ok())
}

/// Writes a method with the object that it is bound to, and a function of C by its name.
fn method<'py>(walk: &mut Walk<'py>, obj: &Bound<'py, PyAny>, out: &mut Written) -> PyResult<bool> {
    let py = walk.py();
    if let Ok(function) = obj.getattr(intern!(py, "__func__"))
        && obj.get_type().name()? == "method"
    {
        out.update(b"m");
        walk.value(&function, out)?;
        walk.value(&obj.getattr(intern!(py, "__self__"))?, out)?;
        return Ok(true);
    }
    if !obj.is_instance_of::<PyCFunction>() {
        return Ok(false);
    }
    let owner = obj.getattr(intern!(py, "__self__"))?;
    out.update(b"M");
    name(obj, out)?;
    if !owner.is_none() && !owner.is_instance_of::<PyModule>() {
        walk.value(&owner, out)?;
    }
    Ok(true)
}

/// Writes where something is defined. The program's own module has one name, in every process.
pub(super) fn name(obj: &Bound<'_, PyAny>, out: &mut Written) -> PyResult<()> {
    let py = obj.py();
    let text = |name| -> Option<String> {
        Some(obj.getattr(name).ok()?.cast::<PyString>().ok()?.to_string_lossy().into_owned())
    };
    let module = text(intern!(py, "__module__")).unwrap_or_default();
    let module = if module == "__mp_main__" { "__main__" } else { &module };
    write_bytes(b"s", module.as_bytes(), out);
    let path = text(intern!(py, "__qualname__")).or_else(|| text(intern!(py, "__name__")));
    write_bytes(b"s", path.unwrap_or_default().as_bytes(), out);
    Ok(())
}
