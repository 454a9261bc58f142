//! A small arena on the heap for one execution: offsets into it are checked as the real one checks them, and
//! nothing of a damaged image is left for the next.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use phalanx_shm::alloc_error::AllocError;
use phalanx_shm::containers::Cells;
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::ring::{Memory, SEGMENT_HEADER, Segment};

/// Words of 8 bytes.
const WORDS: usize = 1 << 15;
/// Chunks begin at multiples of this; an offset below it is nobody's.
const ALIGNMENT: usize = 64;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Owned,
    Part,
}

#[repr(align(64))]
#[expect(dead_code, reason = "read through a pointer")]
struct Line([AtomicU64; ALIGNMENT / 8]);

/// The arena and its chunks: where each begins, how long it is, and in whose hands.
pub struct Heap {
    lines: Vec<Line>,
    chunks: RefCell<BTreeMap<u64, (usize, State)>>,
    next: std::cell::Cell<usize>,
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// An empty one.
    pub fn new() -> Self {
        let line = |_| Line(std::array::from_fn(|_| AtomicU64::new(0)));
        Self {
            lines: (0..WORDS * 8 / ALIGNMENT).map(line).collect(),
            chunks: RefCell::default(),
            next: std::cell::Cell::new(ALIGNMENT),
        }
    }

    /// The offsets of all chunks there are, with their lengths.
    pub fn chunks(&self) -> Vec<(u64, usize)> {
        self.chunks.borrow().iter().map(|(at, (len, _))| (*at, *len)).collect()
    }

    /// Words at a byte offset.
    pub fn slice(&self, at: u64, count: usize) -> &[AtomicU64] {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let end = count.checked_mul(8).and_then(|len| at.checked_add(len));
        assert!(
            end.is_some_and(|end| end <= WORDS * 8) && at.is_multiple_of(8),
            "outside the heap"
        );
        // SAFETY: lines are words side by side, and the range is inside of them.
        unsafe {
            std::slice::from_raw_parts(self.lines.as_ptr().cast::<AtomicU64>().add(at / 8), count)
        }
    }

    fn shift(&self, chunk: u64, from: State, to: State) -> bool {
        match self.chunks.borrow_mut().get_mut(&chunk) {
            Some((_, state)) if *state == from => {
                *state = to;
                true
            }
            _ => false,
        }
    }
}

impl Peers for Heap {
    fn me(&self) -> SlotId {
        SlotId::from_raw(1).expect("not 0")
    }
    fn pid(&self, _slot: SlotId) -> u32 {
        std::process::id()
    }
    fn check(&self, slot: SlotId) -> bool {
        slot == self.me()
    }
}

impl Memory for Heap {
    fn take_chunk(&self, len: usize) -> Result<u64, AllocError> {
        let at = self.next.get();
        let end = at.checked_add(len).map(|end| end.next_multiple_of(ALIGNMENT));
        let Some(end) = end.filter(|end| *end <= WORDS * 8) else {
            let (committed, limit) = (at as u64, (WORDS * 8) as u64);
            return Err(AllocError { requested: len, committed, limit, available: None });
        };
        self.next.set(end);
        self.chunks.borrow_mut().insert(at as u64, (end - at, State::Owned));
        Ok(at as u64)
    }

    fn free_chunk(&self, chunk: u64) {
        self.chunks.borrow_mut().remove(&chunk);
    }

    fn attach(&self, chunk: u64) -> bool {
        self.shift(chunk, State::Owned, State::Part)
    }

    fn detach(&self, chunk: u64) -> bool {
        self.shift(chunk, State::Part, State::Owned)
    }

    fn condemn(&self, chunk: u64, _dead: SlotId) {
        self.chunks.borrow_mut().remove(&chunk);
    }

    fn segment(&self, chunk: u64) -> &Segment {
        assert!(chunk.is_multiple_of(ALIGNMENT as u64), "outside the heap");
        let words = self.slice(chunk, SEGMENT_HEADER / 8);
        // SAFETY: atomics only, aligned, and long enough.
        unsafe { &*words.as_ptr().cast::<Segment>() }
    }

    fn write(&self, chunk: u64, at: usize, header: u64, bytes: &[u8]) {
        let place = chunk.checked_add(at as u64).expect("an offset outside the heap");
        let words = self.slice(place, 1 + bytes.len().div_ceil(8));
        words[0].store(header, Ordering::Relaxed);
        for (word, bytes) in words[1..].iter().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
    }

    fn read_word(&self, chunk: u64, at: usize) -> u64 {
        let place = chunk.checked_add(at as u64).expect("an offset outside the heap");
        self.slice(place, 1)[0].load(Ordering::Relaxed)
    }

    fn read(&self, chunk: u64, at: usize, len: usize, out: &mut Vec<u8>) {
        let place = chunk.checked_add(at as u64).expect("an offset outside the heap");
        let (first, skip) = (place / 8 * 8, (place % 8) as usize);
        let words = self.slice(first, len.saturating_add(skip).div_ceil(8));
        let bytes = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        out.extend(bytes.skip(skip).take(len));
    }
}

impl Cells for Heap {
    fn words(&self, chunk: u64, at: usize, count: usize) -> &[AtomicU64] {
        self.slice(chunk.wrapping_add(at as u64), count)
    }

    fn fill(&self, chunk: u64, at: usize, bytes: &[u8]) {
        let place = chunk.wrapping_add(at as u64);
        for (n, byte) in bytes.iter().enumerate() {
            let at = place + n as u64;
            let word = &self.slice(at / 8 * 8, 1)[0];
            let mut whole = word.load(Ordering::Relaxed).to_le_bytes();
            whole[(at % 8) as usize] = *byte;
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
    }

    fn has(&self, chunk: u64, at: usize, bytes: &[u8]) -> bool {
        let mut found = Vec::new();
        self.read(chunk, at, bytes.len(), &mut found);
        found == bytes
    }

    fn capacity(&self, chunk: u64) -> usize {
        self.chunks.borrow().get(&chunk).map_or(0, |(len, _)| *len)
    }
}
