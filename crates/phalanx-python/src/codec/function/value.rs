//! Plain functions of `__main__` by value, without cloudpickle.
//!
//! A function that needs nothing but functions like itself, modules and small constants is its code
//! object and a few names. That takes microseconds to write, where importing cloudpickle alone
//! takes a fresh process many milliseconds; so each function of `__main__` can carry its value,
//! for the rare worker that lacks it.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyModule, PyTuple};

use super::adopt::adopt;
use super::definition::Definition;
use super::ship::main_namespace;
use crate::codec::frame::corrupt;
use crate::codec::pickler;
use crate::ffi::FunctionParts;
use crate::once::intern;

/// How a global variable is described.
const FUNCTION: u8 = 0;
const MODULE: u8 = 1;
const VALUE: u8 = 2;

/// The functions of a definition as one pickle; nothing if it holds anything but plain functions.
pub(super) fn describe<'py>(
    py: Python<'py>,
    definition: &Definition,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    if !definition.is_plain {
        return Ok(None);
    }
    let functions = PyList::empty(py);
    for function in &definition.members {
        let function = function.bind(py);
        match describe_function(function)? {
            Some(description) => functions.append(description)?,
            None => return Ok(None),
        }
    }
    let globals = PyDict::new(py);
    for (name, value) in definition.globals(py) {
        let member = definition.members.iter().position(|member| value.is(member));
        let description = if let Some(index) = member {
            (FUNCTION, index.into_pyobject(py)?.into_any())
        } else if let Ok(module) = value.cast::<PyModule>() {
            (MODULE, module.name()?.into_any())
        } else {
            (VALUE, value)
        };
        globals.set_item(name, description)?;
    }
    let both = (functions, globals).into_pyobject(py)?;
    pickler::encode_name(py, both.as_any(), None)
}

fn describe_function<'py>(function: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let py = function.py();
    let Some(parts) = FunctionParts::of(function) else {
        return Ok(None);
    };
    let attributes = function.getattr(intern!(py, "__dict__"))?;
    if parts.closure.is_some() || attributes.is_truthy()? {
        return Ok(None);
    }
    let dumps = py.import("marshal")?.getattr(intern!(py, "dumps"))?;
    let code = dumps.call1((parts.code,))?;
    let name = function.getattr(intern!(py, "__name__"))?;
    let path = function.getattr(intern!(py, "__qualname__"))?;
    let description = (code, name, path, parts.defaults, parts.kwdefaults);
    description.into_pyobject(py).map(Some)
}

/// What [`describe`] writes of one function.
type Parts<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyAny>>,
);

/// Makes the functions that [`describe`] wrote, in the `__main__` of this process; gives the first.
pub(super) fn rebuild<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let stream = PyBytes::new(py, pickle).into_any();
    let both = pickler::load(py, &stream, Vec::new().into_iter())?;
    let (descriptions, globals): (Vec<Parts<'py>>, Bound<'py, PyDict>) = both.extract()?;
    let namespace = main_namespace(py)?;
    let loads = py.import("marshal")?.getattr(intern!(py, "loads"))?;
    let kind = py.import("types")?.getattr(intern!(py, "FunctionType"))?;
    let mut functions = Vec::with_capacity(descriptions.len());
    for (code, name, path, defaults, kwdefaults) in descriptions {
        let function = kind.call1((loads.call1((code,))?, &namespace, name, defaults))?;
        function.setattr(intern!(py, "__qualname__"), path)?;
        function.setattr(intern!(py, "__kwdefaults__"), kwdefaults)?;
        functions.push(function);
    }
    for (name, description) in globals {
        let (form, value): (u8, Bound<'py, PyAny>) = description.extract()?;
        let value = match form {
            FUNCTION => functions.get(value.extract::<usize>()?).cloned(),
            MODULE => Some(py.import(value.cast_into()?)?.into_any()),
            VALUE => Some(value),
            _ => None,
        };
        adopt(&namespace, &name, &value.ok_or_else(|| corrupt("unknown form of a global"))?)?;
    }
    functions.into_iter().next().ok_or_else(|| corrupt("no function in it"))
}
