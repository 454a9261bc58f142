//! What a worker has answered, as it arrived.

use phalanx::message::Arrived;
use pyo3::prelude::*;

use crate::codec::decode_exception;
use crate::message::object;

/// An answer as it arrived, not decoded.
pub(super) struct Piece {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) answer: Answer,
}

pub(super) enum Answer {
    /// One value, encoded.
    Value(Vec<u8>, Option<Arrived>),
    /// A list of values, encoded.
    Values(Vec<u8>, Option<Arrived>),
    /// An exception, encoded.
    Error(Vec<u8>, Option<Arrived>),
    /// An exception that arose here.
    Raised(PyErr),
}

impl Answer {
    pub(super) fn is_error(&self) -> bool {
        matches!(self, Self::Error(..) | Self::Raised(_))
    }

    /// The value, or the exception as an error.
    pub(super) fn decode(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Value(frame, parcel) | Self::Values(frame, parcel) => object(py, &frame, parcel),
            Self::Error(mut frame, parcel) => {
                // Ctrl-C reaches the workers too: this process's own interrupt is the one to tell of.
                py.check_signals()?;
                if let Some(parcel) = parcel {
                    frame.clear();
                    let _ = parcel.read_frame(&mut frame);
                }
                let error = decode_exception(py, &frame)?;
                Err(PyErr::from_value(error.into_bound(py)))
            }
            Self::Raised(error) => Err(error),
        }
    }
}
