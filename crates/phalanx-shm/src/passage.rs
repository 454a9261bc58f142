//! Handles in messages: holds on objects that belong to nobody while they are on their way.
//!
//! A message with handles is a chunk whose sender has written, into the room that every payload leaves
//! free, which objects it names: a *passage*. The chunk changes owners as every payload does, so whoever
//! dies, it is somebody's or freed. An object that a passage may name is marked, and is not destroyed
//! while one does, even if no process holds it. Who receives the passage takes the holds, and the passage
//! is at its end.
//!
//! Passages are opened, and objects destroyed, under the housekeeping lock. So what nobody holds when a
//! destroyer looks can meanwhile neither come to be held, nor be named by another passage, since only
//! holders make them.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | loading a passage, or before it is sent | an owned chunk, perhaps a passage | the sweep frees it, then destroys what nobody holds or awaits any more |
//! | opening one, with some holds taken | its holds, an owned chunk | the sweep, the same |
//! | freeing one unopened, before it has looked what was in it | objects that nobody holds or awaits | the sweep, the same |
//! | holding an object that a passage names | the object | whoever opens or frees the passage |

use std::time::Duration;

use crate::arena::{Arena, Chunk, ChunkState};
use crate::failpoint;
use crate::family::Family;
use crate::object::{NotHeld, ObjectHeader, PAYLOAD_START};
use crate::peers::Peers;
use crate::sync::{AtomicU64, Ordering};
use crate::view::ShmSafe;

/// No object's header begins so: there is no such kind.
const MAGIC: u64 = u64::from_le_bytes(*b"passage\xff");

/// How long one waits for a process that is in the middle of a sweep.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// What the chunk of a passage begins with.
#[derive(Debug)]
#[repr(C)]
struct Head {
    magic: AtomicU64,
    count: AtomicU64,
    at: AtomicU64,
}

// SAFETY: atomics only.
#[allow(unsafe_code)]
unsafe impl ShmSafe for Head {}

const _: () = assert!(size_of::<Head>() <= PAYLOAD_START);

/// This process's hold on an object of whatever kind.
#[derive(Debug)]
pub struct Hold {
    family: &'static Family,
    offset: u64,
}

impl Hold {
    /// Another hold on an object that this process holds.
    ///
    /// # Errors
    /// [`NotHeld`] when it does not.
    pub fn again(family: &'static Family, offset: u64) -> Result<Self, NotHeld> {
        let header = object(family, offset).ok_or(NotHeld)?;
        let is_ours = || header.holders().has(family.me());
        family.note_hold_if(offset, is_ours).then_some(Self { family, offset }).ok_or(NotHeld)
    }

    /// A hold on an object that somebody else holds meanwhile. If nobody does, what is found may be
    /// another object in its place.
    ///
    /// # Errors
    /// [`NotHeld`] when there is none, or nobody holds it.
    pub fn join(family: &'static Family, offset: u64) -> Result<Self, NotHeld> {
        let _no_end = family.housekeeping(HOUSEKEEPING).ok_or(NotHeld)?;
        let header =
            object(family, offset).filter(|header| header.holders().any()).ok_or(NotHeld)?;
        family.take_hold(offset, header);
        Ok(Self { family, offset })
    }

    /// Where the object lies.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.family.drop_hold(self.offset);
    }
}

fn object(family: &Family, offset: u64) -> Option<&ObjectHeader> {
    let chunk = family.arena().chunk_at(offset)?;
    let is_object = family.arena().state_of(chunk).0 == ChunkState::Object;
    is_object.then(|| family.arena().at(offset))
}

/// Bytes that the list of so many objects takes.
#[must_use]
pub const fn list_len(objects: usize) -> usize {
    objects * 8
}

/// Makes a passage of a payload chunk of this process's: writes the list of what it names, `at` bytes
/// behind the chunk's beginning, where the message leaves room for it. The holds have to live until it is
/// sent.
///
/// # Panics
/// When the list does not fit into the chunk.
pub fn load(family: &Family, chunk: Chunk, at: usize, holds: &[Hold]) {
    let arena = family.arena();
    arena.note_passages();
    let mut list = Vec::with_capacity(list_len(holds.len()));
    for hold in holds {
        arena.at::<ObjectHeader>(hold.offset).mark_as_sent();
        list.extend_from_slice(&hold.offset.to_ne_bytes());
    }
    failpoint!("passage.load.marked");
    arena.write(chunk, at, &list);
    let head: &Head = arena.at(chunk.offset());
    head.count.store(holds.len() as u64, Ordering::Relaxed);
    head.at.store(at as u64, Ordering::Relaxed);
    head.magic.store(MAGIC, Ordering::SeqCst);
    failpoint!("passage.load.loaded");
}

/// The holds of a payload chunk of this process's, which is a mere payload from then on. None if it was
/// one.
///
/// # Errors
/// [`NotHeld`] when a process is stopped in the middle of a sweep.
pub fn open(family: &'static Family, chunk: Chunk) -> Result<Vec<Hold>, NotHeld> {
    if !is_passage(family.arena(), chunk) {
        return Ok(Vec::new());
    }
    let _no_end = family.housekeeping(HOUSEKEEPING).ok_or(NotHeld)?;
    let mut holds = Vec::new();
    for_each_named(family.arena(), chunk, |offset| {
        // A damaged list may name anything.
        if let Some(header) = object(family, offset) {
            family.take_hold(offset, header);
            holds.push(Hold { family, offset });
            failpoint!("passage.open.held");
        }
    });
    forget(family.arena(), chunk);
    failpoint!("passage.open.forgotten");
    Ok(holds)
}

fn is_passage(arena: &Arena, chunk: Chunk) -> bool {
    arena.has_passages() && arena.at::<Head>(chunk.offset()).magic.load(Ordering::SeqCst) == MAGIC
}

fn for_each_named(arena: &Arena, chunk: Chunk, mut visit: impl FnMut(u64)) {
    let head: &Head = arena.at(chunk.offset());
    let count = head.count.load(Ordering::Relaxed);
    let at = head.at.load(Ordering::Relaxed);
    let end = count.checked_mul(8).and_then(|len| len.checked_add(at));
    if end.is_some_and(|end| end <= chunk.capacity() as u64) {
        (0..count).for_each(|n| visit(arena.read_word(chunk.offset() + at + n * 8)));
    }
}

/// A chunk is about to be freed, or its passage at its end: true if it was one.
pub(crate) fn forget(arena: &Arena, chunk: Chunk) -> bool {
    let was_one = is_passage(arena, chunk);
    if was_one {
        arena.at::<Head>(chunk.offset()).magic.store(0, Ordering::SeqCst);
    }
    was_one
}

/// Whether an object that nobody holds is named by a passage. The housekeeping lock is held.
pub(crate) fn is_awaited(arena: &Arena, offset: u64) -> bool {
    if !arena.at::<ObjectHeader>(offset).was_sent() {
        return false;
    }
    let mut is_named = false;
    arena.for_each_payload(|chunk| {
        if !is_named && is_passage(arena, chunk) {
            for_each_named(arena, chunk, |named| is_named |= named == offset);
        }
    });
    is_named
}
