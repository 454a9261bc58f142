//! `_core.SharedDict`: a dictionary in shared memory.

use phalanx::Patience;
use phalanx::manager::{Glimpse, LockedDict, RawDict, Version};
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyTuple};

use super::common::{
    Fetched, Snapshot, Unshareable, copy_out, draft, lock, lock_failed, never, read_value,
    travelling,
};
use super::key::{EncodedKey, decode};
use crate::message::out_of_memory;
use crate::once::intern;
use crate::reading::{Reader, read_all};
use crate::types::shared::Inner;

/// A dictionary in shared memory, with the methods of a `DictProxy`. What it gives are copies.
#[pyclass(subclass, frozen, weakref, module = "phalanx._core")]
pub(crate) struct SharedDict(pub(super) Inner<RawDict>);

/// The encoded key, or the signal that it does not fit.
#[inline]
pub(super) fn encode(key: &Bound<'_, PyAny>) -> PyResult<EncodedKey> {
    EncodedKey::of(key.as_borrowed()).map_err(|_| unsuited(key))
}

#[cold]
fn unsuited(key: &Bound<'_, PyAny>) -> PyErr {
    // What no dictionary takes is no reason to look for another one.
    if let Err(error) = key.hash() {
        return error;
    }
    let text = match key.get_type().name() {
        Ok(name) => format!("a key of type {name} has to be compared by its own methods"),
        Err(error) => return error,
    };
    Unshareable::new_err(text)
}

#[cold]
fn missing(key: &Bound<'_, PyAny>) -> PyErr {
    PyKeyError::new_err((key.clone().unbind(),))
}

impl SharedDict {
    #[inline]
    pub(super) fn fetch(&self, py: Python<'_>, key: &EncodedKey) -> PyResult<Option<Py<PyAny>>> {
        let dict = self.0.get()?;
        let copy = |locked: LockedDict<'_>, frame: &mut Vec<u8>, long| {
            let found = locked.find(key.identity());
            found.map(|(_, stored)| copy_out(dict.family(), stored, frame, long))
        };
        let quick = |frame: &mut Vec<u8>| {
            let start = frame.len();
            Ok(match dict.glimpse(key.identity(), frame) {
                Glimpse::Value => Some(Ok(Fetched::Inline(start))),
                Glimpse::Absent => None,
                Glimpse::Unclear => copy(lock(py, dict)?, frame, false),
            })
        };
        read_value(py, quick, |frame| {
            Ok(copy(dict.lock(&Patience::forever()).map_err(lock_failed)?, frame, true))
        })
    }

    #[inline]
    pub(super) fn store(
        &self,
        py: Python<'_>,
        key: &EncodedKey,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let dict = self.0.get()?;
        let draft = draft(py, dict.family(), key.key(), value)?;
        lock(py, dict)?.put_as(key.identity(), draft).map_err(out_of_memory)?;
        Ok(())
    }

    /// Removes a key; whether it was there.
    pub(super) fn discard(&self, py: Python<'_>, key: &EncodedKey) -> PyResult<bool> {
        let mut locked = lock(py, self.0.get()?)?;
        let found = locked.find(key.identity()).map(|(found, _)| found);
        if let Some(found) = found {
            locked.remove(found);
        }
        Ok(found.is_some())
    }

    fn snapshot(&self, py: Python<'_>, keys: bool, values: bool) -> PyResult<Snapshot> {
        Ok(self.snapshot_of(py, keys, values)?.0)
    }

    /// Copies of the entries, and the version that had them.
    fn snapshot_of(
        &self,
        py: Python<'_>,
        keys: bool,
        values: bool,
    ) -> PyResult<(Snapshot, Version)> {
        let dict = self.0.get()?;
        let mut snapshot = Snapshot::default();
        let locked = lock(py, dict)?;
        for stored in locked.records() {
            snapshot.add(dict.family(), stored, keys, values).map_err(out_of_memory)?;
        }
        Ok((snapshot, locked.version()))
    }

    /// Stores what a dictionary holds, in one step for the others.
    fn merge(&self, py: Python<'_>, other: &Bound<'_, PyDict>) -> PyResult<()> {
        let dict = self.0.get()?;
        let mut drafts = Vec::with_capacity(other.len());
        for (key, value) in other.iter() {
            let key = encode(&key)?;
            let draft = draft(py, dict.family(), key.key(), &value)?;
            drafts.push((key, draft));
        }
        let mut locked = lock(py, dict)?;
        for (key, draft) in drafts {
            locked.put_as(key.identity(), draft).map_err(out_of_memory)?;
        }
        Ok(())
    }

    fn keys_list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        self.snapshot(py, true, false)?.objects(py, |key, _| list.append(key))?;
        Ok(list)
    }
}

travelling!(SharedDict, RawDict, {
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(lock(py, self.0.get()?)?.len())
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let encoded = encode(key)?;
        Ok(lock(key.py(), self.0.get()?)?.find(encoded.identity()).is_some())
    }

    fn __getitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.fetch(key.py(), &encode(key)?)?.ok_or_else(|| missing(key))
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.store(key.py(), &encode(key)?, value)
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.discard(key.py(), &encode(key)?)? { Ok(()) } else { Err(missing(key)) }
    }

    /// Iterate over the keys that there are now.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.keys_list(py)?.try_iter()
    }

    /// Iterate over the keys that there are now, the last first.
    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let keys = self.keys_list(py)?;
        keys.reverse()?;
        keys.try_iter()
    }

    fn __or__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.copy(py)?.bitor(other)
    }

    fn __ror__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        other.bitor(self.copy(py)?)
    }

    fn __ior__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        let args = PyTuple::new(py, [other])?;
        self.update(&args, None)
    }

    /// Return the value of a key, or `default`.
    #[pyo3(signature = (key, default = None, /))]
    fn get(&self, key: &Bound<'_, PyAny>, default: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let py = key.py();
        let value = self.fetch(py, &encode(key)?)?;
        Ok(value.or(default).unwrap_or_else(|| py.None()))
    }

    /// Return the value of a key; put `default` in first if the key is not there.
    #[pyo3(signature = (key, default = None, /))]
    fn setdefault(
        &self,
        key: &Bound<'_, PyAny>,
        default: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = key.py();
        let dict = self.0.get()?;
        let encoded = encode(key)?;
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        if let Some(value) = self.fetch(py, &encoded)? {
            return Ok(value);
        }
        let mut draft = Some(draft(py, dict.family(), encoded.key(), &default)?);
        let put_and_copy = |frame: &mut Vec<u8>| {
            let mut locked = lock(py, dict)?;
            if locked.find(encoded.identity()).is_none()
                && let Some(draft) = draft.take()
            {
                locked.put_as(encoded.identity(), draft).map_err(out_of_memory)?;
            }
            let found = locked.find(encoded.identity());
            Ok(found.map(|(_, stored)| copy_out(dict.family(), stored, frame, true)))
        };
        read_value(py, put_and_copy, never)?.ok_or_else(|| missing(key))
    }

    /// Remove a key and return its value; if it is not there, return `default` or raise `KeyError`.
    #[pyo3(signature = (key, /, *default))]
    fn pop(&self, key: &Bound<'_, PyAny>, default: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        if default.len() > 1 {
            let text = format!("pop expected at most 2 arguments, got {}", default.len() + 1);
            return Err(PyTypeError::new_err(text));
        }
        let default = default.iter().next().map(Bound::unbind);
        let dict = self.0.get()?;
        let encoded = encode(key)?;
        let py = key.py();
        let take = |frame: &mut Vec<u8>| {
            let mut locked = lock(py, dict)?;
            let Some((found, stored)) = locked.find(encoded.identity()) else { return Ok(None) };
            let fetched = copy_out(dict.family(), stored, frame, true);
            if fetched.is_ok() {
                locked.remove(found);
            }
            Ok(Some(fetched))
        };
        read_value(py, take, never)?.or(default).ok_or_else(|| missing(key))
    }

    /// Remove the key that was put in last; return it and its value.
    fn popitem<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Py<PyAny>)> {
        let dict = self.0.get()?;
        let (mut identity, mut form) = (Vec::new(), Vec::new());
        let take = |frame: &mut Vec<u8>| {
            let mut locked = lock(py, dict)?;
            let Some((found, stored)) = locked.last() else { return Ok(None) };
            let fetched = copy_out(dict.family(), stored, frame, true);
            if fetched.is_ok() {
                stored.identity(&mut identity);
                stored.form(&mut form);
                locked.remove(found);
            }
            Ok(Some(fetched))
        };
        let empty = || PyKeyError::new_err("popitem(): dictionary is empty");
        let value = read_value(py, take, never)?.ok_or_else(empty)?;
        Ok((decode(py, &identity, &form)?, value))
    }

    /// Put in what another dictionary, pairs of keys and values, or keywords hold.
    #[pyo3(signature = (*args, **kwargs))]
    fn update(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = args.py();
        let other = PyDict::new(py);
        match args.len() {
            // A dictionary with the methods of the built-in one would do the same, slowly.
            1 if args.get_item(0)?.is_instance_of::<Self>() => {
                let given = args.get_item(0)?.cast_into::<Self>()?;
                other.call_method("update", (given.get().copy(py)?,), kwargs)?;
            }
            1 if !args.get_item(0)?.hasattr(intern!(py, "keys"))? => {
                let pairs = read_all(&args.get_item(0)?, Reader::Container("a shared dict"))?;
                other.call_method("update", (pairs,), kwargs)?;
            }
            _ => {
                other.call_method("update", args, kwargs)?;
            }
        }
        self.merge(py, &other)
    }

    /// Remove everything.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        lock(py, self.0.get()?)?.clear();
        Ok(())
    }

    /// Return an ordinary dictionary with the same keys and values.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let copy = PyDict::new(py);
        self.snapshot(py, true, true)?.objects(py, |key, value| copy.set_item(key, value))?;
        Ok(copy.into_any())
    }

    /// Return a list of the keys.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.keys_list(py)
    }

    /// Return a list of the values.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        self.snapshot(py, false, true)?.objects(py, |_, value| list.append(value))?;
        Ok(list)
    }

    /// Return a list of pairs of keys and values.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        self.snapshot(py, true, true)?.objects(py, |key, value| list.append((key, value)))?;
        Ok(list)
    }

    /// Take everything out, for good: from now on every use of it, in any process, raises
    /// `Unshareable`. Return an ordinary dictionary of what was in it.
    fn _retire<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let dict = self.0.get()?;
        loop {
            let (snapshot, version) = self.snapshot_of(py, true, true)?;
            // What cannot be unpickled stays where it is.
            let copy = PyDict::new(py);
            snapshot.objects(py, |key, value| copy.set_item(key, value))?;
            let locked = lock(py, dict)?;
            if locked.version() == version {
                locked.retire();
                return Ok(copy.into_any());
            }
            drop(locked);
            py.check_signals()?;
        }
    }
});
