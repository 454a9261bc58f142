//! `_core.SynchronizedBase`: a shared `ctypes` object and the lock that goes with it.
//!
//! A number is read and written without its `ctypes` object, which is made only for those who ask
//! for it, and a lock of phalanx is taken without a call into Python.

use crate::once::{MadeOnce, intern};
use phalanx::sync::{self, Acquired};
use phalanx_shm::patience::{GaveUp, Patience};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::lock::Lock;
use super::rlock::RLock;
use super::scalar::Scalar;
use super::shared::{acquire_slowly, owner_died};
use crate::ffi::{QuickProperty, SharedBlock, quick_property};

/// What an instance is made of, once it has been initialized.
struct Parts {
    /// A number's memory and type.
    number: Option<(Py<SharedBlock>, Scalar)>,
    /// The `ctypes` object, or none yet for a number.
    object: PyOnceLock<Py<PyAny>>,
    /// The `ctypes` type of a number.
    kind: Option<Py<PyAny>>,
    lock: Py<PyAny>,
    quick: Quick,
}

/// A lock whose methods need not be called through Python.
enum Quick {
    RLock(Py<RLock>),
    Lock(Py<Lock>),
    None,
}

/// A shared object together with its lock; the base of the classes of `phalanx.sharedctypes`.
#[pyclass(subclass, frozen, weakref, module = "phalanx._core")]
pub(crate) struct SynchronizedBase(PyOnceLock<Parts>);

impl SynchronizedBase {
    #[inline]
    fn parts(&self, py: Python<'_>) -> PyResult<&Parts> {
        self.0
            .get(py)
            .ok_or_else(|| PyRuntimeError::new_err("__init__() of the base class was not called"))
    }
}

impl Parts {
    /// Runs `action` while the lock is held.
    #[inline]
    fn locked<R>(&self, py: Python<'_>, action: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
        match &self.quick {
            Quick::RLock(lock) => {
                let engine = lock.get().engine()?;
                match engine.try_acquire() {
                    Some(Acquired::Clean) => {}
                    how => settle(py, engine, how)?,
                }
                let result = action();
                engine.release().map_err(|_| not_held())?;
                result
            }
            Quick::Lock(lock) => {
                let engine = lock.get().engine()?;
                match engine.try_acquire() {
                    Some(Acquired::Clean) => {}
                    how => settle(py, engine, how)?,
                }
                let result = action();
                engine.release().map_err(|_| not_held())?;
                result
            }
            Quick::None => {
                let lock = self.lock.bind(py);
                lock.call_method0(intern!(py, "acquire"))?;
                let result = action();
                lock.call_method0(intern!(py, "release"))?;
                result
            }
        }
    }

    fn object<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let object = self.object.made(py, || {
            let (Some((block, _)), Some(kind)) = (&self.number, &self.kind) else {
                return Err(PyRuntimeError::new_err("the object was not made"));
            };
            let rebuild = py.import("phalanx.sharedctypes")?.getattr("rebuild_ctype")?;
            Ok(rebuild.call1((kind, block, py.None()))?.unbind())
        })?;
        Ok(object.bind(py))
    }
}

/// The two locks of the engine, for the slow path.
trait Engine: Sync {
    fn acquire(&self, patience: &Patience<'_>) -> Result<Acquired, GaveUp>;
    fn give_back(&self);
}

impl Engine for sync::RLock {
    fn acquire(&self, patience: &Patience<'_>) -> Result<Acquired, GaveUp> {
        Self::acquire(self, patience)
    }
    fn give_back(&self) {
        let _ = self.release();
    }
}

impl Engine for sync::RawLock {
    fn acquire(&self, patience: &Patience<'_>) -> Result<Acquired, GaveUp> {
        Self::acquire(self, patience)
    }
    fn give_back(&self) {
        let _ = self.release();
    }
}

/// Waits for a lock that was not free; one whose holder died is released again, as by `with`.
#[cold]
fn settle(py: Python<'_>, lock: &impl Engine, how: Option<Acquired>) -> PyResult<()> {
    let how = match how {
        Some(how) => how,
        None => acquire_slowly(py, None, |patience| lock.acquire(patience))?
            .ok_or_else(|| PyRuntimeError::new_err("interrupted"))?,
    };
    match how {
        Acquired::Clean => Ok(()),
        Acquired::OwnerDied { pid } => {
            lock.give_back();
            Err(owner_died(py, "lock of a shared value", pid, false))
        }
    }
}

#[cold]
fn not_held() -> PyErr {
    PyRuntimeError::new_err("the lock of a shared value was released by somebody else")
}

/// The lock behind a Python object of one of our own classes; subclasses may do more than lock.
fn quick(lock: &Bound<'_, PyAny>) -> PyResult<Quick> {
    let own = |name: &str| -> PyResult<bool> {
        let class =
            lock.py().import("phalanx.synchronize")?.getattr(name)?.cast_into::<PyType>()?;
        Ok(lock.get_type().is(&class))
    };
    if let Ok(rlock) = lock.cast::<RLock>()
        && own("RLock")?
    {
        return Ok(Quick::RLock(rlock.clone().unbind()));
    }
    if let Ok(plain) = lock.cast::<Lock>()
        && own("Lock")?
    {
        return Ok(Quick::Lock(plain.clone().unbind()));
    }
    Ok(Quick::None)
}

#[pymethods]
impl SynchronizedBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self(PyOnceLock::new())
    }

    /// Wrap a `ctypes` object.
    fn _wrap(&self, py: Python<'_>, obj: Py<PyAny>, lock: &Bound<'_, PyAny>) -> PyResult<()> {
        let object = PyOnceLock::new();
        let _ = object.set(py, obj);
        let (quick, lock) = (quick(lock)?, lock.clone().unbind());
        let parts = Parts { number: None, object, kind: None, lock, quick };
        let _ = self.0.set(py, parts);
        Ok(())
    }

    /// Wrap a number of the type with that code, whose `ctypes` type is `kind`.
    fn _number(
        &self,
        py: Python<'_>,
        block: Py<SharedBlock>,
        code: char,
        kind: Py<PyAny>,
        lock: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let scalar = Scalar::of_code(code)
            .ok_or_else(|| PyTypeError::new_err(format!("{code:?} is no number's type code")))?;
        let number = Some((block, scalar));
        let (quick, lock) = (quick(lock)?, lock.clone().unbind());
        let parts = Parts { number, object: PyOnceLock::new(), kind: Some(kind), lock, quick };
        let _ = self.0.set(py, parts);
        Ok(())
    }

    /// The number's memory, its `ctypes` type, or neither.
    fn _number_parts(&self, py: Python<'_>) -> PyResult<Option<(Py<SharedBlock>, Py<PyAny>)>> {
        let parts = self.parts(py)?;
        Ok(match (&parts.number, &parts.kind) {
            (Some((block, _)), Some(kind)) => Some((block.clone_ref(py), kind.clone_ref(py))),
            _ => None,
        })
    }

    /// An attribute of the object, read while the lock is held.
    fn _get_attribute<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, pyo3::types::PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let parts = self.parts(py)?;
        let object = parts.object(py)?;
        parts.locked(py, || object.getattr(name))
    }

    /// Set an attribute of the object while the lock is held.
    fn _set_attribute(
        &self,
        py: Python<'_>,
        name: &Bound<'_, pyo3::types::PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let parts = self.parts(py)?;
        let object = parts.object(py)?;
        parts.locked(py, || object.setattr(name, value))
    }

    /// An item or slice of the object, read while the lock is held.
    fn _get_item<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let parts = self.parts(py)?;
        let object = parts.object(py)?;
        parts.locked(py, || object.get_item(key))
    }

    /// Set an item or slice of the object while the lock is held.
    fn _set_item(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let parts = self.parts(py)?;
        let object = parts.object(py)?;
        parts.locked(py, || object.set_item(key, value))
    }

    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.parts(py)?.lock.bind(py).call_method0(intern!(py, "__enter__"))
    }

    #[pyo3(signature = (*details))]
    fn __exit__<'py>(
        &self,
        py: Python<'py>,
        details: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.parts(py)?.lock.bind(py).call_method1(intern!(py, "__exit__"), details)
    }

    /// The lock's `acquire`.
    #[getter]
    fn acquire<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.parts(py)?.lock.bind(py).getattr(intern!(py, "acquire"))
    }

    /// The lock's `release`.
    #[getter]
    fn release<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.parts(py)?.lock.bind(py).getattr(intern!(py, "release"))
    }

    /// Return the shared `ctypes` object.
    fn get_obj<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.parts(py)?.object(py).cloned()
    }

    /// Return the lock.
    fn get_lock<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.parts(py)?.lock.bind(py).clone())
    }

    #[getter]
    fn _obj<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_obj(py)
    }

    #[getter]
    fn _lock<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_lock(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        Ok(format!("<{name} wrapper for {}>", slf.get().get_obj(slf.py())?.str()?))
    }
}

impl QuickProperty for SynchronizedBase {
    #[inline]
    fn quick_get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let parts = self.0.get(py)?;
        let (Some((block, scalar)), Quick::RLock(lock)) = (&parts.number, &parts.quick) else {
            return None;
        };
        let engine = lock.get().engine().ok()?;
        let word = engine.try_briefly(|| block.get().block().load())?;
        scalar.load(py, word).ok()
    }

    #[cold]
    fn slow_get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let parts = self.parts(py)?;
        match &parts.number {
            Some((block, scalar)) => {
                let word = parts.locked(py, || Ok(block.get().block().load()))?;
                scalar.load(py, word)
            }
            None => {
                let object = parts.object(py)?;
                parts.locked(py, || object.getattr(intern!(py, "value")))
            }
        }
    }

    #[inline]
    fn quick_set(&self, value: Borrowed<'_, '_, PyAny>) -> bool {
        let Some(parts) = self.0.get(value.py()) else { return false };
        let (Some((block, scalar)), Quick::RLock(lock)) = (&parts.number, &parts.quick) else {
            return false;
        };
        let (Some(word), Ok(engine)) = (scalar.quick_store(&value), lock.get().engine()) else {
            return false;
        };
        engine.try_briefly(|| block.get().block().store(word)).is_some()
    }

    #[cold]
    fn slow_set(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let parts = self.parts(py)?;
        match &parts.number {
            Some((block, scalar)) => {
                let word = scalar.store(value)?;
                parts.locked(py, || {
                    block.get().block().store(word);
                    Ok(())
                })
            }
            None => {
                let object = parts.object(py)?;
                parts.locked(py, || object.setattr(intern!(py, "value"), value))
            }
        }
    }
}

/// The property `value`, for the class of single values.
#[pyfunction]
pub(crate) fn _value_property(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    quick_property::<SynchronizedBase>(py, c"The value, read and written while the lock is held.")
}
