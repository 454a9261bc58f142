//! The kernel's refusals as Python's exceptions.

use std::io;

use pyo3::PyErr;
use pyo3::exceptions::PyOSError;

/// Turns a refusal into the `OSError` of its number, which Python makes the fitting subclass.
///
/// The conversion that comes with PyO3 knows only the kind, and leaves `errno` unset.
pub(crate) fn os_error(error: io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((number, text))
        }
        None => error.into(),
    }
}
