//! Taking chunks, and backing them with memory before they are used.

use phalanx_os::memory::PAGE;

use super::{AllocError, Arena, Chunk, EXTENSION, Magazines};
use crate::failpoint;
use crate::peers::SlotId;

/// How many words a search for a free chunk looks at before it takes a fresh one instead.
const SEARCH: u32 = 256;

impl Arena {
    /// Takes a chunk of at least `len` bytes, backed by memory. Contents are arbitrary.
    ///
    /// # Errors
    /// [`AllocError`] when the memory is not there.
    pub fn alloc(
        &self,
        len: usize,
        me: SlotId,
        magazines: &mut Magazines,
    ) -> Result<Chunk, AllocError> {
        let class = self.layout.class_for(len).ok_or_else(|| self.refused(len))?;
        let chunk = match magazines.pop(class) {
            Some(index) => self.layout.chunk(class, index),
            None => self
                .claim(class, me)
                .or_else(|| {
                    self.give_back(me, magazines);
                    self.claim(class, me)
                })
                .ok_or_else(|| self.refused(len))?,
        };
        failpoint!("arena.alloc.claimed");
        if self.back(chunk, len, me).is_ok() {
            return Ok(chunk);
        }
        // Free chunks keep their memory while there is plenty; now there is not.
        self.give_back(me, magazines);
        if let Err(e) = self.back(chunk, len, me) {
            self.release(chunk);
            return Err(e);
        }
        Ok(chunk)
    }

    /// Finds a free chunk of the class and makes it ours.
    fn claim(&self, class: usize, me: SlotId) -> Option<Chunk> {
        let state = self.layout.state(&self.region, class);
        let take = |index: u32| {
            let chunk = self.layout.chunk(class, index);
            self.word(chunk).claim(me).then_some(chunk)
        };
        loop {
            let (from, used) = state.search_range(self.layout.used(&self.region, class), SEARCH);
            for index in from..used {
                if let Some(chunk) = take(index) {
                    state.raise_hint(from, index + 1);
                    return Some(chunk);
                }
            }
            state.raise_hint(from, used);
            if !self.extend(class, me) {
                // The region is used up to its end: look everywhere before giving up.
                return (0..self.layout.used(&self.region, class)).find_map(take);
            }
        }
    }

    /// Makes a few more chunks of the class available. False when its region is used up or there
    /// is no memory for it.
    fn extend(&self, class: usize, me: SlotId) -> bool {
        let state = self.layout.state(&self.region, class);
        let used = self.layout.used(&self.region, class);
        let step = self.layout.extension(class, used);
        if step == 0 {
            return false;
        }
        let (words_at, words_len) = self.layout.words_range(class, used, step);
        if self.region.populate(words_at, words_len).is_err() {
            return false;
        }
        if !self.layout.is_small(class) {
            state.raise_used(used, used + step);
            return true;
        }
        // Chunks below a page are backed together, when they are first made available.
        let (at, len) = self.layout.chunks_range(class, used, step);
        let _pending = self.pend(me, EXTENSION);
        if self.header().commit(len as u64).is_err() {
            return false;
        }
        failpoint!("arena.extend.committed");
        let backed = self.region.populate(at, len).is_ok();
        failpoint!("arena.extend.backed");
        let ours = backed && state.raise_used(used, used + step);
        failpoint!("arena.extend.raised");
        if !ours {
            // Either no memory, or somebody else added and counted the same chunks.
            self.header().uncommit(len as u64);
        }
        backed
    }

    /// Backs the first `len` bytes of a chunk with memory.
    fn back(&self, chunk: Chunk, len: usize, me: SlotId) -> Result<(), AllocError> {
        if self.layout.is_small(chunk.class()) {
            return Ok(());
        }
        let word = self.word(chunk);
        let have = word.look().pages();
        let need = len.div_ceil(PAGE) as u64;
        if have >= need {
            return Ok(());
        }
        let (at, more) = (have as usize * PAGE, (need - have) as usize * PAGE);
        let _pending = self.pend(me, chunk.offset());
        failpoint!("arena.back.pending");
        self.header().commit(more as u64).map_err(|()| self.refused(len))?;
        failpoint!("arena.back.committed");
        if self.region.populate(chunk.offset() as usize + at, more).is_err() {
            // Some of it may be there.
            self.region.punch(chunk.offset() as usize + at, more);
            self.header().uncommit(more as u64);
            return Err(self.refused(len));
        }
        failpoint!("arena.back.populated");
        word.add_pages(need - have);
        failpoint!("arena.back.counted");
        Ok(())
    }

    #[cold]
    fn refused(&self, len: usize) -> AllocError {
        self.header().refusal(len)
    }
}
