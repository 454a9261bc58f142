//! What the classes for synchronization have in common.

use std::sync::OnceLock;

use crate::once::FoundOnce;
use phalanx::sync::{Acquired, CreateError, NotHeld, Policy};
use phalanx_shm::patience::{GaveUp, Patience};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use crate::interrupt::{timeout, waiting};

/// The object behind a Python instance. It is made by `__init__`, which a subclass may replace,
/// so an instance can exist without.
pub(crate) struct Inner<T>(OnceLock<T>);

impl<T> Inner<T> {
    pub(crate) const fn empty() -> Self {
        Self(OnceLock::new())
    }

    /// Puts the object in; a second `__init__` has no effect.
    pub(crate) fn fill(&self, object: Result<T, CreateError>) -> PyResult<()> {
        let _ = self.0.set(object.map_err(create_error)?);
        Ok(())
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<&T> {
        self.0.get()
    }

    #[inline]
    pub(crate) fn get(&self) -> PyResult<&T> {
        self.0.get().ok_or_else(not_made)
    }
}

#[cold]
fn not_made() -> PyErr {
    PyRuntimeError::new_err("__init__() of the base class was not called")
}

pub(crate) fn create_error(error: CreateError) -> PyErr {
    match error {
        CreateError::Os(e) => crate::error::os_error(e),
        CreateError::Memory(e) => PyMemoryError::new_err(e.to_string()),
        CreateError::NotHeld(e) => PyRuntimeError::new_err(e.to_string()),
        other => PyValueError::new_err(other.to_string()),
    }
}

/// What a lock does when its holder dies, by name.
pub(crate) fn policy(name: Option<&str>) -> PyResult<Policy> {
    match name {
        None | Some("raise") => Ok(Policy::Raise),
        Some("release") => Ok(Policy::Release),
        Some("wait") => Ok(Policy::Wait),
        Some(other) => Err(PyValueError::new_err(format!(
            "on_owner_death is 'raise', 'release' or 'wait', not {other:?}"
        ))),
    }
}

/// Tells that the holder died. `held`: whether the caller holds the lock now.
#[cold]
pub(crate) fn owner_died(py: Python<'_>, what: &str, pid: u32, held: bool) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let now = if held { "is now held by the caller" } else { "has been released" };
    let raise = || -> PyResult<PyErr> {
        let class = CLASS.found(py, "phalanx.errors", "OwnerDiedError")?;
        let text = format!(
            "process {pid} ended while it held the {what}, which {now}: what it protects may be \
             half changed"
        );
        let keywords = PyDict::new(py);
        keywords.set_item("pid", pid)?;
        keywords.set_item("what", what)?;
        keywords.set_item("held", held)?;
        Ok(PyErr::from_value(class.call((text,), Some(&keywords))?))
    };
    raise().unwrap_or_else(|error| error)
}

#[cold]
pub(crate) fn released_too_often(_: NotHeld) -> PyErr {
    PyValueError::new_err("semaphore or lock released too many times")
}

/// The arguments of `acquire`, as `multiprocessing` takes them.
pub(crate) fn blocks(block: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    block.map_or(Ok(true), |block| block.is_truthy())
}

/// Acquires something that could not be had at once: waits for it without the GIL.
#[cold]
pub(crate) fn acquire_slowly(
    py: Python<'_>,
    limit: Option<f64>,
    acquire: impl Fn(&Patience<'_>) -> Result<Acquired, GaveUp> + Sync,
) -> PyResult<Option<Acquired>> {
    // With no time to wait, what is left to do is to look: no need to let the GIL go.
    if limit.is_some_and(|seconds| seconds <= 0.0) {
        return Ok(acquire(&Patience::none()).ok());
    }
    let result = waiting(py, timeout(limit), |patience| acquire(&patience));
    Ok(result?.ok())
}

/// The methods of a class of locks or semaphores: those that all share, and `$more`. Those whose
/// names begin with `_` are called when [`crate::ffi::quicken`]'s cannot do with a look.
///
/// The `with` statement differs from `acquire` in one thing: if the last holder died, its body
/// does not run, so the lock is released again before the exception is raised.
macro_rules! acquirable {
    ($class:ident, $what:literal, $refused:expr, { $($more:tt)* }) => {
        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (*_args, **_kwargs))]
            fn new(
                _args: &pyo3::Bound<'_, pyo3::types::PyTuple>,
                _kwargs: Option<&pyo3::Bound<'_, pyo3::types::PyDict>>,
            ) -> Self {
                Self::empty()
            }

            /// Acquire it; return whether that succeeded in time.
            #[pyo3(signature = (block = None, timeout = None))]
            fn _acquire(
                &self,
                py: Python<'_>,
                block: Option<&Bound<'_, PyAny>>,
                timeout: Option<f64>,
            ) -> PyResult<bool> {
                let inner = self.0.get()?;
                let how = match inner.try_acquire() {
                    Some(how) => how,
                    None if !$crate::types::shared::blocks(block)? => return Ok(false),
                    None => {
                        let how = $crate::types::shared::acquire_slowly(py, timeout, |patience| {
                            inner.acquire(patience)
                        });
                        match how? {
                            Some(how) => how,
                            None => return Ok(false),
                        }
                    }
                };
                match how {
                    phalanx::sync::Acquired::Clean => Ok(true),
                    phalanx::sync::Acquired::OwnerDied { pid } => {
                        Err($crate::types::shared::owner_died(py, $what, pid, true))
                    }
                }
            }

            /// Release it.
            fn _release(&self) -> PyResult<()> {
                self.0.get()?.release().map_err($refused)
            }

            fn _enter(&self, py: Python<'_>) -> PyResult<bool> {
                let inner = self.0.get()?;
                let how = match inner.try_acquire() {
                    Some(how) => how,
                    None => {
                        let how = $crate::types::shared::acquire_slowly(py, None, |patience| {
                            inner.acquire(patience)
                        });
                        match how? {
                            Some(how) => how,
                            None => return Ok(false),
                        }
                    }
                };
                match how {
                    phalanx::sync::Acquired::Clean => Ok(true),
                    phalanx::sync::Acquired::OwnerDied { pid } => {
                        inner.release().map_err($refused)?;
                        Err($crate::types::shared::owner_died(py, $what, pid, false))
                    }
                }
            }

            /// Name the object for the process that is being started, and make that a holder.
            fn _share(&self) -> PyResult<u64> {
                Ok(self.0.get()?.share())
            }

            /// Where the object lies: what names it in this program.
            fn _offset(&self) -> PyResult<u64> {
                Ok(self.0.get()?.offset())
            }

            $($more)*
        }

        impl $crate::ffi::QuickLock for $class {
            #[inline]
            fn acquire_free(&self) -> bool {
                self.0.peek().is_some_and(|inner| inner.acquire_free())
            }

            #[inline]
            fn release_held(&self) -> bool {
                self.0.peek().is_some_and(|inner| inner.release().is_ok())
            }
        }
    };
}
pub(crate) use acquirable;
