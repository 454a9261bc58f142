//! The sender's side: a callable becomes bytes.
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyString, PyType};

use super::definition::Definition;
use super::{form, known, value};
use crate::codec::encode::Main;
use crate::codec::pickler;
use crate::ffi::{FunctionParts, utf8};
use crate::once::intern;

/// A callable as it is sent to workers.
#[derive(Clone, Debug)]
pub(crate) struct ShippedFunction {
    /// A hash of `bytes`: two callables with the same id are the same to a worker.
    pub(crate) id: u64,
    /// What [`FunctionCache`](super::FunctionCache) makes the callable of.
    pub(crate) bytes: Arc<[u8]>,
}

impl ShippedFunction {
    fn new(bytes: Vec<u8>) -> Self {
        Self { id: id_of(&bytes), bytes: bytes.into() }
    }
}

/// The id of a shipped function's bytes; the same in every process of one build.
pub(super) fn id_of(bytes: &[u8]) -> u64 {
    let mut hash = DefaultHasher::new();
    hash.write(bytes);
    hash.finish()
}

/// Makes `callable` ready to be sent; `main` as for [`encode_with`](crate::codec::encode_with).
///
/// What was shipped lately and has not changed since costs a few comparisons.
///
/// # Errors
///
/// What pickle raises for a callable that cannot be sent by name or by value.
pub(crate) fn ship(
    py: Python<'_>,
    callable: &Bound<'_, PyAny>,
    main: Option<Main>,
) -> PyResult<ShippedFunction> {
    let by_value = pickler::main_by_value(main);
    if let Some(shipped) = known::recall(callable, by_value) {
        return Ok(shipped);
    }
    if let Some(parts) = FunctionParts::of(callable) {
        return function(py, callable, &parts, main);
    }
    let is_named = callable.is_instance_of::<PyType>() || is_plain_builtin(callable)?;
    if is_named && let Some(stream) = pickler::encode_name(py, callable, main)? {
        let shipped = framed(form::NAMED, &stream);
        known::remember(callable, by_value, None, &shipped);
        return Ok(shipped);
    }
    of_anywhere(py, callable, if is_named { form::NAMED } else { form::STATEFUL }, main)
}

/// A function written in Python.
fn function(
    py: Python<'_>,
    function: &Bound<'_, PyAny>,
    parts: &FunctionParts<'_>,
    main: Option<Main>,
) -> PyResult<ShippedFunction> {
    let by_value = pickler::main_by_value(main);
    let namespace = main_namespace(py)?;
    let in_main = parts.globals.is(&namespace);
    if in_main && let Some(name) = name_in_main(function)? {
        let definition = Definition::of(function, &namespace);
        let shipped = of_main(py, function, &name, &definition, by_value)?;
        if definition.is_plain || definition.is_known() && !by_value {
            known::remember(function, by_value, Some(definition), &shipped);
        }
        return Ok(shipped);
    }
    if let Some(stream) = pickler::encode_name(py, function, main)? {
        let shipped = framed(form::NAMED, &stream);
        known::remember(function, by_value, None, &shipped);
        return Ok(shipped);
    }
    let definition = Definition::of(function, &namespace);
    let shipped = of_anywhere(py, function, form::NAMED, main)?;
    if definition.is_plain {
        known::remember(function, by_value, Some(definition), &shipped);
    }
    Ok(shipped)
}

fn of_anywhere(
    py: Python<'_>,
    callable: &Bound<'_, PyAny>,
    form: u8,
    main: Option<Main>,
) -> PyResult<ShippedFunction> {
    Ok(framed(form, &pickler::encode_whole(py, callable, main)?))
}

fn framed(form: u8, stream: &Bound<'_, PyBytes>) -> ShippedFunction {
    let mut bytes = Vec::with_capacity(1 + stream.as_bytes().len());
    bytes.push(form);
    bytes.extend_from_slice(stream.as_bytes());
    ShippedFunction::new(bytes)
}

/// A function that `__main__` has under `name`.
///
/// Its value goes along where the worker has no other way to it, and else where it is plain: then it
/// is small and no code of anybody runs to write it.
fn of_main(
    py: Python<'_>,
    function: &Bound<'_, PyAny>,
    name: &[u8],
    definition: &Definition,
    by_value: bool,
) -> PyResult<ShippedFunction> {
    let (form, value) = if by_value {
        let value = pickler::encode_whole(py, function, Some(Main::ByValue))?;
        (form::PICKLED, Some(value))
    } else {
        match value::describe(py, definition) {
            Ok(Some(value)) => (form::PLAIN, Some(value)),
            // The worker will have the function all the same, in all likelihood.
            Ok(None) | Err(_) => (form::NO_VALUE, None),
        }
    };
    let mut bytes = vec![form::MAIN];
    bytes.extend_from_slice(&(name.len() as u64).to_le_bytes());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&definition.fingerprint.to_le_bytes());
    bytes.push(form);
    if let Some(value) = value {
        bytes.extend_from_slice(value.as_bytes());
    }
    Ok(ShippedFunction::new(bytes))
}

/// The name under which `__main__` has exactly this function.
fn name_in_main<'py>(function: &Bound<'py, PyAny>) -> PyResult<Option<Vec<u8>>> {
    let py = function.py();
    let name = function.getattr(intern!(py, "__qualname__"))?;
    let Some(path) = utf8(name.as_borrowed()) else {
        return Ok(None);
    };
    let found = find_in_main(py, path)?;
    Ok(found.filter(|found| found.is(function)).map(|_| path.to_vec()))
}

/// What `__main__` has under a dotted name.
pub(super) fn find_in_main<'py>(
    py: Python<'py>,
    path: &[u8],
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Ok(path) = std::str::from_utf8(path) else {
        return Ok(None);
    };
    let mut found = Some(main_module(py)?);
    for name in path.split('.') {
        found = match found {
            Some(owner) => owner.getattr_opt(PyString::new(py, name))?,
            None => return Ok(None),
        };
    }
    Ok(found)
}

/// The module `__main__` of this process.
pub(super) fn main_module(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let modules = py.import("sys")?.getattr(intern!(py, "modules"))?;
    modules.get_item(intern!(py, "__main__")).map_err(|_| {
        PyRuntimeError::new_err("cannot look for the function: this process has no __main__ module")
    })
}

/// The namespace of `__main__`.
pub(super) fn main_namespace(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    Ok(main_module(py)?.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?)
}

/// Whether a callable is a function written in C that belongs to a module, not to an object.
fn is_plain_builtin(callable: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !callable.is_exact_instance_of::<PyCFunction>() {
        return Ok(false);
    }
    let owner = callable.getattr(intern!(callable.py(), "__self__"))?;
    Ok(owner.is_none() || owner.is_instance_of::<pyo3::types::PyModule>())
}
