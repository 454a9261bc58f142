//! What a ring needs of the memory it lives in; so that it runs on the arena, and on the heap
//! under a model checker.

use super::segment::Segment;
use crate::alloc_error::AllocError;
use crate::peers::{Peers, SlotId};

/// Chunks of memory named by offsets, with owners.
pub trait Memory: Peers {
    /// A chunk for this process with room for `len` bytes.
    ///
    /// # Errors
    /// When there is no memory.
    fn take_chunk(&self, len: usize) -> Result<u64, AllocError>;

    /// Frees a chunk that this process owns.
    fn free_chunk(&self, chunk: u64);

    /// This process's chunk becomes a part of the ring.
    fn attach(&self, chunk: u64) -> bool;

    /// A part of the ring becomes this process's chunk.
    fn detach(&self, chunk: u64) -> bool;

    /// A part becomes the own chunk of a process that has died, whose sweep will free it. Nothing
    /// happens if it is no part.
    fn condemn(&self, chunk: u64, dead: SlotId);

    /// The control words at the start of a segment.
    fn segment(&self, chunk: u64) -> &Segment;

    /// Writes a word and bytes behind it into a segment, at a byte position.
    fn write(&self, chunk: u64, at: usize, header: u64, bytes: &[u8]);

    /// Reads a word of a segment.
    fn read_word(&self, chunk: u64, at: usize) -> u64;

    /// Appends bytes of a segment to `out`.
    fn read(&self, chunk: u64, at: usize, len: usize, out: &mut Vec<u8>);

    /// Bytes of a segment will be read soon: they may be brought nearer meanwhile.
    fn expect(&self, _chunk: u64, _at: usize, _len: usize) {}

    /// A byte of a segment will be written soon, and its line may be brought nearer meanwhile.
    fn expect_to_write(&self, _chunk: u64, _at: usize) {}

    /// The process has been idle for a while: memory that it keeps for later may go.
    fn idle(&self) {}
}

#[cfg(not(loom))]
mod on_arena {
    use super::{AllocError, Memory, Segment};
    use crate::arena::{Chunk, ChunkState};
    use crate::family::Family;
    use crate::peers::{Peers, SlotId};

    impl Family {
        /// Moves a chunk from one state to another; false also where no chunk begins.
        fn shift(&self, offset: u64, from: State, to: State) -> bool {
            let chunk = self.arena().chunk_at(offset);
            chunk.is_some_and(|chunk| self.arena().transition(chunk, from, to))
        }
    }

    type State = (ChunkState, Option<SlotId>);
    const PART: State = (ChunkState::Part, None);

    impl Memory for Family {
        fn take_chunk(&self, len: usize) -> Result<u64, AllocError> {
            self.alloc(len).map(Chunk::offset)
        }

        fn free_chunk(&self, chunk: u64) {
            if let Some(chunk) = self.arena().chunk_at(chunk) {
                self.free(chunk);
            }
        }

        fn attach(&self, chunk: u64) -> bool {
            let owned = (ChunkState::Owned, Some(self.me()));
            self.shift(chunk, owned, PART)
        }

        fn detach(&self, chunk: u64) -> bool {
            let owned = (ChunkState::Owned, Some(self.me()));
            self.shift(chunk, PART, owned)
        }

        fn condemn(&self, chunk: u64, dead: SlotId) {
            self.shift(chunk, PART, (ChunkState::Owned, Some(dead)));
        }

        #[inline]
        fn segment(&self, chunk: u64) -> &Segment {
            self.arena().at(chunk)
        }

        #[inline]
        fn write(&self, chunk: u64, at: usize, header: u64, bytes: &[u8]) {
            self.arena().write_record(chunk + at as u64, header, bytes);
        }

        #[inline]
        fn read_word(&self, chunk: u64, at: usize) -> u64 {
            self.arena().read_word(chunk + at as u64)
        }

        #[inline]
        fn read(&self, chunk: u64, at: usize, len: usize, out: &mut Vec<u8>) {
            self.arena().read_bytes(chunk + at as u64, len, out);
        }

        #[inline]
        fn expect(&self, chunk: u64, at: usize, len: usize) {
            self.arena().prefetch(chunk + at as u64, len);
        }

        #[inline]
        fn expect_to_write(&self, chunk: u64, at: usize) {
            self.arena().prefetch_to_write(chunk + at as u64);
        }

        fn idle(&self) {
            self.give_back();
        }
    }
}
