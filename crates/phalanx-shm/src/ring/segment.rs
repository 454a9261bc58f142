//! A circular buffer of records, one link of a ring's chain.

use crate::sync::{AtomicU64, Ordering};
use crate::view::ShmSafe;

/// Bytes of a segment before its records.
pub const SEGMENT_HEADER: usize = std::mem::size_of::<Segment>();
/// Where the tail lies in a segment.
pub(super) const TAIL_AT: usize = std::mem::offset_of!(Segment, tail);
/// Room for records in the first segment of a ring, in bytes.
pub const FIRST_CAPACITY: usize = if cfg!(loom) { 64 } else { 2048 };
/// Room in the largest segment; a record needs far less.
const LARGEST_CAPACITY: usize = 1 << 20;

/// The control words of a segment. Head and tail lie on cache lines of their own.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Segment {
    pub(super) next: AtomicU64,
    pub(super) capacity: AtomicU64,
    pad0: [AtomicU64; 6],
    pub(super) tail: AtomicU64,
    pad1: [AtomicU64; 7],
    pub(super) head: AtomicU64,
    pad2: [AtomicU64; 7],
}

// SAFETY: atomics only.
#[allow(unsafe_code)]
unsafe impl ShmSafe for Segment {}

impl Default for Segment {
    fn default() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            next: AtomicU64::new(0),
            capacity: AtomicU64::new(0),
            pad0: zeros(),
            tail: AtomicU64::new(0),
            pad1: std::array::from_fn(|_| AtomicU64::new(0)),
            head: AtomicU64::new(0),
            pad2: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Segment {
    /// Prepares a segment that nobody else sees yet; its counts go on from `count`.
    pub fn prepare(&self, capacity: usize, count: u32) {
        let at = Mark { count, position: 0 }.pack();
        self.next.store(0, Ordering::Relaxed);
        self.capacity.store(capacity as u64, Ordering::Relaxed);
        self.tail.store(at, Ordering::Relaxed);
        self.head.store(at, Ordering::Release);
    }

    /// Room for records, in units of 8 bytes. A power of two even if shared memory is damaged.
    pub(super) fn units(&self) -> u32 {
        let capacity = self.capacity.load(Ordering::Relaxed) / 8;
        if capacity.is_power_of_two() && capacity <= LARGEST_CAPACITY as u64 / 8 {
            capacity as u32
        } else {
            8
        }
    }

    pub(super) fn tail(&self) -> Mark {
        Mark::unpack(self.tail.load(Ordering::Acquire))
    }

    pub(super) fn head(&self) -> Mark {
        Mark::unpack(self.head.load(Ordering::Acquire))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Acquire) as u32 == self.tail.load(Ordering::Acquire) as u32
    }
}

/// The capacity of the segment that follows one of `units`, with room for `needed` units at least
/// four times over.
pub(super) fn next_capacity(units: u32, needed: u32) -> usize {
    let grown = (units as usize * 8 * 4).min(LARGEST_CAPACITY);
    grown.max((needed as usize * 8 * 4).next_power_of_two())
}

/// A head or tail: how many records have passed, and where the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) count: u32,
    pub(super) position: u32,
}

impl Mark {
    pub(super) fn pack(self) -> u64 {
        u64::from(self.count) << 32 | u64::from(self.position)
    }

    pub(super) fn unpack(word: u64) -> Self {
        Self { count: (word >> 32) as u32, position: word as u32 }
    }

    /// One record of `units` further.
    pub(super) fn advanced(self, units: u32) -> Self {
        Self { count: self.count.wrapping_add(1), position: self.position.wrapping_add(units) }
    }
}

/// A record of so few bytes is its own header.
pub(super) const TINY_MAX: usize = 7;

/// The bytes of a tiny record; those behind the first `len` are of no consequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiny {
    pub(super) len: usize,
    pub(super) bytes: [u8; 8],
}

/// What a record's header word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Nothing more in this lap.
    Pad,
    /// These bytes, and nothing follows.
    Tiny(Tiny),
    /// So many bytes follow.
    Inline(u32),
    /// A chunk's offset and the length of its payload follow, 16 bytes, and a label of so many.
    Payload(u32),
}

impl Header {
    pub(super) fn pack(self) -> u64 {
        match self {
            Self::Pad => 1,
            Self::Inline(len) => 2 | u64::from(len) << 32,
            Self::Payload(label) => 3 | u64::from(label) << 32,
            Self::Tiny(Tiny { len, bytes }) => {
                TINY | (len as u64) << 4 | u64::from_le_bytes(bytes) << 8
            }
        }
    }

    /// The word of a tiny record, at most [`TINY_MAX`] bytes, without a copy of a length that is not
    /// known to the compiler.
    #[inline]
    pub(super) fn pack_tiny(bytes: &[u8]) -> u64 {
        let len = bytes.len();
        let word = match (bytes.first_chunk(), bytes.last_chunk()) {
            // Overlapping bytes are the same in both.
            (Some(first), Some(last)) => {
                let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
                first | last << ((len - 4) * 8)
            }
            _ if len == 0 => 0,
            _ => {
                let at = |n: usize| u64::from(bytes[n]) << (n * 8);
                at(0) | at(len / 2) | at(len - 1)
            }
        };
        TINY | (len as u64) << 4 | word << 8
    }

    #[inline]
    pub(super) fn unpack(word: u64) -> Option<Self> {
        if word & 15 == TINY {
            let len = (word >> 4 & 15) as usize;
            let bytes = (word >> 8).to_le_bytes();
            return (len <= TINY_MAX).then_some(Self::Tiny(Tiny { len, bytes }));
        }
        match word as u32 {
            1 => Some(Self::Pad),
            2 => Some(Self::Inline((word >> 32) as u32)),
            3 => Some(Self::Payload((word >> 32) as u32)),
            _ => None,
        }
    }
}

/// The low four bits of a tiny record; its length is in the next four.
const TINY: u64 = 4;

/// Units that a record with `len` bytes behind its header takes, the header included.
pub(super) const fn units_for(len: usize) -> u32 {
    1 + len.div_ceil(8) as u32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn tiny_records_of_every_length_are_read_as_they_were_written() {
        for len in 0..=TINY_MAX {
            let bytes: Vec<u8> = (0..len).map(|n| 0x91 + n as u8 * 7).collect();
            let word = Header::pack_tiny(&bytes);
            let Some(Header::Tiny(tiny)) = Header::unpack(word) else { panic!("{word:#x}") };
            assert_eq!(tiny.bytes[..tiny.len], bytes);
            assert_eq!(Header::Tiny(tiny).pack(), word);
        }
        assert_eq!(Header::unpack(TINY | 8 << 4), None);
        assert_eq!(Header::unpack(0), None);
    }
}
