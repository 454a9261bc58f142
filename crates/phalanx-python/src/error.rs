//! Errors of the engine as Python exceptions.

use std::io;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

/// An error of a system call, with its number, so that Python picks the class that fits
/// (`FileNotFoundError`, `BrokenPipeError` and so on).
#[cold]
pub(crate) fn os_error(error: io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text).to_owned();
            PyOSError::new_err((number, text))
        }
        None => error.into(),
    }
}
