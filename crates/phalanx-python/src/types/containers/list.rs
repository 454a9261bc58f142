//! `_core.SharedList`: a list in shared memory.
//!
//! What needs Python's own judgement (comparisons, slices, the wording of errors) is asked of an
//! ordinary list made outside the lock; then the list is locked, and changed if it still is what
//! was judged.

use phalanx::Patience;
use phalanx::manager::{Glimpse, Key, LockedList, RawList, Version};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySlice};

use super::common::{
    Fetched, Snapshot, copy_out, draft, lock, lock_failed, never, read_value, travelling,
};
use crate::ffi::{View, view};
use crate::message::out_of_memory;
use crate::reading::{Reader, read_all};
use crate::types::shared::Inner;

/// A list in shared memory, with the methods of a `ListProxy`. What it gives are copies.
#[pyclass(subclass, frozen, weakref, module = "phalanx._core")]
pub(crate) struct SharedList(Inner<RawList>);

const NO_KEY: Key<'static> = Key { identity: &[], form: &[] };

/// An index as it was given: from the front, or, negative, from the back.
#[inline]
fn plain_index(index: &Bound<'_, PyAny>) -> Option<i64> {
    match view(index.as_borrowed()) {
        View::Int(index) => Some(index),
        _ => None,
    }
}

/// The place that an index means in a list of that length.
#[inline]
fn place(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

/// The numbers from 0 on, as a list.
fn numbers(py: Python<'_>, len: usize) -> PyResult<Bound<'_, PyList>> {
    PyList::new(py, 0..len)
}

fn places(list: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    list.extract()
}

impl SharedList {
    fn locked<'a>(&'a self, py: Python<'_>) -> PyResult<LockedList<'a>> {
        lock(py, self.0.get()?)
    }

    /// The length, and the version that has it.
    fn measure(&self, py: Python<'_>) -> PyResult<(usize, Version)> {
        let locked = self.locked(py)?;
        Ok((locked.len(), locked.version()))
    }

    /// Locks the list if it still has that version.
    fn locked_at<'a>(
        &'a self,
        py: Python<'_>,
        version: Version,
    ) -> PyResult<Option<LockedList<'a>>> {
        let locked = self.locked(py)?;
        if locked.version() == version {
            return Ok(Some(locked));
        }
        drop(locked);
        py.check_signals()?;
        Ok(None)
    }

    #[inline]
    fn fetch(&self, py: Python<'_>, index: i64) -> PyResult<Option<Py<PyAny>>> {
        let list = self.0.get()?;
        let copy = |locked: LockedList<'_>, frame: &mut Vec<u8>, long| {
            let stored = place(index, locked.len()).and_then(|place| locked.get(place));
            stored.map(|stored| copy_out(list.family(), stored, frame, long))
        };
        let quick = |frame: &mut Vec<u8>| {
            let start = frame.len();
            Ok(match list.glimpse(|len| place(index, len), frame) {
                Glimpse::Value => Some(Ok(Fetched::Inline(start))),
                Glimpse::Absent => None,
                Glimpse::Unclear => copy(lock(py, list)?, frame, false),
            })
        };
        read_value(py, quick, |frame| {
            Ok(copy(list.lock(&Patience::forever()).map_err(lock_failed)?, frame, true))
        })
    }

    /// Copies of the items, and the version that had them.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Version)> {
        let family = self.0.get()?.family();
        let mut snapshot = Snapshot::default();
        let version = {
            let locked = self.locked(py)?;
            for stored in locked.records() {
                snapshot.add(family, stored, false, true).map_err(out_of_memory)?;
            }
            locked.version()
        };
        let list = PyList::empty(py);
        snapshot.objects(py, |_, value| list.append(value))?;
        Ok((list, version))
    }

    /// The items of a slice, in the order of the slice.
    fn slice<'py>(&self, slice: &Bound<'py, PySlice>) -> PyResult<Bound<'py, PyAny>> {
        let py = slice.py();
        let family = self.0.get()?.family();
        loop {
            let (len, version) = self.measure(py)?;
            let chosen = places(&numbers(py, len)?.as_any().get_item(slice)?)?;
            let mut snapshot = Snapshot::default();
            {
                let Some(locked) = self.locked_at(py, version)? else { continue };
                for stored in chosen.into_iter().filter_map(|place| locked.get(place)) {
                    snapshot.add(family, stored, false, true).map_err(out_of_memory)?;
                }
            }
            let list = PyList::empty(py);
            snapshot.objects(py, |_, value| list.append(value))?;
            return Ok(list.into_any());
        }
    }

    /// Assigns to what is no plain index. An ordinary list of numbers says what happens: numbers
    /// below the length stand for items, the others for the new ones.
    fn assign(&self, index: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = index.py();
        let family = self.0.get()?.family();
        let new = if index.is_instance_of::<PySlice>() {
            match py.get_type::<PyList>().call1((value,)) {
                Ok(list) => list.cast_into::<PyList>()?,
                // Said as a list says it.
                Err(_) => return PyList::empty(py).as_any().set_item(index, value),
            }
        } else {
            PyList::new(py, [value])?
        };
        loop {
            let (len, version) = self.measure(py)?;
            let shadow = numbers(py, len)?;
            if index.is_instance_of::<PySlice>() {
                shadow.as_any().set_item(index, PyList::new(py, len..len + new.len())?)?;
            } else {
                shadow.as_any().set_item(index, len)?;
            }
            let shadow = places(&shadow)?;
            let drafts = new
                .iter()
                .map(|value| draft(py, family, NO_KEY, &value))
                .collect::<PyResult<Vec<_>>>()?;
            let Some(mut locked) = self.locked_at(py, version)? else { continue };
            return locked.rearrange(&shadow, drafts).map_err(out_of_memory);
        }
    }

    /// Changes the list to what `change` makes of a list of numbers that stand for its items.
    fn rearrange(
        &self,
        py: Python<'_>,
        mut change: impl FnMut(&Bound<'_, PyList>) -> PyResult<()>,
    ) -> PyResult<()> {
        loop {
            let (len, version) = self.measure(py)?;
            let shadow = numbers(py, len)?;
            change(&shadow)?;
            let shadow = places(&shadow)?;
            let Some(mut locked) = self.locked_at(py, version)? else { continue };
            return locked.rearrange(&shadow, Vec::new()).map_err(out_of_memory);
        }
    }
}

#[cold]
fn out_of_range() -> PyErr {
    PyIndexError::new_err("list index out of range")
}

travelling!(SharedList, RawList, {
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.locked(py)?.len())
    }

    fn __getitem__(&self, index: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = index.py();
        if let Some(index) = plain_index(index) {
            return self.fetch(py, index)?.ok_or_else(out_of_range);
        }
        if let Ok(slice) = index.cast::<PySlice>() {
            return Ok(self.slice(slice)?.unbind());
        }
        // An object that stands for a number, or a mistake: an ordinary list knows.
        loop {
            let (len, version) = self.measure(py)?;
            let place: i64 = numbers(py, len)?.as_any().get_item(index)?.extract()?;
            if self.locked_at(py, version)?.is_some() {
                return self.fetch(py, place)?.ok_or_else(out_of_range);
            }
        }
    }

    fn __setitem__(&self, index: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = index.py();
        let Some(plain) = plain_index(index) else { return self.assign(index, value) };
        let family = self.0.get()?.family();
        let draft = draft(py, family, NO_KEY, value)?;
        let mut locked = self.locked(py)?;
        let place = place(plain, locked.len());
        let place =
            place.ok_or_else(|| PyIndexError::new_err("list assignment index out of range"))?;
        locked.set(place, draft);
        Ok(())
    }

    fn __delitem__(&self, index: &Bound<'_, PyAny>) -> PyResult<()> {
        self.rearrange(index.py(), |shadow| shadow.as_any().del_item(index))
    }

    fn __contains__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.snapshot(py)?.0.contains(value)
    }

    /// Iterate over copies of the items that there are now, the last first.
    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.snapshot(py)?.0.call_method0("__reversed__")
    }

    fn __add__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let list = self.snapshot(py)?.0;
        match other.cast::<Self>() {
            Ok(other) => list.add(other.get().snapshot(py)?.0),
            Err(_) => list.add(other),
        }
    }

    fn __mul__<'py>(
        &self,
        py: Python<'py>,
        count: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.snapshot(py)?.0.mul(count)
    }

    fn __rmul__<'py>(
        &self,
        py: Python<'py>,
        count: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.snapshot(py)?.0.mul(count)
    }

    fn __iadd__(&self, py: Python<'_>, items: &Bound<'_, PyAny>) -> PyResult<()> {
        self.extend(py, items)
    }

    fn __imul__(&self, py: Python<'_>, count: &Bound<'_, PyAny>) -> PyResult<()> {
        loop {
            let (list, version) = self.snapshot(py)?;
            let product = list.mul(count)?.cast_into::<PyList>()?;
            let family = self.0.get()?.family();
            let drafts = product
                .iter()
                .skip(list.len())
                .map(|value| draft(py, family, NO_KEY, &value))
                .collect::<PyResult<Vec<_>>>()?;
            let Some(mut locked) = self.locked_at(py, version)? else { continue };
            if product.is_empty() {
                locked.clear();
                return Ok(());
            }
            return locked.extend(drafts).map_err(out_of_memory);
        }
    }

    /// Add an item at the end.
    #[pyo3(signature = (object, /))]
    fn append(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, list) = (object.py(), self.0.get()?);
        let draft = draft(py, list.family(), NO_KEY, object)?;
        lock(py, list)?.push(draft).map_err(out_of_memory)
    }

    /// Add the items of an iterable at the end, all in one step.
    #[pyo3(signature = (iterable, /))]
    fn extend(&self, py: Python<'_>, iterable: &Bound<'_, PyAny>) -> PyResult<()> {
        let items = read_all(iterable, Reader::Container("a shared list"))?;
        let list = self.0.get()?;
        let drafts = items
            .iter()
            .map(|value| draft(py, list.family(), NO_KEY, &value))
            .collect::<PyResult<Vec<_>>>()?;
        lock(py, list)?.extend(drafts).map_err(out_of_memory)
    }

    /// Insert an item before an index.
    #[pyo3(signature = (index, object, /))]
    fn insert(&self, index: &Bound<'_, PyAny>, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, list) = (index.py(), self.0.get()?);
        let Some(index) = plain_index(index) else {
            // An object that stands for a number, or a mistake.
            let index = py.import("operator")?.call_method1("index", (index,))?;
            return self.insert(&index, object);
        };
        let draft = draft(py, list.family(), NO_KEY, object)?;
        let mut locked = lock(py, list)?;
        let len = locked.len() as i64;
        let at = if index < 0 { index.saturating_add(len).max(0) } else { index.min(len) };
        let at = at as usize;
        locked.splice(at..at, vec![draft]).map_err(out_of_memory)
    }

    /// Remove the item at an index, by default the last, and return it.
    #[pyo3(signature = (index = None, /))]
    fn pop(&self, py: Python<'_>, index: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let list = self.0.get()?;
        let index = match index.map(|index| plain_index(index).ok_or(index)) {
            None => -1,
            Some(Ok(index)) => index,
            Some(Err(index)) => {
                py.import("operator")?.call_method1("index", (index,))?.extract()?
            }
        };
        let take = |frame: &mut Vec<u8>| {
            let mut locked = lock(py, list)?;
            let place = place(index, locked.len());
            let Some((place, stored)) = place.and_then(|place| Some((place, locked.get(place)?)))
            else {
                let empty = locked.is_empty();
                let text = if empty { "pop from empty list" } else { "pop index out of range" };
                drop(locked);
                return Err(PyIndexError::new_err(text));
            };
            let fetched = copy_out(list.family(), stored, frame, true);
            if fetched.is_ok() {
                locked.remove(place).map_err(out_of_memory)?;
            }
            Ok(Some(fetched))
        };
        read_value(py, take, never)?.ok_or_else(out_of_range)
    }

    /// Remove the first item that is equal to a value.
    #[pyo3(signature = (value, /))]
    fn remove(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        loop {
            let (snapshot, version) = self.snapshot(py)?;
            let place = match snapshot.as_any().call_method1("index", (value,)) {
                Ok(place) => place.extract()?,
                Err(error) if error.is_instance_of::<PyValueError>(py) => {
                    snapshot.call_method1("remove", (value,))?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(mut locked) = self.locked_at(py, version)? else { continue };
            return locked.remove(place).map_err(out_of_memory);
        }
    }

    /// Return the index of the first item that is equal to a value.
    #[pyo3(signature = (*args))]
    fn index<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, pyo3::types::PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.snapshot(py)?.0.call_method1("index", args)
    }

    /// Return how many items are equal to a value.
    #[pyo3(signature = (value, /))]
    fn count<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.snapshot(py)?.0.call_method1("count", (value,))
    }

    /// Remove everything.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.locked(py)?.clear();
        Ok(())
    }

    /// Return an ordinary list of the items.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        Ok(self.snapshot(py)?.0)
    }

    /// Reverse the order of the items, in one step.
    fn reverse(&self, py: Python<'_>) -> PyResult<()> {
        let mut locked = self.locked(py)?;
        let order: Vec<usize> = (0..locked.len()).rev().collect();
        locked.rearrange(&order, Vec::new()).map_err(out_of_memory)
    }

    /// Sort the items, in one step.
    #[pyo3(signature = (*, key = None, reverse = None))]
    fn sort(
        &self,
        py: Python<'_>,
        key: Option<Py<PyAny>>,
        reverse: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        loop {
            let (snapshot, version) = self.snapshot(py)?;
            let keys = match &key {
                None => snapshot,
                Some(key) => {
                    let keys = PyList::empty(py);
                    for item in snapshot.iter() {
                        keys.append(key.call1(py, (item,))?)?;
                    }
                    keys
                }
            };
            let order = numbers(py, keys.len())?;
            let keywords = PyDict::new(py);
            keywords.set_item("key", keys.getattr("__getitem__")?)?;
            if let Some(reverse) = &reverse {
                keywords.set_item("reverse", reverse)?;
            }
            order.call_method("sort", (), Some(&keywords))?;
            let order = places(&order)?;
            let Some(mut locked) = self.locked_at(py, version)? else { continue };
            return locked.rearrange(&order, Vec::new()).map_err(out_of_memory);
        }
    }

    /// Take everything out, for good: from now on every use of it, in any process, raises
    /// `Unshareable`. Return an ordinary list of what was in it.
    fn _retire<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        loop {
            let (snapshot, version) = self.snapshot(py)?;
            if let Some(locked) = self.locked_at(py, version)? {
                locked.retire();
                return Ok(snapshot);
            }
        }
    }
});
