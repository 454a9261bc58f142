//! `Semaphore` and, with a bound, `BoundedSemaphore`.

use phalanx::sync::{self, Policy};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::shared::{Inner, acquirable, policy, released_too_often};

/// A number of permits that processes acquire and release.
#[pyclass(subclass, frozen, weakref, module = "phalanx._core")]
pub(crate) struct Semaphore(Inner<sync::Semaphore>);

impl Semaphore {
    fn empty() -> Self {
        Self(Inner::empty())
    }
}

fn make(value: u32, bounded: bool, policy: Policy) -> Result<sync::Semaphore, sync::CreateError> {
    if bounded {
        sync::BoundedSemaphore::with_policy(value, policy).map(sync::BoundedSemaphore::into_inner)
    } else {
        sync::Semaphore::with_policy(value, policy)
    }
}

acquirable!(Semaphore, "semaphore", released_too_often, {
    #[classattr]
    const SEM_VALUE_MAX: u32 = sync::Semaphore::VALUE_MAX;

    #[pyo3(signature = (value, bounded, on_owner_death = None))]
    fn _create(&self, value: i64, bounded: bool, on_owner_death: Option<&str>) -> PyResult<()> {
        let value = u32::try_from(value)
            .map_err(|_| PyValueError::new_err("a semaphore's initial value is 0 to 2147483647"))?;
        self.0.fill(make(value, bounded, policy(on_owner_death)?))
    }

    fn _attach(&self, offset: u64) -> PyResult<()> {
        self.0.fill(sync::Semaphore::from_offset(offset))
    }

    /// Return whether no permit is left.
    fn locked(&self) -> PyResult<bool> {
        self._is_zero()
    }

    /// Return the number of permits that can be acquired now.
    fn get_value(&self) -> PyResult<u32> {
        self._get_value()
    }

    fn _get_value(&self) -> PyResult<u32> {
        Ok(self.0.get()?.value())
    }

    /// How many permits this process holds, of those that know their holder.
    fn _count(&self) -> PyResult<usize> {
        Ok(self.0.get()?.held())
    }

    fn _is_mine(&self) -> PyResult<bool> {
        Ok(self._count()? > 0)
    }

    fn _start_value(&self) -> PyResult<u32> {
        Ok(self.0.get()?.start())
    }

    fn _is_zero(&self) -> PyResult<bool> {
        Ok(self.0.get()?.value() == 0)
    }
});
