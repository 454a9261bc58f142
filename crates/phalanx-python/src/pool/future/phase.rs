//! The states of a future.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::once::intern;

/// How far a call has come, as its future tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Pending,
    Running,
    /// Cancelled, and those who wait for several futures have not been told.
    Cancelled,
    CancelledAndNotified,
    Finished,
}

impl Phase {
    pub(super) fn is_cancelled(self) -> bool {
        matches!(self, Self::Cancelled | Self::CancelledAndNotified)
    }

    /// Whether there is an outcome.
    pub(super) fn is_done(self) -> bool {
        self.is_cancelled() || self == Self::Finished
    }

    /// The name that the standard library has for it.
    pub(super) fn name(self, py: Python<'_>) -> &Bound<'_, PyString> {
        match self {
            Self::Pending => intern!(py, "PENDING"),
            Self::Running => intern!(py, "RUNNING"),
            Self::Cancelled => intern!(py, "CANCELLED"),
            Self::CancelledAndNotified => intern!(py, "CANCELLED_AND_NOTIFIED"),
            Self::Finished => intern!(py, "FINISHED"),
        }
    }

    /// What `repr` says.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Cancelled | Self::CancelledAndNotified => "cancelled",
            Self::Finished => "finished",
        }
    }

    pub(super) fn of_name(name: &str) -> PyResult<Self> {
        Ok(match name {
            "PENDING" => Self::Pending,
            "RUNNING" => Self::Running,
            "CANCELLED" => Self::Cancelled,
            "CANCELLED_AND_NOTIFIED" => Self::CancelledAndNotified,
            "FINISHED" => Self::Finished,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "cannot set the state of a future to {name:?}: no such state"
                )));
            }
        })
    }
}
