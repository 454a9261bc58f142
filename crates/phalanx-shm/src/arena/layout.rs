//! Where everything lies in the arena: header, process table, chunk words, chunks.

use std::io;

use phalanx_os::memory::{HUGE_PAGE, PAGE, SharedRegion};

use super::budget::Budget;
use crate::alloc_error::AllocError;
use crate::chunk_word::ClassState;
use crate::engine_lock::EngineLock;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::table::ProcessTable;
use crate::view::{self, ShmSafe};

const MAGIC: u64 = u64::from_le_bytes(*b"phalanx\0");
const VERSION: u64 = 2;

/// Bytes at the start of the arena before the process table.
pub(super) const HEADER_LEN: usize = PAGE;

/// Sizes below a page grow by half and by a third in turn, so that at most a third is wasted;
/// larger ones double, because there only pages that are written cost memory.
const SMALL: [usize; 14] =
    [64, 128, 192, 256, 384, 512, 768, 1024, 1344, 2048, 2688, 4096, 8192, 16384];
const LARGEST: usize = 64 << 30;
/// The number of size classes.
pub const MAX_CLASSES: usize = SMALL.len() + 22;

const fn class_size(class: usize) -> usize {
    if class < SMALL.len() { SMALL[class] } else { 32768 << (class - SMALL.len()) }
}

/// A chunk of the arena, named by its size class and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chunk {
    offset: u64,
    index: u32,
    class: u16,
}

impl Chunk {
    /// Where the chunk begins, in bytes from the start of the arena. Never 0.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// How many bytes the chunk can hold.
    #[must_use]
    pub const fn capacity(self) -> usize {
        class_size(self.class as usize)
    }

    pub(super) const fn class(self) -> usize {
        self.class as usize
    }

    pub(super) const fn index(self) -> u32 {
        self.index
    }
}

/// The first page of the arena.
#[repr(C)]
pub(super) struct ArenaHeader {
    magic: AtomicU64,
    version: AtomicU64,
    span: AtomicU64,
    budget: Budget,
    housekeeping: EngineLock,
    passages: AtomicU32,
    classes: [ClassState; MAX_CLASSES],
}

// SAFETY: atomics only.
#[allow(unsafe_code)]
unsafe impl ShmSafe for ArenaHeader {}

impl ArenaHeader {
    pub(super) fn initialize(&self, span: u64, limit: u64) {
        self.span.store(span, Ordering::Relaxed);
        self.version.store(VERSION, Ordering::Relaxed);
        self.budget.set_limit(limit);
        self.magic.store(MAGIC, Ordering::Release);
    }

    pub(super) fn check(&self) -> io::Result<u64> {
        let known = self.magic.load(Ordering::Acquire) == MAGIC;
        let span = self.span.load(Ordering::Relaxed);
        let sane = span.is_power_of_two() && (1 << 20..1 << 46).contains(&span);
        if known && sane && self.version.load(Ordering::Relaxed) == VERSION {
            Ok(span)
        } else {
            Err(not_an_arena())
        }
    }

    pub(super) fn housekeeping(&self) -> &EngineLock {
        &self.housekeeping
    }

    /// Not zero once a message may have named an object.
    pub(super) fn passages(&self) -> &AtomicU32 {
        &self.passages
    }

    pub(super) fn commit(&self, bytes: u64) -> Result<(), ()> {
        self.budget.commit(bytes)
    }

    pub(super) fn uncommit(&self, bytes: u64) {
        self.budget.uncommit(bytes);
    }

    pub(super) fn committed(&self) -> u64 {
        self.budget.committed()
    }

    pub(super) fn correct(&self, from: u64, to: u64) -> bool {
        self.budget.correct(from, to)
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.budget.is_crowded()
    }

    pub(super) fn refusal(&self, len: usize) -> AllocError {
        self.budget.refusal(len)
    }
}

/// The geometry of an arena, which follows from the span of a class's region alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    span: usize,
    chunks_at: usize,
    words: [usize; MAX_CLASSES],
}

impl Layout {
    pub(super) fn new(span: usize) -> Self {
        let mut end = Self::fixed().next_multiple_of(HUGE_PAGE);
        let words = std::array::from_fn(|class| {
            let at = end;
            end += (Self::count(span, class) * 8).next_multiple_of(PAGE);
            at
        });
        Self { span, chunks_at: end.next_multiple_of(HUGE_PAGE), words }
    }

    const fn fixed() -> usize {
        HEADER_LEN + std::mem::size_of::<ProcessTable>()
    }

    /// The part that is backed by memory from the start.
    pub(super) fn fixed_len(&self) -> usize {
        Self::fixed()
    }

    pub(super) fn total_len(&self) -> usize {
        self.chunks_at + MAX_CLASSES * self.span
    }

    fn count(span: usize, class: usize) -> usize {
        (span / class_size(class)).min(1 << 30)
    }

    pub(super) fn class_for(&self, len: usize) -> Option<usize> {
        let class = if len <= SMALL[SMALL.len() - 1] {
            SMALL.partition_point(|&size| size < len)
        } else if len <= LARGEST {
            SMALL.len() + (len.next_power_of_two().trailing_zeros() as usize).saturating_sub(15)
        } else {
            return None;
        };
        (class < MAX_CLASSES && Self::count(self.span, class) > 0).then_some(class)
    }

    pub(super) fn chunk(&self, class: usize, index: u32) -> Chunk {
        let at = self.chunks_at + class * self.span + index as usize * class_size(class);
        Chunk { offset: at as u64, index, class: class as u16 }
    }

    pub(super) fn chunk_at(&self, offset: u64) -> Option<Chunk> {
        let at = usize::try_from(offset).ok()?.checked_sub(self.chunks_at)?;
        let class = at / self.span;
        if class >= MAX_CLASSES {
            return None;
        }
        let (index, rest) =
            ((at % self.span) / class_size(class), (at % self.span) % class_size(class));
        (rest == 0 && index < Self::count(self.span, class))
            .then(|| self.chunk(class, index as u32))
    }

    pub(super) fn word_offset(&self, chunk: Chunk) -> u64 {
        (self.words[chunk.class()] + chunk.index as usize * 8) as u64
    }

    /// Whether chunks of the class are smaller than a page, hence backed together.
    pub(super) fn is_small(&self, class: usize) -> bool {
        class_size(class) < PAGE
    }

    /// How many chunks the next extension of the class adds.
    pub(super) fn extension(&self, class: usize, used: u32) -> u32 {
        let step = (65536 / class_size(class)).clamp(1, 1024) as u32;
        step.min((Self::count(self.span, class) as u32).saturating_sub(used))
    }

    pub(super) fn words_range(&self, class: usize, from: u32, count: u32) -> (usize, usize) {
        (self.words[class] + from as usize * 8, count as usize * 8)
    }

    pub(super) fn chunks_range(&self, class: usize, from: u32, count: u32) -> (usize, usize) {
        let size = class_size(class);
        (self.chunk(class, from).offset as usize, count as usize * size)
    }

    /// How many chunks of the class are available: never more than its region has.
    pub(super) fn used(&self, region: &SharedRegion, class: usize) -> u32 {
        self.state(region, class).used().min(Self::count(self.span, class) as u32)
    }

    pub(super) fn state<'a>(&self, region: &'a SharedRegion, class: usize) -> &'a ClassState {
        // SAFETY: the header is mapped as long as the region is.
        #[allow(unsafe_code)]
        let header: &ArenaHeader = unsafe { view::at(region.base(), region.len(), 0) };
        &header.classes[class]
    }
}

pub(super) fn not_an_arena() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the descriptor is no phalanx arena of this version: parent and child must run the same phalanx",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_a_class_that_fits() {
        let layout = Layout::new(1 << 36);
        for len in [0, 1, 64, 65, 128, 1000, 1025, 4096, 4097, 16384, 16385, 1 << 20, (1 << 30) + 1]
        {
            let class = layout.class_for(len).expect("a class");
            assert!(class_size(class) >= len, "{len}");
            assert!(class == 0 || class_size(class - 1) < len, "{len} has a smaller class");
        }
        assert_eq!(layout.class_for((64 << 30) + 1), None);
    }

    #[test]
    fn chunks_and_offsets_agree() {
        let layout = Layout::new(64 << 20);
        for class in 0..MAX_CLASSES {
            if Layout::count(64 << 20, class) == 0 {
                continue;
            }
            let last = Layout::count(64 << 20, class) as u32 - 1;
            for index in [0, last] {
                let chunk = layout.chunk(class, index);
                assert_eq!(layout.chunk_at(chunk.offset()), Some(chunk));
                assert!(chunk.offset() as usize + chunk.capacity() <= layout.total_len());
            }
        }
        assert_eq!(layout.chunk_at(3), None);
    }
}
