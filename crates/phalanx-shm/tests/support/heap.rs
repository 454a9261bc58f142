//! Memory for rings on the ordinary heap, for the threads of one process.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use phalanx_shm::alloc_error::AllocError;
use phalanx_shm::containers::Cells;
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::ring::{Memory, SEGMENT_HEADER, Segment};

const FREE: u32 = 0;
const PART: u32 = 1;
const OWNED: u32 = 2;

/// What stands before a chunk's bytes; a chunk's offset is the address of the bytes.
#[repr(C, align(64))]
struct Before {
    state: AtomicU32,
    len: usize,
}

/// The heap as one thread, which stands for a process, sees it. Chunks are never given back.
pub(crate) struct Heap(pub(crate) u16);

impl Heap {
    fn moves(&self, chunk: u64, from: u32, to: u32) -> bool {
        let before = (chunk as usize - std::mem::size_of::<Before>()) as *const Before;
        // SAFETY: chunks are leaked.
        let state = unsafe { &(*before).state };
        state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn check(chunk: u64, end: usize) {
        let before = (chunk as usize - std::mem::size_of::<Before>()) as *const Before;
        // SAFETY: chunks are leaked, and their lengths never change.
        assert!(end <= unsafe { (*before).len }, "outside the chunk");
    }

    fn mine(&self) -> u32 {
        OWNED + u32::from(self.0)
    }
}

impl Peers for Heap {
    fn me(&self) -> SlotId {
        SlotId::from_raw(self.0).expect("slots begin at 1")
    }
    fn pid(&self, _slot: SlotId) -> u32 {
        std::process::id()
    }
    fn check(&self, _slot: SlotId) -> bool {
        true
    }
}

impl Memory for Heap {
    fn take_chunk(&self, len: usize) -> Result<u64, AllocError> {
        let len = len.next_multiple_of(8);
        let whole = (len + std::mem::size_of::<Before>()).next_multiple_of(64);
        let layout = std::alloc::Layout::from_size_align(whole, 64).expect("a layout");
        // SAFETY: not of length zero.
        let at = unsafe { std::alloc::alloc_zeroed(layout) };
        assert!(!at.is_null());
        // SAFETY: aligned, and large enough for what stands before the bytes.
        unsafe { at.cast::<Before>().write(Before { state: AtomicU32::new(self.mine()), len }) };
        Ok(at as u64 + std::mem::size_of::<Before>() as u64)
    }

    fn free_chunk(&self, chunk: u64) {
        assert!(self.moves(chunk, self.mine(), FREE), "only an owner frees");
    }

    fn attach(&self, chunk: u64) -> bool {
        self.moves(chunk, self.mine(), PART)
    }

    fn detach(&self, chunk: u64) -> bool {
        self.moves(chunk, PART, self.mine())
    }

    fn condemn(&self, chunk: u64, dead: SlotId) {
        self.moves(chunk, PART, OWNED + u32::from(dead.raw()));
    }

    fn segment(&self, chunk: u64) -> &Segment {
        Self::check(chunk, SEGMENT_HEADER);
        // SAFETY: long enough, aligned, zeroed at first, never given back.
        unsafe { &*(chunk as *const Segment) }
    }

    fn write(&self, chunk: u64, at: usize, header: u64, bytes: &[u8]) {
        Self::check(chunk, at + 8 + bytes.len());
        let to = (chunk as usize + at) as *mut u8;
        // SAFETY: inside the chunk; the ring lets only one write there at a time.
        unsafe {
            to.cast::<u64>().write_unaligned(header);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.add(8), bytes.len());
        }
    }

    fn read_word(&self, chunk: u64, at: usize) -> u64 {
        Self::check(chunk, at + 8);
        // SAFETY: inside the chunk.
        unsafe { ((chunk as usize + at) as *const u64).read_unaligned() }
    }

    fn read(&self, chunk: u64, at: usize, len: usize, out: &mut Vec<u8>) {
        Self::check(chunk, at + len);
        // SAFETY: inside the chunk; the ring lets nobody write there now.
        out.extend_from_slice(unsafe {
            std::slice::from_raw_parts((chunk as usize + at) as *const u8, len)
        });
    }
}

impl Cells for Heap {
    fn words(&self, chunk: u64, at: usize, count: usize) -> &[AtomicU64] {
        Self::check(chunk, at + count * 8);
        // SAFETY: inside the chunk, aligned, never given back.
        unsafe { std::slice::from_raw_parts((chunk as usize + at) as *const AtomicU64, count) }
    }

    fn fill(&self, chunk: u64, at: usize, bytes: &[u8]) {
        Self::check(chunk, at + bytes.len());
        let to = (chunk as usize + at) as *mut u8;
        // SAFETY: inside the chunk; nobody else uses it while it is written.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }

    fn has(&self, chunk: u64, at: usize, bytes: &[u8]) -> bool {
        Self::check(chunk, at + bytes.len());
        let from = (chunk as usize + at) as *const u8;
        // SAFETY: inside the chunk; what is compared is not written any more.
        unsafe { std::slice::from_raw_parts(from, bytes.len()) == bytes }
    }

    fn capacity(&self, chunk: u64) -> usize {
        if chunk == 0 {
            return 0;
        }
        let before = (chunk as usize - std::mem::size_of::<Before>()) as *const Before;
        // SAFETY: chunks are leaked, and their lengths never change.
        unsafe { (*before).len }
    }
}
