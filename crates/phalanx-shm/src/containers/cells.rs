//! What the containers need of the memory they live in, beyond what a ring does.

use crate::ring::Memory;
use crate::sync::AtomicU64;

/// Chunks whose words and bytes can be reached by their position.
pub trait Cells: Memory {
    /// `count` words of a chunk from byte position `at` on, a multiple of eight. Panics when they
    /// lie outside all memory.
    fn words(&self, chunk: u64, at: usize, count: usize) -> &[AtomicU64];

    /// Writes bytes into a chunk that nobody else uses.
    fn fill(&self, chunk: u64, at: usize, bytes: &[u8]);

    /// Whether these bytes lie at that position. Nobody may be writing there.
    fn has(&self, chunk: u64, at: usize, bytes: &[u8]) -> bool;

    /// How many bytes the chunk can hold; 0 if no chunk begins there.
    fn capacity(&self, chunk: u64) -> usize;
}

#[cfg(not(loom))]
mod on_arena {
    use super::Cells;
    use crate::arena::Chunk;
    use crate::family::Family;
    use crate::sync::AtomicU64;

    impl Cells for Family {
        #[inline]
        fn words(&self, chunk: u64, at: usize, count: usize) -> &[AtomicU64] {
            self.arena().slice_at(chunk.wrapping_add(at as u64), count)
        }

        #[inline]
        fn fill(&self, chunk: u64, at: usize, bytes: &[u8]) {
            if let Some(chunk) = self.arena().chunk_at(chunk) {
                self.arena().write(chunk, at, bytes);
            }
        }

        #[inline]
        fn has(&self, chunk: u64, at: usize, bytes: &[u8]) -> bool {
            self.arena().is_equal(chunk.wrapping_add(at as u64), bytes)
        }

        fn capacity(&self, chunk: u64) -> usize {
            self.arena().chunk_at(chunk).map_or(0, Chunk::capacity)
        }
    }
}
