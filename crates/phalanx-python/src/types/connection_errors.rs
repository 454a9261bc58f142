//! What `Connection` raises when a pipe or stream gives up: the standard library's exceptions.

use phalanx::connection::StreamError;
use phalanx::pipe::{NewPipeError, RecvError, SendError};
use pyo3::exceptions::{PyBrokenPipeError, PyEOFError, PyMemoryError, PyOSError, PyTimeoutError};
use pyo3::prelude::*;

const EPIPE: i32 = 32;

fn broken() -> PyErr {
    PyBrokenPipeError::new_err((EPIPE, "Broken pipe"))
}

#[cold]
pub(crate) fn send(error: SendError) -> PyErr {
    match error {
        SendError::ReceiveOnly => PyOSError::new_err("connection is read-only"),
        SendError::Broken => broken(),
        SendError::OutOfMemory(e) => PyMemoryError::new_err(e.to_string()),
        other => PyTimeoutError::new_err(other.to_string()),
    }
}

#[cold]
pub(crate) fn recv(error: RecvError) -> PyErr {
    match error {
        RecvError::SendOnly => PyOSError::new_err("connection is write-only"),
        RecvError::EndOfFile => PyEOFError::new_err(()),
        RecvError::Failed(kind) => std::io::Error::from(kind).into(),
        other => PyTimeoutError::new_err(other.to_string()),
    }
}

#[cold]
pub(crate) fn stream(error: StreamError) -> PyErr {
    match error {
        StreamError::EndOfFile => PyEOFError::new_err(()),
        StreamError::CutShort => PyOSError::new_err("got end of file during message"),
        StreamError::TooLong(_) => PyOSError::new_err("bad message length"),
        StreamError::GaveUp(_) => PyTimeoutError::new_err("interrupted"),
        StreamError::Io(e) => crate::error::os_error(e),
        _ => PyOSError::new_err("the connection failed"),
    }
}

/// Whether a wait succeeded; an error unless it was merely given up.
pub(crate) fn unless_given_up(waited: Result<(), StreamError>) -> PyResult<bool> {
    match waited {
        Ok(()) => Ok(true),
        Err(StreamError::GaveUp(_)) => Ok(false),
        Err(e) => Err(stream(e)),
    }
}

#[cold]
pub(crate) fn new(error: NewPipeError) -> PyErr {
    match error {
        NewPipeError::Refused(e) => crate::error::os_error(e),
        other => PyMemoryError::new_err(other.to_string()),
    }
}
