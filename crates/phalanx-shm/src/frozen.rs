//! Bytes that one process writes and nobody changes afterwards, so that they can be read in place.
//!
//! ```text
//!   Draft: a chunk of this process's   --freeze-->   Frozen: an object, also of its children's
//!                                      <--thaw----   while nobody else holds it
//! ```
//!
//! A chunk is handed to another process, uncopied, between a thaw and the receiver's freeze.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | writing a draft, or with a thawed chunk | a chunk that it owns | the sweep |
//! | holding a frozen object | its hold | the sweep |

#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::alloc_error::AllocError;
use crate::arena::Chunk;
use crate::family::Family;
use crate::object::{Bytes, NotHeld, PAYLOAD_START, Shared};
use crate::peers::{Peers, SlotId};
use crate::sync::Ordering;

/// The tag of objects whose bytes nobody changes; no block of so many bytes exists.
const FROZEN: u64 = u64::MAX - 1;

/// Bytes that this process is writing. A child that was forked meanwhile has a copy that leads nowhere.
pub struct Draft {
    family: &'static Family,
    chunk: Chunk,
    len: usize,
    maker: SlotId,
}

impl Draft {
    /// Room for `len` bytes, with whatever was there before.
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory.
    pub fn new(family: &'static Family, len: usize) -> Result<Self, AllocError> {
        let chunk = family.alloc(PAYLOAD_START.saturating_add(len))?;
        Ok(Self { family, chunk, len, maker: family.me() })
    }

    /// The same with zeros.
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory.
    pub fn zeroed(family: &'static Family, len: usize) -> Result<Self, AllocError> {
        let draft = Self::new(family, len)?;
        family.arena().clear(draft.chunk, PAYLOAD_START + len);
        Ok(draft)
    }

    /// The first `len` of the bytes, as an object that nobody changes any more.
    ///
    /// # Panics
    /// When there are fewer, or in a forked child: the bytes are its parent's.
    #[must_use]
    pub fn freeze(self, len: usize) -> Frozen {
        self.check();
        assert!(len <= self.len, "{len} of {} bytes", self.len);
        let (family, chunk) = (self.family, self.chunk);
        std::mem::forget(self);
        Frozen::adopt(family, chunk, len)
    }

    #[inline]
    fn check(&self) {
        if self.family.me() != self.maker {
            not_ours();
        }
    }

    #[inline]
    fn first(&self) -> *mut u8 {
        self.check();
        self.family.arena().address(self.chunk).wrapping_add(PAYLOAD_START)
    }
}

#[cold]
fn not_ours() -> ! {
    panic!(
        "shared bytes under construction were used in a forked child, but they are its parent's: \
         freeze them before the fork"
    )
}

impl Deref for Draft {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: in bounds of a chunk that this process owns, of which nobody else knows. If it dies
        // nobody ever will.
        unsafe { std::slice::from_raw_parts(self.first(), self.len) }
    }
}

impl DerefMut for Draft {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the draft is borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.first(), self.len) }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Not that of a parent: the family looks whose it is.
        self.family.free(self.chunk);
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft of {} bytes at {:#x}", self.len, self.chunk.offset())
    }
}

/// Bytes that nobody changes while this or a copy in a forked child exists.
#[derive(Debug)]
pub struct Frozen {
    object: Shared<Bytes>,
    len: usize,
}

impl Frozen {
    /// Makes an object of a chunk that belongs to this process and that nobody else knows of: `len`
    /// bytes from [`PAYLOAD_START`] on.
    ///
    /// # Panics
    /// When the chunk is another process's, or smaller.
    #[must_use]
    pub fn adopt(family: &'static Family, chunk: Chunk, len: usize) -> Self {
        let object = Shared::adopt_payload(family, chunk, len);
        object.tag.store(FROZEN, Ordering::Release);
        Self { object, len }
    }

    /// A handle to the object at `offset`, on which this process was given a hold.
    ///
    /// # Errors
    /// When this process was given none, or what is there is no such object.
    pub fn from_offset(family: &'static Family, offset: u64) -> Result<Self, NotHeld> {
        let object = Shared::<Bytes>::from_offset(family, offset)?;
        if object.tag.load(Ordering::Acquire) != FROZEN {
            return Err(NotHeld);
        }
        let len = object.tail_len();
        Ok(Self { object, len })
    }

    /// Takes a hold on the object at `offset`, which somebody else keeps until that is done. If nobody
    /// does, what is found may be other frozen bytes.
    ///
    /// # Errors
    /// When what is there is no such object.
    pub fn join(family: &'static Family, offset: u64) -> Result<Self, NotHeld> {
        let object = Shared::<Bytes>::join(family, offset, FROZEN)?;
        let len = object.tail_len();
        Ok(Self { object, len })
    }

    /// The object's family.
    #[must_use]
    pub fn family(&self) -> &'static Family {
        self.object.family()
    }

    /// Where the object lies in the arena.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.object.offset()
    }

    /// Gives another process a hold, before the offset is sent to it.
    pub fn hold_for(&self, slot: SlotId) {
        self.object.hold_for(slot);
    }

    /// The chunk, as this process's own again.
    ///
    /// # Errors
    /// The same object, when another process holds it too or others are being cleaned up after.
    pub fn thaw(self) -> Result<Chunk, Self> {
        let Self { object, len } = self;
        object.disown().map_err(|object| Self { object, len })
    }
}

impl Deref for Frozen {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the object has so many bytes, in memory that stays mapped; since they were frozen
        // nobody writes them, and as long as this process holds the object its memory is used for
        // nothing else. That some other process dies changes neither.
        unsafe { std::slice::from_raw_parts(self.object.address(), self.len) }
    }
}
