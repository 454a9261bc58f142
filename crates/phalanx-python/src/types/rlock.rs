//! `RLock`.

use phalanx::sync;
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;

use super::shared::{Inner, acquirable, policy};

/// A lock that its holder may acquire again.
#[pyclass(subclass, frozen, weakref, module = "phalanx._core")]
pub(crate) struct RLock(Inner<sync::RLock>);

impl RLock {
    fn empty() -> Self {
        Self(Inner::empty())
    }

    pub(crate) fn engine(&self) -> PyResult<&sync::RLock> {
        self.0.get()
    }
}

#[cold]
fn not_owned(_: sync::NotHeld) -> PyErr {
    PyAssertionError::new_err("attempt to release recursive lock not owned by thread")
}

acquirable!(RLock, "re-entrant lock", not_owned, {
    #[pyo3(signature = (on_owner_death = None))]
    fn _create(&self, on_owner_death: Option<&str>) -> PyResult<()> {
        self.0.fill(sync::RLock::with_policy(policy(on_owner_death)?))
    }

    fn _attach(&self, offset: u64) -> PyResult<()> {
        self.0.fill(sync::RLock::from_offset(offset))
    }

    /// Return whether any process holds the lock.
    fn locked(&self) -> PyResult<bool> {
        Ok(self.0.get()?.is_locked())
    }

    fn _is_mine(&self) -> PyResult<bool> {
        Ok(self.0.get()?.is_mine())
    }

    fn _count(&self) -> PyResult<u32> {
        let lock = self.0.get()?;
        Ok(if lock.is_ours() { lock.depth() } else { 0 })
    }

    fn _get_value(&self) -> PyResult<u32> {
        Ok(u32::from(!self.0.get()?.is_locked()))
    }

    fn _is_zero(&self) -> PyResult<bool> {
        self.locked()
    }
});
