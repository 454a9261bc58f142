//! Short keys of dictionaries, made once and shared.
//!
//! The messages of a program repeat a few keys for ever. A cached key costs a comparison instead
//! of an allocation, and its hash is already known when it enters the new dictionary.
use std::sync::{Mutex, MutexGuard};

use pyo3::prelude::*;

use crate::ffi::str_from_utf8;

/// Longer keys are not kept.
const LONGEST: usize = 32;

/// How many keys are kept, each in the one place that its hash names.
const PLACES: usize = 1024;

static KEYS: Mutex<Vec<Option<Entry>>> = Mutex::new(Vec::new());

struct Entry {
    text: [u8; LONGEST],
    len: u8,
    key: Py<PyAny>,
}

/// The cache, for the length of one dictionary; without effect while another thread has it.
pub(super) struct Keys {
    places: Option<MutexGuard<'static, Vec<Option<Entry>>>>,
}

impl Keys {
    /// Borrows the cache if it is free: a wait here could outlive whoever holds it.
    #[inline]
    pub(super) fn borrow() -> Self {
        let mut places = KEYS.try_lock().ok();
        if let Some(places) = &mut places
            && places.is_empty()
        {
            places.resize_with(PLACES, || None);
        }
        Self { places }
    }

    /// The `str` with these UTF-8 bytes.
    #[inline]
    pub(super) fn get<'py>(&mut self, py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let Some(places) = self.places.as_mut().filter(|_| text.len() <= LONGEST) else {
            return str_from_utf8(py, text);
        };
        let place = &mut places[hash(text) % PLACES];
        if let Some(entry) = place
            && entry.text[..usize::from(entry.len)] == *text
        {
            return Ok(entry.key.bind(py).clone());
        }
        let key = str_from_utf8(py, text)?;
        let mut copy = [0; LONGEST];
        copy[..text.len()].copy_from_slice(text);
        *place = Some(Entry { text: copy, len: text.len() as u8, key: key.clone().unbind() });
        Ok(key)
    }
}

/// A quick mix of the length, the first and the last eight bytes.
#[inline]
fn hash(text: &[u8]) -> usize {
    let load = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    let head = load(&text[..text.len().min(8)]);
    let tail = load(&text[text.len().saturating_sub(8)..]);
    let mixed =
        (head ^ tail.rotate_left(23) ^ text.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 40) as usize
}
