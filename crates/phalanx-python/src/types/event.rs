//! `Event`.

use phalanx::sync;
use phalanx_shm::patience::Patience;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::shared::Inner;
use crate::interrupt::{timeout, waiting};

/// A flag that processes can wait for.
#[pyclass(subclass, frozen, weakref, module = "phalanx._core")]
pub(crate) struct Event(Inner<sync::Event>);

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self(Inner::empty())
    }

    fn _create(&self) -> PyResult<()> {
        self.0.fill(sync::Event::new())
    }

    fn _attach(&self, offset: u64) -> PyResult<()> {
        self.0.fill(sync::Event::from_offset(offset))
    }

    /// Name the object for the process that is being started, and make that a holder.
    fn _share(&self) -> PyResult<u64> {
        Ok(self.0.get()?.share())
    }

    /// Return whether the flag is set.
    fn is_set(&self) -> PyResult<bool> {
        Ok(self.0.get()?.is_set())
    }

    /// Set the flag and wake all who wait for it.
    fn set(&self) -> PyResult<()> {
        self.0.get()?.set();
        Ok(())
    }

    /// Take the flag back.
    fn clear(&self) -> PyResult<()> {
        self.0.get()?.clear();
        Ok(())
    }

    /// Wait until the flag is set; return whether it was set in time.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let inner = self.0.get()?;
        if inner.wait_with(&Patience::none()).is_ok() {
            return Ok(true);
        }
        let limit = self::timeout(timeout);
        Ok(waiting(py, limit, |patience| inner.wait_with(&patience))?.is_ok())
    }
}
