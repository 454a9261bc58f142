//! The Python classes and functions of `phalanx._core`, one file a subject.

pub(crate) mod barrier;
pub(crate) mod challenge;
pub(crate) mod condition;
pub(crate) mod connection;
mod connection_errors;
pub(crate) mod containers;
pub(crate) mod cpu;
pub(crate) mod descriptors;
pub(crate) mod diagnosis;
pub(crate) mod event;
pub(crate) mod listener;
pub(crate) mod lock;
pub(crate) mod passing;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod queue;
pub(crate) mod queue_ends;
pub(crate) mod rlock;
mod scalar;
pub(crate) mod semaphore;
pub(crate) mod shared;
pub(crate) mod spawning;
pub(crate) mod tracker;
pub(crate) mod value;
pub(crate) mod wait;
pub(crate) mod zygote;

/// Gives the classes of locks their quick methods.
pub(crate) fn quicken_locks(py: pyo3::Python<'_>) -> pyo3::PyResult<()> {
    crate::ffi::quicken::<lock::Lock>(py)?;
    crate::ffi::quicken::<rlock::RLock>(py)?;
    crate::ffi::quicken::<semaphore::Semaphore>(py)
}
