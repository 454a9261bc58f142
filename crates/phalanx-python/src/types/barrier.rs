//! `Barrier`.

use std::sync::OnceLock;

use crate::once::FoundOnce;
use phalanx::sync::{self, BarrierError};
use phalanx_shm::patience::Patience;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::shared::Inner;
use crate::interrupt::{self, waiting};

/// What a barrier was made with besides its parties; each process has its own.
struct Settings {
    action: Option<Py<PyAny>>,
    timeout: Option<f64>,
}

/// A place where a number of processes wait for each other.
#[pyclass(subclass, frozen, weakref, module = "phalanx._core")]
pub(crate) struct Barrier {
    inner: Inner<sync::Barrier>,
    settings: OnceLock<Settings>,
}

impl Barrier {
    fn action(&self) -> Option<&Py<PyAny>> {
        self.settings.get()?.action.as_ref()
    }

    fn set(&self, action: Option<Py<PyAny>>, timeout: Option<f64>) {
        let _ = self.settings.set(Settings { action, timeout });
    }
}

/// Waits; the exception that the action raised comes second.
fn wait(
    barrier: &sync::Barrier,
    patience: &Patience<'_>,
    action: Option<&Py<PyAny>>,
) -> (Result<u32, BarrierError>, Option<PyErr>) {
    let mut raised = None;
    let mut run = |action: &Py<PyAny>| {
        raised = Python::attach(|py| action.call0(py).err());
        raised.is_none()
    };
    let result = match action {
        Some(action) => barrier.wait_and(patience, Some(&mut || run(action))),
        None => barrier.wait_with(patience),
    };
    (result, raised)
}

#[cold]
fn broken(py: Python<'_>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASS.found(py, "threading", "BrokenBarrierError") {
        Ok(class) => PyErr::from_type(class.clone(), ()),
        Err(error) => error,
    }
}

#[pymethods]
impl Barrier {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { inner: Inner::empty(), settings: OnceLock::new() }
    }

    #[pyo3(signature = (parties, action = None, timeout = None))]
    fn _create(
        &self,
        parties: i64,
        action: Option<Py<PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        self.set(action, timeout);
        let parties = u32::try_from(parties)
            .map_err(|_| PyValueError::new_err("a barrier has 1 to 1048575 parties"))?;
        self.inner.fill(sync::Barrier::new(parties))
    }

    fn _attach(
        &self,
        offset: u64,
        action: Option<Py<PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        self.set(action, timeout);
        self.inner.fill(sync::Barrier::from_offset(offset))
    }

    /// Name the object for the process that is being started, and make that a holder.
    fn _share(&self) -> PyResult<u64> {
        Ok(self.inner.get()?.share())
    }

    #[getter]
    fn _action(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.action().map(|action| action.clone_ref(py))
    }

    #[getter]
    fn _timeout(&self) -> Option<f64> {
        self.settings.get()?.timeout
    }

    /// Wait until all parties have arrived; return the order of arrival, from 0.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<u32> {
        let inner = self.inner.get()?;
        let limit = interrupt::timeout(timeout.or(self._timeout()));
        let action = self.action();
        let (result, raised) = waiting(py, limit, |patience| wait(inner, &patience, action))?;
        match (raised, result) {
            (Some(error), _) => Err(error),
            (None, Ok(index)) => Ok(index),
            (None, Err(_)) => Err(broken(py)),
        }
    }

    /// Break the barrier: all who wait and all who come get `BrokenBarrierError`.
    fn abort(&self) -> PyResult<()> {
        self.inner.get()?.abort();
        Ok(())
    }

    /// Make the barrier whole and empty again; who waits now gets `BrokenBarrierError`.
    fn reset(&self) -> PyResult<()> {
        self.inner.get()?.reset();
        Ok(())
    }

    /// How many have to arrive.
    #[getter]
    fn parties(&self) -> PyResult<u32> {
        Ok(self.inner.get()?.parties())
    }

    /// How many wait at this moment.
    #[getter]
    fn n_waiting(&self) -> PyResult<u32> {
        Ok(self.inner.get()?.waiting())
    }

    /// Whether the barrier is broken.
    #[getter]
    fn broken(&self) -> PyResult<bool> {
        Ok(self.inner.get()?.is_broken())
    }
}
