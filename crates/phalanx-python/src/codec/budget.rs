//! How much sharing of immutable values the native form may undo.
//!
//! Pickle writes a string that a list holds a thousand times once. The native form writes it a
//! thousand times: cheap for a few small values, a trap for many or large ones. Whatever is
//! referred to from elsewhere too is therefore charged to a budget, and once that is spent the
//! container is pickled. What only the container refers to costs nothing.
use pyo3::prelude::*;

use super::frame::OUT_OF_BAND;
use crate::ffi::is_shared;

/// Bytes of shared leaves, with [`EACH`] added for every one, that one frame may repeat.
const LIMIT: usize = 4 << 20;

/// What a decoded object weighs beside its contents, roughly.
const EACH: usize = 16;

/// How many buffers of a flat container may travel out of band; beyond it pickle does the same.
const LARGE: usize = 8;

/// Whether the native form still suits the container at hand.
#[derive(Default)]
pub(super) struct Budget {
    spent: usize,
    large: Vec<*const u8>,
}

impl Budget {
    /// Charges a leaf of `len` bytes that `held` of our own handles refer to; false once the
    /// budget is spent.
    #[inline]
    pub(super) fn charge(
        &mut self,
        leaf: Borrowed<'_, '_, PyAny>,
        held: isize,
        len: usize,
    ) -> bool {
        if is_shared(leaf, held) {
            self.spent += len + EACH;
        }
        self.spent <= LIMIT
    }

    /// Whether a leaf of `len` bytes at `data` goes out of band; `None` if the container should
    /// be pickled since the same bytes went there already, or too many others did.
    #[inline]
    pub(super) fn out_of_band(&mut self, data: *const u8, len: usize) -> Option<bool> {
        if len < OUT_OF_BAND {
            return Some(false);
        }
        if self.large.len() == LARGE || self.large.contains(&data) {
            return None;
        }
        self.large.push(data);
        Some(true)
    }
}
