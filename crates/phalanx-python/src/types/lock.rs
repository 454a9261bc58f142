//! `Lock`.

use phalanx::sync;
use pyo3::prelude::*;

use super::shared::{Inner, acquirable, policy, released_too_often};

/// A lock between processes; any of them may release it.
#[pyclass(subclass, frozen, weakref, module = "phalanx._core")]
pub(crate) struct Lock(Inner<sync::RawLock>);

impl Lock {
    fn empty() -> Self {
        Self(Inner::empty())
    }

    pub(crate) fn engine(&self) -> PyResult<&sync::RawLock> {
        self.0.get()
    }
}

acquirable!(Lock, "lock", released_too_often, {
    #[pyo3(signature = (on_owner_death = None))]
    fn _create(&self, on_owner_death: Option<&str>) -> PyResult<()> {
        self.0.fill(sync::RawLock::with_policy(policy(on_owner_death)?))
    }

    fn _attach(&self, offset: u64) -> PyResult<()> {
        self.0.fill(sync::RawLock::from_offset(offset))
    }

    /// Return whether any process holds the lock.
    fn locked(&self) -> PyResult<bool> {
        Ok(self.0.get()?.is_locked())
    }

    fn _is_mine(&self) -> PyResult<bool> {
        Ok(self.0.get()?.is_mine())
    }

    fn _count(&self) -> PyResult<u32> {
        Ok(u32::from(self.0.get()?.is_ours()))
    }

    fn _get_value(&self) -> PyResult<u32> {
        Ok(u32::from(!self.0.get()?.is_locked()))
    }

    fn _is_zero(&self) -> PyResult<bool> {
        self.locked()
    }
});
