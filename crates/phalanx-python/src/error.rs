//! The kernel's refusals as Python's exceptions.

use std::io;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

/// Turns a refusal into the `OSError` of its number, which Python makes the fitting subclass.
///
/// The conversion that comes with PyO3 knows only the kind, and leaves `errno` unset.
pub(crate) fn os_error(error: io::Error) -> PyErr {
    match number_of(&error) {
        Some(number) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((number, text))
        }
        None => error.into(),
    }
}

/// The number of the refusal that an error is, or that it was made of.
fn number_of(error: &io::Error) -> Option<i32> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(number) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(number);
        }
        source = error.source();
    }
    None
}

/// An exception like this one, to be raised in its stead.
///
/// One that is raised refers to the frames that it goes through, and these to whatever they use. If that
/// keeps the exception, for it is to be raised again, none of them can ever go. So what is kept is
/// not what is raised. An exception that cannot be copied stands for itself.
pub(crate) fn twin(error: &Bound<'_, PyAny>) -> PyErr {
    let copy = || -> PyResult<Bound<'_, PyAny>> {
        let copy = error.py().import("copy")?.getattr("copy")?.call1((error,))?;
        if !copy.get_type().is(error.get_type()) {
            return Ok(error.clone());
        }
        copy.setattr("__cause__", error.getattr("__cause__")?)?;
        Ok(copy)
    };
    PyErr::from_value(copy().unwrap_or_else(|_| error.clone()))
}
