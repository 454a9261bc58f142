//! Arguments that several tasks of one call have in common: stored once for all of them.
//!
//! An array that stands in many items of a `map` would otherwise be copied for each. Items are
//! compared by identity, and only where they are not plain values, so that a list of a million
//! numbers costs nothing here.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use phalanx::stash::{Stash, StashAddress, StashView};
use phalanx_shm::family::Family;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::codec::{OutOfBand, decode};
use crate::error::os_error;
use crate::ffi::{SharedBuffer, View, view};
use crate::message::out_of_memory;

/// Lists longer than this are not searched.
const SEARCHED: usize = 65_536;
/// Bytes of a stash's address in front of a frame.
pub(super) const ADDRESS: usize = 24;
/// Set in a stash's length: whoever gets the value may only read it.
pub(super) const READ_ONLY: u64 = 1 << 63;

/// What the items of a call share, and where it is stored.
#[derive(Default)]
pub(super) struct SharedArguments {
    /// Objects that stand in more than one item.
    repeated: HashSet<usize>,
    /// Stored buffers, by address and length. The call's items keep the buffers where they are.
    stashes: HashMap<(usize, usize), Stash>,
}

impl SharedArguments {
    /// Finds what the items of a list share.
    pub(super) fn of(items: &Bound<'_, PyList>) -> Self {
        let mut shared = Self::default();
        if items.len() > SEARCHED {
            return shared;
        }
        let mut seen = HashSet::new();
        for item in items.iter() {
            parts(&item, &mut |part| {
                if !seen.insert(part) {
                    shared.repeated.insert(part);
                }
            });
        }
        shared
    }

    /// Whether a part of the list has something that others have too.
    pub(super) fn concerns(&self, items: &Bound<'_, PyList>, part: Range<usize>) -> bool {
        let mut found = false;
        if !self.repeated.is_empty() {
            for item in items.get_slice(part.start, part.end).iter() {
                parts(&item, &mut |part| found |= self.repeated.contains(&part));
            }
        }
        found
    }

    /// Stores the buffers of a frame that are not stored yet, and puts their addresses before it.
    pub(super) fn store(
        &mut self,
        py: Python<'_>,
        family: &'static Family,
        frame: &mut Vec<u8>,
        buffers: &OutOfBand,
    ) -> PyResult<()> {
        let mut addresses = Vec::with_capacity(8 + buffers.len() * ADDRESS);
        addresses.extend_from_slice(&(buffers.len() as u64).to_le_bytes());
        for buffer in buffers {
            let key = (buffer.as_slice(py).as_ptr().addr(), buffer.len());
            let stash = match self.stashes.entry(key) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(place) => {
                    let stash = Stash::new(family, buffer.as_slice(py)).map_err(out_of_memory)?;
                    place.insert(stash)
                }
            };
            for word in stash.address() {
                addresses.extend_from_slice(&word.to_le_bytes());
            }
        }
        frame.splice(0..0, addresses);
        Ok(())
    }
}

/// Calls `visit` with the identity of an item, and of its parts if it is a tuple, unless they are
/// plain values.
fn parts(item: &Bound<'_, PyAny>, visit: &mut dyn FnMut(usize)) {
    match view(item.as_borrowed()) {
        View::Other => visit(item.as_ptr().addr()),
        View::Tuple(_) => {
            if let Ok(tuple) = item.cast::<PyTuple>() {
                for part in tuple.iter_borrowed() {
                    if matches!(view(part), View::Other) {
                        visit(part.as_ptr().addr());
                    }
                }
            }
        }
        _ => {}
    }
}

/// Makes the object of a frame whose buffers lie in stashes.
pub(super) fn decode_stashed(
    py: Python<'_>,
    family: &'static Family,
    bytes: &[u8],
) -> PyResult<Py<PyAny>> {
    let damaged = || PyValueError::new_err("damaged batch: its table of buffers is cut off");
    let word = |at: usize| -> PyResult<u64> {
        let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        Ok(u64::from_le_bytes(bytes.ok_or_else(damaged)?))
    };
    let count = usize::try_from(word(0)?).unwrap_or(usize::MAX);
    if count > bytes.len() / ADDRESS {
        return Err(damaged());
    }
    let mut buffers = Vec::with_capacity(count);
    for at in (0..count).map(|index| 8 + index * ADDRESS) {
        let len = word(at + 16)?;
        let address: StashAddress = [word(at)?, word(at + 8)?, len & !READ_ONLY];
        let view = StashView::open(family, address).map_err(os_error)?;
        let is_read_only = len & READ_ONLY != 0;
        buffers.push(Py::new(py, SharedBuffer::stashed(view, is_read_only))?.into_any());
    }
    decode(py, &bytes[8 + count * ADDRESS..], buffers)
}
