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
    if mode == Mode::Each {
        return function.call1((task,));
    }
    let (args, kwds) = arguments(mode, task)?;
    function.call(args, kwds.as_ref())
}

/// What the function is called with for a task of a batch of that mode.
pub(crate) fn arguments<'py>(
    mode: Mode,
    task: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
    let args = match mode {
        Mode::Each => PyTuple::new(task.py(), [task])?,
        Mode::Star | Mode::Apply => match task.cast::<PyTuple>() {
            Ok(args) => args.clone(),
            Err(_) => {
                let args: Vec<Bound<'py, PyAny>> = task.try_iter()?.collect::<PyResult<_>>()?;
                PyTuple::new(task.py(), args)?
            }
        },
        Mode::ApplyKeywords | Mode::StarKeywords => {
            let (args, kwds) = task.extract()?;
            return Ok((args, Some(kwds)));
        }
    };
    Ok((args, None))
}
