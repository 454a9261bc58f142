//! The arena: all memory that a family of processes shares, in one sparse anonymous file.
//!
//! Address space is plentiful and untouched pages cost nothing, so each size class has a region
//! of its own, large enough for all memory of the machine: an array of equal chunks, each with a
//! *chunk word* in a table beside it. Taking a chunk is one compare-and-swap on its word, which
//! names the owner; nothing is ever split or merged, and no operation spans two words. A chunk of
//! 80 MB in the class of 128 MB uses 80 MB: only the pages that are written exist.
//!
//! ```text
//!   FREE -> OWNED(slot) -> PART -> OWNED(slot') -> FREE      memory handed from process to process
//!               |  ^
//!               v  |
//!             OBJECT                                          shared by all who hold it
//! ```
//!
//! FREE: nobody's; keeps its pages, because rewriting a warm page is ten times quicker than the
//! first write to a fresh one. OWNED: belongs to one process, also while it lies in that process's
//! magazine of free chunks. PART: belongs to a shared object (a ring's segment or a payload in
//! flight); the object's own repair rules say who frees it. OBJECT: begins with an
//! [`crate::object::ObjectHeader`] that lists its holders.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | at any step of `alloc` or `free` | the word says FREE or OWNED(dead) | the sweep frees OWNED(dead) |
//! | owning chunks, also those of its magazine | OWNED(dead) | the sweep |
//! | while backing pages with memory, or giving them back | pages that the word does not count, accounts that do not agree with the words | its slot's *pending* word says so and names the chunk; the sweep empties that and adds up all words anew |
//!
//! Memory is backed *before* it is used (`MADV_POPULATE_WRITE`), so a machine or a memory cgroup
//! without memory makes [`AllocError`], never SIGBUS.

mod access;
mod allocate;
mod budget;
mod layout;
mod magazine;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use phalanx_os::memory::{PAGE, SharedRegion};

pub use crate::alloc_error::AllocError;
pub use crate::chunk_word::{ChunkState, Hands};
pub use layout::{Chunk, MAX_CLASSES};
pub use magazine::Magazines;

use crate::chunk_word::{ChunkWord, Seen};
use crate::engine_lock::EngineLock;
use crate::failpoint;
use crate::passage;
use crate::peers::SlotId;
use crate::sync::{AtomicU64, Ordering};
use crate::table::ProcessTable;
use crate::view;
use layout::{ArenaHeader, Layout};

/// Fewer pages than this are not worth a system call to give back.
const DISCARD_PAGES: u64 = 16;

/// The shared memory of a family of processes, as mapped by one of them.
pub struct Arena {
    region: SharedRegion,
    layout: Layout,
}

impl Arena {
    /// Creates an arena that can use up to `limit` bytes of memory (default: what the machine or
    /// the memory cgroup allows).
    ///
    /// # Errors
    /// When the kernel refuses a descriptor or the address space.
    pub fn create(limit: Option<u64>) -> io::Result<Self> {
        let limit = limit.unwrap_or_else(budget::default_limit);
        let mut span = limit.next_power_of_two().max(64 << 20) as usize;
        loop {
            let layout = Layout::new(span);
            match SharedRegion::create("phalanx", layout.total_len()) {
                Ok(region) => {
                    region.populate(0, layout.fixed_len())?;
                    let arena = Self { region, layout };
                    arena.header().initialize(span as u64, limit);
                    return Ok(arena);
                }
                // A limit on address space (RLIMIT_AS): a smaller arena is better than none.
                Err(_) if span > (16 << 20) => span /= 2,
                Err(e) => return Err(e),
            }
        }
    }

    /// Maps the arena behind a descriptor that another process of the family passed on.
    ///
    /// # Errors
    /// When the descriptor is no arena, or one of another version of phalanx.
    pub fn attach(fd: OwnedFd) -> io::Result<Self> {
        let region = SharedRegion::attach(fd)?;
        if region.len() < layout::HEADER_LEN {
            return Err(layout::not_an_arena());
        }
        // SAFETY: the region is at least a header long and mapped while we look.
        #[allow(unsafe_code)]
        let header: &ArenaHeader = unsafe { view::at(region.base(), region.len(), 0) };
        let layout = Layout::new(header.check()? as usize);
        if layout.total_len() != region.len() {
            return Err(layout::not_an_arena());
        }
        Ok(Self { region, layout })
    }

    /// A reference to the value of type `T` at `offset`.
    ///
    /// # Panics
    /// When the range lies outside the arena.
    #[must_use]
    pub fn at<T: view::ShmSafe>(&self, offset: u64) -> &T {
        // SAFETY: the region is mapped as long as `self` lives.
        #[allow(unsafe_code)]
        unsafe {
            view::at(self.region.base(), self.region.len(), offset)
        }
    }

    fn header(&self) -> &ArenaHeader {
        self.at(0)
    }

    /// The `count` values of type `T` from `offset` on. Panics when they lie outside the arena.
    #[inline]
    #[must_use]
    pub fn slice_at<T: view::ShmSafe>(&self, offset: u64, count: usize) -> &[T] {
        // SAFETY: the region is mapped as long as `self` lives.
        #[allow(unsafe_code)]
        unsafe {
            view::slice_at(self.region.base(), self.region.len(), offset, count)
        }
    }

    /// Where a value that lies in the arena begins.
    #[inline]
    #[must_use]
    pub fn offset_of<T: view::ShmSafe>(&self, value: &T) -> u64 {
        (std::ptr::from_ref(value) as usize - self.region.base() as usize) as u64
    }

    /// The process table.
    #[must_use]
    pub fn table(&self) -> &ProcessTable {
        self.at(layout::HEADER_LEN as u64)
    }

    /// The lock under which dead processes are swept and objects destroyed.
    #[must_use]
    pub fn housekeeping(&self) -> &EngineLock {
        self.header().housekeeping()
    }

    /// Bytes of memory that back the arena's chunks at present.
    #[must_use]
    pub fn committed_bytes(&self) -> u64 {
        self.header().committed()
    }

    /// Returns the memory behind free chunks to the system: this process's and nobody's. Called
    /// when memory is short, and by processes that have been idle for a while.
    pub fn give_back(&self, me: SlotId, magazines: &mut Magazines) {
        self.flush(magazines);
        self.for_each(|chunk, seen| {
            if seen.state() != ChunkState::Free || seen.pages() < DISCARD_PAGES {
                return;
            }
            if self.word(chunk).claim_as(seen, me) {
                failpoint!("arena.give_back.claimed");
                self.discard(chunk);
                self.release(chunk);
            }
        });
    }

    /// Gives a chunk back that the calling process owns. The process may keep it for its next
    /// allocation.
    pub fn free(&self, chunk: Chunk, magazines: &mut Magazines) {
        // When memory is short, what others could use is not kept.
        let keeps =
            !(chunk.capacity() >= DISCARD_PAGES as usize * PAGE && self.header().is_crowded());
        if !keeps || !magazines.push(chunk) {
            self.release(chunk);
        }
    }

    /// Gives the chunks of a magazine back, and the memory behind large ones to the system.
    pub fn flush(&self, magazines: &mut Magazines) {
        for (class, index) in magazines.drain() {
            let chunk = self.layout.chunk(class, index);
            self.discard(chunk);
            self.release(chunk);
        }
    }

    /// Returns the chunk's memory to the system, if it is worth a system call.
    fn discard(&self, chunk: Chunk) {
        let word = self.word(chunk);
        let seen = word.look();
        let pages = seen.pages();
        let Some(owner) = seen.owner() else { return };
        if pages >= DISCARD_PAGES {
            let _pending = self.pend(owner, chunk.offset());
            failpoint!("arena.discard.pending");
            // First the word: pages that exist and are not counted are safe, the opposite is not.
            word.forget_pages();
            failpoint!("arena.discard.uncounted");
            self.region.punch(chunk.offset() as usize, pages as usize * PAGE);
            failpoint!("arena.discard.punched");
            self.header().uncommit(pages * PAGE as u64);
            failpoint!("arena.discard.uncommitted");
        }
    }

    /// Notes in the slot of `owner` that the accounts are about to disagree with the words.
    fn pend(&self, owner: SlotId, what: u64) -> Pending<'_> {
        let word = self.table().pending(owner);
        word.store(what, Ordering::SeqCst);
        Pending(word)
    }

    /// Brings the accounts in order after `dead`, before its chunks are freed. Part of the sweep; may
    /// be repeated.
    pub(crate) fn settle_accounts(&self, dead: SlotId) {
        let pending = self.table().pending(dead);
        let what = pending.load(Ordering::SeqCst);
        if what == 0 {
            return;
        }
        if let Some(chunk) = self.chunk_at(what) {
            let seen = self.word(chunk).look();
            if seen.is((ChunkState::Owned, Some(dead))) {
                let counted = seen.pages() as usize * PAGE;
                let rest = chunk.capacity().saturating_sub(counted);
                self.region.punch(chunk.offset() as usize + counted, rest);
            }
        }
        failpoint!("arena.settle.emptied");
        self.recount(dead);
        failpoint!("arena.settle.recounted");
        pending.store(0, Ordering::SeqCst);
    }

    /// Sets the committed bytes to what the words say, unless somebody but `dead` is changing both
    /// right now.
    fn recount(&self, dead: SlotId) {
        let pending =
            |slot: SlotId| slot != dead && self.table().pending(slot).load(Ordering::SeqCst) != 0;
        for _ in 0..100 {
            let before = self.header().committed();
            let quiet = !self.table().ids().any(pending);
            let sum = self.counted_bytes();
            if quiet && !self.table().ids().any(pending) && self.header().correct(before, sum) {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// The committed bytes as the chunk words have it: the same, unless somebody is changing both.
    #[must_use]
    pub fn counted_bytes(&self) -> u64 {
        let mut sum = 0;
        for class in 0..MAX_CLASSES {
            let used = self.layout.used(&self.region, class);
            if self.layout.is_small(class) {
                sum += self.layout.chunks_range(class, 0, used).1 as u64;
            }
        }
        self.for_each(|_, seen| sum += seen.pages() * PAGE as u64);
        sum
    }

    /// Owned or dead's -> free.
    fn release(&self, chunk: Chunk) {
        passage::forget(self, chunk);
        if self.header().is_crowded() {
            self.discard(chunk);
        }
        self.word(chunk).release();
        failpoint!("arena.release.freed");
        self.layout.state(&self.region, chunk.class()).lower_hint(chunk.index());
    }

    fn word(&self, chunk: Chunk) -> &ChunkWord {
        self.at(self.layout.word_offset(chunk))
    }

    /// The state of a chunk and its owner, if it is owned.
    #[must_use]
    pub fn state_of(&self, chunk: Chunk) -> Hands {
        let seen = self.word(chunk).look();
        (seen.state(), seen.owner())
    }

    /// Moves a chunk from one state to another in one step; false if it was not in the first.
    pub fn transition(&self, chunk: Chunk, from: Hands, to: Hands) -> bool {
        self.word(chunk).pass(from, to)
    }

    /// Frees every chunk that `dead` owns. Part of the sweep; may be repeated.
    pub(crate) fn free_owned_by(&self, dead: SlotId) {
        self.for_each(|chunk, seen| {
            if seen.is((ChunkState::Owned, Some(dead))) {
                self.release(chunk);
                failpoint!("sweep.chunk.freed");
            }
        });
    }

    /// Calls `visit` for every chunk that is an object.
    pub(crate) fn for_each_object(&self, mut visit: impl FnMut(Chunk)) {
        self.for_each(|chunk, seen| {
            if seen.state() == ChunkState::Object {
                visit(chunk);
            }
        });
    }

    /// Calls `visit` for every chunk that may be a message's.
    pub(crate) fn for_each_payload(&self, mut visit: impl FnMut(Chunk)) {
        self.for_each(|chunk, seen| {
            let is_backed = seen.pages() > 0 || self.layout.is_small(chunk.class());
            if is_backed && matches!(seen.state(), ChunkState::Owned | ChunkState::Part) {
                visit(chunk);
            }
        });
    }

    /// From now on messages may name objects.
    pub(crate) fn note_passages(&self) {
        self.header().passages().store(1, Ordering::SeqCst);
    }

    /// Whether a message may have named an object.
    #[inline]
    pub(crate) fn has_passages(&self) -> bool {
        self.header().passages().load(Ordering::SeqCst) != 0
    }

    fn for_each(&self, mut visit: impl FnMut(Chunk, Seen)) {
        for class in 0..MAX_CLASSES {
            for index in 0..self.layout.used(&self.region, class) {
                let chunk = self.layout.chunk(class, index);
                visit(chunk, self.word(chunk).look());
            }
        }
    }

    /// Counts of chunks that are owned, parts of objects, and objects: for tests and accounting.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        self.for_each(|chunk, seen| {
            match seen.state() {
                ChunkState::Free => return,
                ChunkState::Owned => census.owned += 1,
                ChunkState::Part => census.parts += 1,
                ChunkState::Object => census.objects += 1,
            }
            // Of a large chunk only the pages that have been written are memory.
            census.bytes += (chunk.capacity() as u64).min(PAGE as u64 * seen.pages().max(1));
        });
        census
    }

    /// The chunk that begins at `offset`, if one does.
    #[must_use]
    pub fn chunk_at(&self, offset: u64) -> Option<Chunk> {
        self.layout.chunk_at(offset)
    }
}

/// What a slot's pending word says of chunks that are made available together. No chunk begins there.
const EXTENSION: u64 = 1;

/// While it lives, the accounts may disagree with the words.
struct Pending<'a>(&'a AtomicU64);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

/// How many chunks are in which state.
///
/// ```
/// # mod phalanx { pub use phalanx_shm::arena as diagnosis; }
/// use phalanx::diagnosis::Census;
///
/// let (before, after) = (Census::default(), Census { objects: 2, ..Census::default() });
/// assert_eq!(after.objects - before.objects, 2, "two shared objects have been made between");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Owned by one process (magazines included).
    pub owned: usize,
    /// Parts of shared objects.
    pub parts: usize,
    /// Shared objects.
    pub objects: usize,
    /// Bytes of memory behind all of these; what is behind free chunks is not counted.
    pub bytes: u64,
}

impl AsFd for Arena {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.region.as_fd()
    }
}
