//! Objects that several processes hold: who holds them, and when they end.
//!
//! An object is a chunk that begins with a header: its kind, and one bit for each process that
//! holds it. A process holds an object as long as it has a handle ([`Shared`]); a child is given
//! its parent's holds before it is forked, or, when it is spawned, the holds of what is sent to it.
//! The object is destroyed by whoever finds that nobody holds it any more. Only a holder can add
//! a holder, so an object without holders stays without.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | creating: chunk OWNED, header half written | a chunk of the dead | the sweep frees it |
//! | holding, or while dropping its hold | its bit | the sweep clears it and, if it was the last, destroys the object |
//! | having cleared the last bit, before destroying | an object without holders | the next sweep destroys it |
//! | destroying, under the housekeeping lock | an object without holders, partly emptied | whoever takes the lock over sweeps and destroys it; each step may be repeated |

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use crate::arena::{AllocError, Arena, Chunk, ChunkState};
use crate::failpoint;
use crate::family::Family;
use crate::holders::Holders;
use crate::peers::{Peers, SlotId};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::view::ShmSafe;

/// What an object is, so that the sweep knows how to repair and destroy it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum ObjectKind {
    /// Plain bytes: values, arrays, payloads with several readers.
    Bytes = 1,
    /// [`crate::ring::Ring`].
    Ring = 2,
    /// A lock.
    Lock = 3,
    /// A re-entrant lock.
    RLock = 4,
    /// A semaphore.
    Permits = 5,
    /// A condition.
    Condition = 6,
    /// An event.
    Event = 7,
    /// A barrier.
    Barrier = 8,
    /// The leases and counters of a pool.
    Pool = 9,
    /// [`crate::containers::Map`].
    Map = 10,
    /// [`crate::containers::List`].
    List = 11,
    /// A lock with a value.
    Guarded = 12,
}

impl ObjectKind {
    const ALL: [Self; 12] = [
        Self::Bytes,
        Self::Ring,
        Self::Lock,
        Self::RLock,
        Self::Permits,
        Self::Condition,
        Self::Event,
        Self::Barrier,
        Self::Pool,
        Self::Guarded,
        Self::Map,
        Self::List,
    ];

    fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == raw)
    }
}

/// What an object's chunk begins with.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct ObjectHeader {
    kind: AtomicU32,
    /// Not zero once a message may have named the object.
    sent: AtomicU32,
    len: AtomicU64,
    holders: Holders,
}

/// Bytes before an object's own.
pub const HEADER_LEN: usize = std::mem::size_of::<ObjectHeader>();

// SAFETY: atomics only.
#[allow(unsafe_code)]
unsafe impl ShmSafe for ObjectHeader {}

impl ObjectHeader {
    pub(crate) fn kind(&self) -> Option<ObjectKind> {
        ObjectKind::from_raw(self.kind.load(Ordering::Acquire))
    }

    pub(crate) fn mark_as_sent(&self) {
        self.sent.store(1, Ordering::SeqCst);
    }

    pub(crate) fn was_sent(&self) -> bool {
        self.sent.load(Ordering::SeqCst) != 0
    }

    pub(crate) fn holders(&self) -> &Holders {
        &self.holders
    }

    /// How many bytes lie behind the object.
    pub(crate) fn tail_len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }
}

/// What can be put into the arena as an object: a header of atomics, perhaps with a tail of bytes.
///
/// # Safety
/// `KIND` must belong to this type alone, and all zero bytes must be a valid value.
#[allow(unsafe_code)]
pub unsafe trait SharedObject: ShmSafe + 'static {
    /// The type's kind.
    const KIND: ObjectKind;

    /// Repairs what the process in `dead` left half done in this object. May be called again.
    fn on_death(&self, dead: SlotId, family: &Family);

    /// Gives up what the object owns besides its own chunk; nobody holds it any more. May be
    /// called again after a destroyer died.
    fn on_destroy(&self, family: &Family) {
        let _ = family;
    }

    /// In what state it is, for people; nothing if there is nothing to say. Looks only, and at words
    /// that others may be changing: [`crate::dump`].
    fn describe(&self, arena: &Arena) -> String {
        let _ = arena;
        String::new()
    }
}

/// A handle to an object in the arena: keeps it alive for this process, and points to it.
///
/// Cloning and dropping are cheap and local; the process's hold is dropped with its last handle.
pub struct Shared<T: SharedObject> {
    offset: u64,
    family: &'static Family,
    kind: PhantomData<fn() -> T>,
}

impl<T: SharedObject> Shared<T> {
    /// Puts a new object into the arena; `prepare` writes what is not zero before anybody sees it.
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory.
    pub fn new(family: &'static Family, prepare: impl FnOnce(&T)) -> Result<Self, AllocError> {
        Self::with_tail(family, 0, prepare)
    }

    /// The same, with `tail` zeroed bytes behind the object; see [`Shared::tail_offset`].
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory.
    pub fn with_tail(
        family: &'static Family,
        tail: usize,
        prepare: impl FnOnce(&T),
    ) -> Result<Self, AllocError> {
        let len = HEADER_LEN + std::mem::size_of::<T>();
        let chunk = family.alloc(len.saturating_add(tail))?;
        family.arena().clear(chunk, len + tail);
        prepare(family.arena().at(chunk.offset() + HEADER_LEN as u64));
        failpoint!("object.create.prepared");
        Ok(Self::publish(family, chunk, tail))
    }

    /// Makes an object of a chunk that this process owns and whose content is in place.
    fn publish(family: &'static Family, chunk: Chunk, tail: usize) -> Self {
        let me = family.me();
        let header: &ObjectHeader = family.arena().at(chunk.offset());
        header.holders.clear();
        header.len.store(tail as u64, Ordering::Relaxed);
        header.sent.store(0, Ordering::Relaxed);
        header.kind.store(T::KIND as u32, Ordering::Relaxed);
        header.holders.add(me);
        let object = (ChunkState::Object, None);
        failpoint!("object.create.held");
        let done = family.arena().transition(chunk, (ChunkState::Owned, Some(me)), object);
        assert!(done, "an object is made of a chunk that this process owns");
        failpoint!("object.create.published");
        family.note_hold(chunk.offset());
        Self { offset: chunk.offset(), family, kind: PhantomData }
    }

    /// A handle to the object at `offset`, which this process must hold already: its parent
    /// or whoever sent the offset saw to that.
    ///
    /// # Errors
    /// [`NotHeld`] when there is no such object, or this process has no hold on it.
    pub fn from_offset(family: &'static Family, offset: u64) -> Result<Self, NotHeld> {
        let chunk = family.arena().chunk_at(offset).ok_or(NotHeld)?;
        if family.arena().state_of(chunk).0 != ChunkState::Object {
            return Err(NotHeld);
        }
        let header: &ObjectHeader = family.arena().at(offset);
        let is_ours = || header.kind() == Some(T::KIND) && header.holders.has(family.me());
        if !family.note_hold_if(offset, is_ours) {
            return Err(NotHeld);
        }
        Ok(Self { offset, family, kind: PhantomData })
    }

    /// Where the object lies in the arena: what is sent to another process to name it.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The family of processes that can share the object.
    #[must_use]
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// Gives another process a hold, before the object's offset is sent to it.
    pub fn hold_for(&self, slot: SlotId) {
        self.family.arena().at::<ObjectHeader>(self.offset).holders.add(slot);
    }

    /// Length of the bytes behind the object.
    #[must_use]
    pub fn tail_len(&self) -> usize {
        let arena = self.family.arena();
        let len = arena.at::<ObjectHeader>(self.offset).len.load(Ordering::Relaxed) as usize;
        // Not more than there can be, whatever a damaged header says.
        let whole = arena.chunk_at(self.offset).map_or(0, Chunk::capacity);
        len.min(whole.saturating_sub(HEADER_LEN + std::mem::size_of::<T>()))
    }

    /// Where the bytes behind the object begin in the arena.
    #[must_use]
    pub fn tail_offset(&self) -> u64 {
        self.offset + (HEADER_LEN + std::mem::size_of::<T>()) as u64
    }
}

impl<T: SharedObject> Shared<T> {
    /// Takes a hold on the object at `offset` that somebody else holds meanwhile, if it is of this
    /// kind and `is_it` says that it is the one that was meant.
    ///
    /// # Errors
    /// [`NotHeld`] when the object is gone.
    pub fn join_if(
        family: &'static Family,
        offset: u64,
        is_it: impl FnOnce(&T) -> bool,
    ) -> Result<Self, NotHeld> {
        // Objects are destroyed under this lock only: what is held now is held when we are done.
        let patience = std::time::Duration::from_secs(5);
        let _no_end = family.housekeeping(patience).ok_or(NotHeld)?;
        let arena = family.arena();
        let chunk = arena.chunk_at(offset).ok_or(NotHeld)?;
        if arena.state_of(chunk).0 != ChunkState::Object {
            return Err(NotHeld);
        }
        let header: &ObjectHeader = arena.at(offset);
        if header.kind() != Some(T::KIND)
            || !header.holders.any()
            || !is_it(arena.at(offset + HEADER_LEN as u64))
        {
            return Err(NotHeld);
        }
        header.holders.add(family.me());
        Self::from_offset(family, offset)
    }
}

impl<T: SharedObject> Deref for Shared<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        self.family.arena().at(self.offset + HEADER_LEN as u64)
    }
}

impl<T: SharedObject> Clone for Shared<T> {
    fn clone(&self) -> Self {
        self.family.note_hold(self.offset);
        Self { offset: self.offset, family: self.family, kind: PhantomData }
    }
}

impl<T: SharedObject> Drop for Shared<T> {
    fn drop(&mut self) {
        self.family.drop_hold(self.offset);
    }
}

impl<T: SharedObject> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:#x}", T::KIND, self.offset)
    }
}

/// The process has no hold on the object it was sent, so the object may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHeld;

impl fmt::Display for NotHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this process has no hold on the shared object: pass the object itself to the child \
             when it is started, not its address",
        )
    }
}

impl std::error::Error for NotHeld {}

/// Plain bytes as an object: the tail is all there is.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Bytes {
    /// Free for the owner's use, for instance as a type code.
    pub tag: AtomicU64,
}

// SAFETY: one atomic.
#[allow(unsafe_code)]
unsafe impl ShmSafe for Bytes {}

// SAFETY: the kind is this type's alone; zero is valid.
#[allow(unsafe_code)]
unsafe impl SharedObject for Bytes {
    const KIND: ObjectKind = ObjectKind::Bytes;
    fn on_death(&self, _dead: SlotId, _family: &Family) {}
}

impl Bytes {
    /// The tag, and where the bytes lie and how many they are, of the object at `offset`, for a
    /// process that has no hold on it but knows that somebody else keeps it.
    #[must_use]
    pub fn peek(family: &Family, offset: u64) -> Option<(u64, u64, usize)> {
        let arena = family.arena();
        let chunk = arena.chunk_at(offset)?;
        let header: &ObjectHeader = arena.at(offset);
        let is_bytes = header.kind() == Some(ObjectKind::Bytes);
        if arena.state_of(chunk).0 != ChunkState::Object || !is_bytes {
            return None;
        }
        let len = header.len.load(Ordering::Relaxed) as usize;
        let object: &Self = arena.at(offset + HEADER_LEN as u64);
        (PAYLOAD_START.checked_add(len)? <= chunk.capacity())
            .then(|| (object.tag.load(Ordering::Relaxed), offset + PAYLOAD_START as u64, len))
    }
}

/// Bytes at the start of a payload chunk that its sender leaves free, so that the receiver can
/// make an object of it without copying.
pub const PAYLOAD_START: usize = HEADER_LEN + std::mem::size_of::<Bytes>();

impl Shared<Bytes> {
    /// Makes an object of a payload chunk that this process owns: `len` bytes from
    /// [`PAYLOAD_START`] on, which are not copied.
    #[must_use]
    pub fn adopt_payload(family: &'static Family, chunk: Chunk, len: usize) -> Self {
        assert!(
            len <= chunk.capacity().saturating_sub(PAYLOAD_START),
            "a payload of {len} bytes is longer than its chunk"
        );
        family
            .arena()
            .at::<Bytes>(chunk.offset() + HEADER_LEN as u64)
            .tag
            .store(0, Ordering::Relaxed);
        Self::publish(family, chunk, len)
    }

    /// Takes a hold on the object at `offset` that somebody else holds meanwhile, if its tag is
    /// still `tag`, which must be unique among all objects there ever were.
    ///
    /// # Errors
    /// [`NotHeld`] when the object is gone.
    pub fn join(family: &'static Family, offset: u64, tag: u64) -> Result<Self, NotHeld> {
        // Objects are destroyed under this lock only: what is held now is held when we are done.
        let patience = std::time::Duration::from_secs(5);
        let _no_end = family.housekeeping(patience).ok_or(NotHeld)?;
        let (found, _, _) = Bytes::peek(family, offset).ok_or(NotHeld)?;
        let header: &ObjectHeader = family.arena().at(offset);
        if found != tag || !header.holders.any() {
            return Err(NotHeld);
        }
        header.holders.add(family.me());
        Self::from_offset(family, offset)
    }

    /// Makes the object a chunk of this process's own again, if this is the last handle to it anywhere.
    /// In one step: a process that dies has done it or not.
    ///
    /// # Errors
    /// The handle, when others have one, or a stopped process is in the middle of a sweep.
    pub fn disown(self) -> Result<Chunk, Self> {
        let (family, offset) = (self.family, self.offset);
        // Who destroys objects, under this lock, relies on their staying objects meanwhile.
        let right = family.housekeeping(std::time::Duration::from_millis(20));
        let (Some(_right), Some(chunk)) = (right, family.arena().chunk_at(offset)) else {
            return Err(self);
        };
        let me = family.me();
        let header: &ObjectHeader = family.arena().at(offset);
        let take = || {
            let owned = (ChunkState::Owned, Some(me));
            header.holders.has_only(me)
                && family.arena().transition(chunk, (ChunkState::Object, None), owned)
        };
        if !family.end_hold_if(offset, take) {
            return Err(self);
        }
        failpoint!("object.disown.owned");
        std::mem::forget(self);
        Ok(chunk)
    }

    /// Writes the bytes of a new object that nobody else looks at yet.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn fill(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.tail_len());
        if let Some(chunk) = self.family.arena().chunk_at(self.offset) {
            self.family.arena().write(chunk, PAYLOAD_START, bytes);
        }
    }

    /// The address of the bytes in this process. Other processes may change them at any time.
    #[must_use]
    pub fn address(&self) -> *mut u8 {
        self.family.arena().address_of(self.tail_offset())
    }
}
