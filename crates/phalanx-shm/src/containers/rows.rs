//! Tables: rows that name records, and in maps an index of the rows.
//!
//! ```text
//!   rows: u64 | places: u64 | row * rows | place * places
//!   place:  0, or  upper half of the hash : 32 | 1 + number of the row : 32,  or  0 : 32 | REMOVED : 32
//! ```

use super::Cells;
use crate::alloc_error::AllocError;
use crate::sync::{AtomicU64, Ordering};

const HEADER: usize = 16;
const ROW: u64 = 0xffff_ffff;
/// Stands where a row was: a search goes on.
const REMOVED: u64 = ROW;
/// A table has at most so many rows.
pub(super) const ROWS_MAX: usize = (1 << 31) - 2;

/// A table, as seen by the holder of the lock.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) rows: &'a [AtomicU64],
    index: &'a [AtomicU64],
}

impl<'a> Table<'a> {
    /// A new table of zeros that this process owns, with room for so many rows.
    pub(super) fn create(
        memory: &'a impl Cells,
        rows: usize,
        has_index: bool,
    ) -> Result<(u64, Self), AllocError> {
        let places = if has_index { rows.saturating_mul(2).next_power_of_two() } else { 0 };
        let words = if rows > ROWS_MAX { usize::MAX / 16 } else { rows + places };
        let chunk = memory.take_chunk(HEADER + words * 8)?;
        let head = memory.words(chunk, 0, HEADER / 8);
        head[0].store(rows as u64, Ordering::Relaxed);
        head[1].store(places as u64, Ordering::Relaxed);
        let table = Self::at(memory, chunk);
        table.rows.iter().chain(table.index).for_each(|word| word.store(0, Ordering::Relaxed));
        Ok((chunk, table))
    }

    /// Whether there is a table in that chunk, as far as can be seen, or none at all (0). Another
    /// process may have written over it.
    #[inline]
    pub(super) fn is_sound(memory: &impl Cells, chunk: u64) -> bool {
        let room = memory.capacity(chunk) / 8;
        if room < HEADER / 8 {
            return chunk == 0;
        }
        let head = memory.words(chunk, 0, HEADER / 8);
        let [rows, places] = [&head[0], &head[1]].map(|word| word.load(Ordering::Relaxed));
        let words = rows.checked_add(places).and_then(|words| words.checked_add(2));
        words.is_some_and(|words| words <= room as u64) && (places == 0 || places.is_power_of_two())
    }

    /// What looks like a table to somebody without the lock; none where it does not.
    #[inline]
    pub(super) fn glimpse(memory: &'a impl Cells, chunk: u64) -> Option<Self> {
        if chunk == 0 {
            return Some(Self { rows: &[], index: &[] });
        }
        let room = memory.capacity(chunk) / 8;
        if room < HEADER / 8 {
            return None;
        }
        let head = memory.words(chunk, 0, HEADER / 8);
        let rows = usize::try_from(head[0].load(Ordering::Relaxed)).ok()?;
        let places = usize::try_from(head[1].load(Ordering::Relaxed)).ok()?;
        let words = rows.checked_add(places)?;
        let is_sound = words <= room - HEADER / 8 && (places == 0 || places.is_power_of_two());
        let (rows, index) =
            is_sound.then(|| memory.words(chunk, HEADER, words))?.split_at_checked(rows)?;
        Some(Self { rows, index })
    }

    /// The table in a chunk, or an empty one if there is none to be seen.
    pub(super) fn at_or_empty(memory: &'a impl Cells, chunk: u64) -> Self {
        Self::at(memory, if Self::is_sound(memory, chunk) { chunk } else { 0 })
    }

    /// The table in a chunk that is [sound](Self::is_sound); an empty one for 0.
    #[inline]
    pub(super) fn at(memory: &'a impl Cells, chunk: u64) -> Self {
        if chunk == 0 {
            return Self { rows: &[], index: &[] };
        }
        let head = memory.words(chunk, 0, HEADER / 8);
        let rows = head[0].load(Ordering::Relaxed) as usize;
        let places = head[1].load(Ordering::Relaxed) as usize;
        let words = memory.words(chunk, HEADER, rows + places);
        let (rows, index) = words.split_at(rows);
        Self { rows, index }
    }

    /// The rows that name records, with their numbers.
    pub(super) fn named(self) -> impl DoubleEndedIterator<Item = (usize, u64)> + use<'a> {
        let load = |(row, word): (usize, &AtomicU64)| (row, word.load(Ordering::Acquire));
        self.rows.iter().enumerate().map(load).filter(|(_, record)| *record != 0)
    }

    /// The places where a hash may be found, in order.
    #[inline]
    fn places(self, hash: u64) -> impl Iterator<Item = usize> {
        let len = self.index.len();
        let mask = len.wrapping_sub(1);
        (0..len).map(move |step| (hash as usize).wrapping_add(step) & mask)
    }

    /// The place and the row of the first record of that hash for which `is_it`.
    #[inline]
    pub(super) fn find(
        self,
        hash: u64,
        mut is_it: impl FnMut(u64) -> bool,
    ) -> Option<(usize, usize, u64)> {
        for place in self.places(hash) {
            let word = self.index[place].load(Ordering::Relaxed);
            if word == 0 {
                return None;
            }
            if word >> 32 != hash >> 32 || word & ROW == REMOVED {
                continue;
            }
            // Not less than 1, unless somebody has written over it.
            let row = ((word & ROW) as usize).wrapping_sub(1);
            let record = self.rows.get(row).map_or(0, |row| row.load(Ordering::Acquire));
            if record != 0 && is_it(record) {
                return Some((place, row, record));
            }
        }
        None
    }

    /// Enters a row into the index. The caller knows that there is a free place.
    pub(super) fn enter(self, hash: u64, row: usize) {
        for place in self.places(hash) {
            let word = &self.index[place];
            if word.load(Ordering::Relaxed) == 0 {
                word.store((hash >> 32) << 32 | (row as u64 + 1), Ordering::Relaxed);
                return;
            }
        }
    }

    /// Takes what lies in a place out of the index.
    pub(super) fn leave(self, place: usize) {
        self.index[place].store(REMOVED, Ordering::Relaxed);
    }

    /// Forgets the index.
    pub(super) fn clear_index(self) {
        self.index.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}
