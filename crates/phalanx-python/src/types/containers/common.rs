//! What dictionaries and lists in shared memory have in common: values in, values out, waiting for
//! the lock.

use phalanx::manager::{Draft, Key, LockFailed, Shape, Stored, draft_parcel, fetch};
use phalanx::message::Incoming;
use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;
use phalanx_shm::patience::Patience;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

use super::key;
use crate::codec;
use crate::interrupt::waiting;
use crate::message::{object_of, out_of_memory, with_scratch};

pub(crate) use unshareable::Unshareable;

#[allow(clippy::disallowed_methods, reason = "made when the module is imported")]
mod unshareable {
    pyo3::create_exception!(
        phalanx._core,
        Unshareable,
        super::PyException,
        "The object cannot live in shared memory as it is asked to, or no longer does: use a served one."
    );
}

/// Values of more bytes than this are copied without the GIL.
const LONG_COPY: usize = 512 * 1024;

#[cold]
pub(super) fn lock_failed(why: LockFailed) -> PyErr {
    match why {
        LockFailed::Retired => Unshareable::new_err("what was in it has moved elsewhere"),
        LockFailed::GaveUp(why) => PyRuntimeError::new_err(why.to_string()),
    }
}

/// Something that can be locked.
pub(super) trait Lockable: Sync {
    type Locked<'a>
    where
        Self: 'a;
    fn lock(&self, patience: &Patience<'_>) -> Result<Self::Locked<'_>, LockFailed>;
}

/// Locks it, waiting without the GIL where that takes longer than a moment.
///
/// Nothing that is made of Python while the lock is held may run other code: objects are made before
/// or after.
#[inline]
pub(super) fn lock<'a, T: Lockable>(py: Python<'_>, this: &'a T) -> PyResult<T::Locked<'a>> {
    match this.lock(&Patience::none()) {
        Ok(locked) => Ok(locked),
        Err(why) => lock_slowly(py, this, why),
    }
}

#[cold]
fn lock_slowly<'a, T: Lockable>(
    py: Python<'_>,
    this: &'a T,
    mut why: LockFailed,
) -> PyResult<T::Locked<'a>> {
    // Not held while we wait for the GIL: others would wait with us.
    while let LockFailed::GaveUp(_) = why {
        if let Err(why) = waiting(py, None, |patience| this.lock(&patience).map(drop))? {
            return Err(lock_failed(why));
        }
        match this.lock(&Patience::none()) {
            Ok(locked) => return Ok(locked),
            Err(again) => why = again,
        }
    }
    Err(lock_failed(why))
}

/// Writes a value, with its key, into shared memory.
#[inline]
pub(super) fn draft(
    py: Python<'_>,
    family: &'static Family,
    key: Key<'_>,
    value: &Bound<'_, PyAny>,
) -> PyResult<Draft> {
    with_scratch(|frame| {
        let payloads = codec::encode(py, value, frame)?;
        if payloads.is_empty() {
            return Draft::entry(family, key, frame).map_err(out_of_memory);
        }
        let lengths: Vec<usize> = payloads.iter().map(|payload| payload.len()).collect();
        let write = || -> Result<Draft, AllocError> {
            draft_parcel(family, key, frame, &lengths, |number, write| {
                payloads[number].with_bytes(|bytes| write(bytes));
            })
        };
        let long = lengths.iter().sum::<usize>() > LONG_COPY;
        let draft = if long { py.detach(write) } else { write() };
        draft.map_err(out_of_memory)
    })
}

/// A value that has been copied out, or is to be copied out without the GIL.
pub(super) enum Fetched {
    /// The bytes in the buffer from there on.
    Inline(usize),
    Parcel(Incoming),
    Long,
}

/// Copies a value out, while its container is locked.
#[inline]
pub(super) fn copy_out(
    family: &'static Family,
    stored: Stored<'_>,
    frame: &mut Vec<u8>,
    long: bool,
) -> Result<Fetched, AllocError> {
    if stored.shape() == Shape::Parcel && !long && stored.value_len() > LONG_COPY {
        return Ok(Fetched::Long);
    }
    let start = frame.len();
    Ok(match fetch(family, stored, frame)? {
        Incoming::Inline => Fetched::Inline(start),
        parcel => Fetched::Parcel(parcel),
    })
}

/// Makes the object of a value that `quick` copies out, or finds too long to be copied with the GIL
/// held; then `slow` does.
#[inline]
pub(super) fn read_value(
    py: Python<'_>,
    quick: impl FnOnce(&mut Vec<u8>) -> PyResult<Option<Result<Fetched, AllocError>>>,
    slow: impl FnOnce(&mut Vec<u8>) -> PyResult<Option<Result<Fetched, AllocError>>> + Send,
) -> PyResult<Option<Py<PyAny>>> {
    with_scratch(|frame| {
        let mut fetched = quick(frame)?;
        if let Some(Ok(Fetched::Long)) = fetched {
            fetched = py.detach(|| slow(frame))?;
        }
        let Some(fetched) = fetched else { return Ok(None) };
        let object = match fetched.map_err(out_of_memory)? {
            Fetched::Inline(start) => object_of(py, Incoming::Inline, frame, start)?,
            Fetched::Parcel(parcel) => object_of(py, parcel, frame, 0)?,
            Fetched::Long => return Err(PyRuntimeError::new_err("a value was not copied")),
        };
        Ok(Some(object))
    })
}

/// What `read_value` does when nothing was too long.
pub(super) fn never(_: &mut Vec<u8>) -> PyResult<Option<Result<Fetched, AllocError>>> {
    Ok(Some(Ok(Fetched::Long)))
}

/// Copies of several entries, taken at one instant.
#[derive(Default)]
pub(super) struct Snapshot {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

struct Entry {
    identity: std::ops::Range<usize>,
    form: std::ops::Range<usize>,
    value: Option<Value>,
}

enum Value {
    Inline(std::ops::Range<usize>),
    Parcel(Incoming),
}

impl Snapshot {
    pub(super) fn add(
        &mut self,
        family: &'static Family,
        stored: Stored<'_>,
        with_key: bool,
        with_value: bool,
    ) -> Result<(), AllocError> {
        let start = self.bytes.len();
        if with_key {
            stored.identity(&mut self.bytes);
        }
        let identity = start..self.bytes.len();
        if with_key {
            stored.form(&mut self.bytes);
        }
        let form = identity.end..self.bytes.len();
        let value = if with_value {
            Some(match fetch(family, stored, &mut self.bytes)? {
                Incoming::Inline => Value::Inline(form.end..self.bytes.len()),
                parcel => Value::Parcel(parcel),
            })
        } else {
            None
        };
        self.entries.push(Entry { identity, form, value });
        Ok(())
    }

    /// The keys and values, where they were asked for, as objects.
    pub(super) fn objects<'py>(
        self,
        py: Python<'py>,
        mut each: impl FnMut(Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>) -> PyResult<()>,
    ) -> PyResult<()> {
        let bytes = self.bytes;
        for entry in self.entries {
            let identity = &bytes[entry.identity];
            let key = match identity.is_empty() {
                true => None,
                false => Some(key::decode(py, identity, &bytes[entry.form])?),
            };
            let value = match entry.value {
                None => None,
                Some(Value::Inline(at)) => Some(codec::decode(py, &bytes[at], Vec::new())?),
                Some(Value::Parcel(parcel)) => Some(object_of(py, parcel, &mut Vec::new(), 0)?),
            };
            each(key, value.map(|value| value.into_bound(py)))?;
        }
        Ok(())
    }
}

/// The methods by which a shared object is made, and travels.
macro_rules! travelling {
    ($class:ident, $engine:ty, { $($more:tt)* }) => {
        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (*_args, **_kwargs))]
            fn new(
                _args: &pyo3::Bound<'_, pyo3::types::PyTuple>,
                _kwargs: Option<&pyo3::Bound<'_, pyo3::types::PyDict>>,
            ) -> Self {
                Self($crate::types::shared::Inner::empty())
            }

            /// Make the object itself, empty.
            fn _create(&self) -> PyResult<()> {
                self.0.fill(<$engine>::new())
            }

            /// Become a handle to the object at `offset`, which this process was given.
            fn _attach(&self, offset: u64) -> PyResult<()> {
                self.0.fill(<$engine>::from_offset(offset))
            }

            /// Become a handle to the object of that name, which another process holds meanwhile.
            fn _join(&self, offset: u64, tag: u64) -> PyResult<()> {
                self.0.fill(<$engine>::join([offset, tag]))
            }

            /// Name the object for the process that is being started, and make that a holder.
            fn _share(&self) -> PyResult<u64> {
                Ok(self.0.get()?.share())
            }

            /// What names the object to processes of the family that run already.
            fn _name(&self) -> PyResult<(u64, u64)> {
                let [offset, tag] = self.0.get()?.name();
                Ok((offset, tag))
            }

            #[classmethod]
            fn _attached<'py>(
                cls: &Bound<'py, pyo3::types::PyType>,
                offset: u64,
            ) -> PyResult<Bound<'py, PyAny>> {
                let new = cls.call_method1(crate::once::intern!(cls.py(), "__new__"), (cls,))?;
                new.cast::<Self>()?.get()._attach(offset)?;
                Ok(new)
            }

            #[classmethod]
            fn _joined<'py>(
                cls: &Bound<'py, pyo3::types::PyType>,
                offset: u64,
                tag: u64,
            ) -> PyResult<Bound<'py, PyAny>> {
                let new = cls.call_method1(crate::once::intern!(cls.py(), "__new__"), (cls,))?;
                new.cast::<Self>()?.get()._join(offset, tag)?;
                Ok(new)
            }

            /// Give a child that is being started a hold; others get by the name, while one is held.
            fn __reduce__<'py>(
                slf: &Bound<'py, Self>,
            ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
                let engine = slf.get().0.get()?;
                let class = slf.get_type();
                if phalanx::process::spawning_slot().is_some() {
                    let args = (engine.share(),).into_pyobject(slf.py())?;
                    return Ok((class.getattr("_attached")?, args.into_any()));
                }
                let [offset, tag] = engine.name();
                let args = (offset, tag).into_pyobject(slf.py())?;
                Ok((class.getattr("_joined")?, args.into_any()))
            }

            $($more)*
        }

        impl $crate::types::containers::common::Lockable for $engine {
            type Locked<'a> = <$engine as $crate::types::containers::common::Handle>::Locked<'a>;
            #[inline]
            fn lock(
                &self,
                patience: &phalanx_shm::patience::Patience<'_>,
            ) -> Result<Self::Locked<'_>, phalanx::manager::LockFailed> {
                Self::lock(self, patience)
            }
        }
    };
}
pub(super) use travelling;

/// What a locked engine object is called.
pub(super) trait Handle {
    type Locked<'a>;
}

impl Handle for phalanx::manager::RawDict {
    type Locked<'a> = phalanx::manager::LockedDict<'a>;
}

impl Handle for phalanx::manager::RawList {
    type Locked<'a> = phalanx::manager::LockedList<'a>;
}
