//! `Condition`.

use std::sync::OnceLock;
use std::time::Instant;

use phalanx::sync::{self, Acquired, Unlocked, Wakened};
use phalanx_shm::patience::Patience;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::lock::Lock;
use super::rlock::RLock;
use super::shared::{Inner, owner_died};
use crate::interrupt::{timeout, waiting};

/// The lock that a condition is used with.
enum Guard {
    Lock(Py<Lock>),
    RLock(Py<RLock>),
}

impl Guard {
    fn of(lock: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(lock) = lock.cast::<RLock>() {
            return Ok(Self::RLock(lock.clone().unbind()));
        }
        match lock.cast::<Lock>() {
            Ok(lock) => Ok(Self::Lock(lock.clone().unbind())),
            Err(_) => Err(PyTypeError::new_err(format!(
                "a condition takes a Lock or an RLock of phalanx, not {}",
                lock.get_type().name()?
            ))),
        }
    }

    fn object<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        match self {
            Self::Lock(lock) => lock.bind(py).as_any(),
            Self::RLock(lock) => lock.bind(py).as_any(),
        }
    }

    fn is_mine(&self) -> PyResult<bool> {
        Ok(match self {
            Self::Lock(lock) => lock.get().engine()?.is_mine(),
            Self::RLock(lock) => lock.get().engine()?.is_mine(),
        })
    }

    fn wait(
        &self,
        condition: &sync::Condition,
        patience: &Patience<'_>,
    ) -> PyResult<Result<Wakened, Unlocked>> {
        Ok(match self {
            Self::Lock(lock) => condition.wait_lock(lock.get().engine()?, patience),
            Self::RLock(lock) => condition.wait_rlock(lock.get().engine()?, patience),
        })
    }
}

/// Waiting, under a lock, for a change that another process makes under the same lock.
#[pyclass(subclass, frozen, weakref, module = "phalanx._core")]
pub(crate) struct Condition {
    inner: Inner<sync::Condition>,
    guard: OnceLock<Guard>,
}

impl Condition {
    fn guard(&self) -> PyResult<&Guard> {
        let made = self.guard.get();
        made.ok_or_else(|| PyRuntimeError::new_err("__init__() of the base class was not called"))
    }

    fn wait_once(&self, py: Python<'_>, limit: Option<f64>) -> PyResult<bool> {
        let (inner, guard) = (self.inner.get()?, self.guard()?);
        let waited = waiting(py, timeout(limit), |patience| guard.wait(inner, &patience))??;
        let waited = waited.map_err(|_| {
            PyAssertionError::new_err("must acquire() condition before using wait()")
        })?;
        match waited.relocked {
            Ok(Acquired::OwnerDied { pid }) => Err(owner_died(py, "condition's lock", pid, true)),
            _ => Ok(waited.end.is_ok()),
        }
    }
}

#[pymethods]
impl Condition {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { inner: Inner::empty(), guard: OnceLock::new() }
    }

    fn _create(&self, lock: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = self.guard.set(Guard::of(lock)?);
        self.inner.fill(sync::Condition::new())
    }

    fn _attach(&self, lock: &Bound<'_, PyAny>, offset: u64) -> PyResult<()> {
        let _ = self.guard.set(Guard::of(lock)?);
        self.inner.fill(sync::Condition::from_offset(offset))
    }

    /// Name the object for the process that is being started, and make that a holder.
    fn _share(&self) -> PyResult<u64> {
        Ok(self.inner.get()?.share())
    }

    /// The lock that the condition is used with.
    #[getter]
    fn _lock<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.guard()?.object(py).clone())
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn acquire<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.guard()?.object(py).call_method("acquire", args, kwargs)
    }

    fn release<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.guard()?.object(py).call_method0("release")
    }

    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.guard()?.object(py).call_method0("__enter__")
    }

    #[pyo3(signature = (_type = None, _value = None, _traceback = None))]
    fn __exit__<'py>(
        &self,
        py: Python<'py>,
        _type: Option<&Bound<'_, PyAny>>,
        _value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.guard()?.object(py).call_method0("__exit__")
    }

    /// Release the lock, wait to be notified, and acquire the lock again; return whether a
    /// notification came in time.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.wait_once(py, timeout)
    }

    /// Wait until `predicate()` is true or the time is over; return its last result.
    #[pyo3(signature = (predicate, timeout = None))]
    fn wait_for<'py>(
        &self,
        py: Python<'py>,
        predicate: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let start = Instant::now();
        loop {
            let result = predicate.call0()?;
            if result.is_truthy()? {
                return Ok(result);
            }
            let left = timeout.map(|seconds| seconds - start.elapsed().as_secs_f64());
            if left.is_some_and(|seconds| seconds <= 0.0) {
                return Ok(result);
            }
            self.wait_once(py, left)?;
        }
    }

    /// Notify up to `n` of those who wait.
    #[pyo3(signature = (n = 1))]
    fn notify(&self, n: i64) -> PyResult<()> {
        if !self.guard()?.is_mine()? {
            return Err(PyAssertionError::new_err("lock is not owned"));
        }
        self.inner.get()?.notify(usize::try_from(n).unwrap_or(0));
        Ok(())
    }

    /// Notify all who wait.
    fn notify_all(&self) -> PyResult<()> {
        if !self.guard()?.is_mine()? {
            return Err(PyAssertionError::new_err("lock is not owned"));
        }
        self.inner.get()?.notify_all();
        Ok(())
    }

    fn _waiting(&self) -> PyResult<usize> {
        Ok(self.inner.get()?.waiting())
    }
}
