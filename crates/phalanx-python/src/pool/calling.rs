//! Calling a function with a task.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::wire::Mode;

/// Calls the function with a task of a batch of that mode.
pub(crate) fn call_task<'py>(
    mode: Mode,
    function: &Bound<'py, PyAny>,
    task: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    match mode {
        Mode::Each => function.call1((task,)),
        Mode::Star | Mode::Apply => call_star(function, task),
        Mode::ApplyKeywords | Mode::StarKeywords => call_keywords(function, task),
    }
}

fn call_star<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    match args.cast::<PyTuple>() {
        Ok(args) => function.call1(args),
        Err(_) => {
            let args: Vec<Bound<'py, PyAny>> = args.try_iter()?.collect::<PyResult<_>>()?;
            function.call1(PyTuple::new(function.py(), args)?)
        }
    }
}

fn call_keywords<'py>(
    function: &Bound<'py, PyAny>,
    task: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let (args, kwds): (Bound<'py, PyTuple>, Bound<'py, PyDict>) = task.extract()?;
    function.call(args, Some(&kwds))
}
