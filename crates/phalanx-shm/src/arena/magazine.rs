//! Free chunks that a process keeps for its own next allocations.
//!
//! A chunk in a magazine is OWNED by the process like any other, so a death needs no special
//! repair. Taking the one freed last keeps caches and pages warm.

use super::layout::{Chunk, MAX_CLASSES};

/// Bytes that the magazine of one class may hold.
const BYTES: usize = 1 << 20;
/// Large chunks kept in a class even when they exceed [`BYTES`].
const LARGE_KEPT: usize = 4;
const SMALL_KEPT: usize = 64;

/// The magazines of one process, one for each size class.
#[derive(Debug)]
pub struct Magazines {
    classes: Vec<Vec<u32>>,
}

impl Default for Magazines {
    fn default() -> Self {
        Self::new()
    }
}

impl Magazines {
    /// Empty magazines.
    #[must_use]
    pub fn new() -> Self {
        Self { classes: vec![Vec::new(); MAX_CLASSES] }
    }

    pub(super) fn pop(&mut self, class: usize) -> Option<u32> {
        self.classes[class].pop()
    }

    /// Keeps the chunk if there is room.
    pub(super) fn push(&mut self, chunk: Chunk) -> bool {
        let kept = (BYTES / chunk.capacity()).clamp(LARGE_KEPT, SMALL_KEPT);
        let class = &mut self.classes[chunk.class()];
        let room = class.len() < kept;
        if room {
            class.push(chunk.index());
        }
        room
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = (usize, u32)> + '_ {
        let by_class = self.classes.iter_mut().enumerate();
        by_class.flat_map(|(class, list)| list.drain(..).map(move |index| (class, index)))
    }

    /// Whether there is nothing to give back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(Vec::is_empty)
    }

    /// Forgets the chunks without giving them back: in the child after a fork, whose parent
    /// still owns them.
    pub fn forget(&mut self) {
        self.classes.iter_mut().for_each(Vec::clear);
    }
}
