//! A lock with the value that it protects behind it, in one object.
//!
//! ```text
//!   object header | lock word | value, at the next multiple of its alignment
//! ```
//!
//! The value is plain data, valid whatever its bits, so that a holder that dies in the middle of a
//! change leaves a value, if perhaps not the one it meant: the next to acquire is told
//! ([`Acquired::OwnerDied`]). Objects of this kind cannot be had as mere lock words, so nobody but the
//! holder's guard can release.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | holding | the lock word names it | as in [`crate::words::lock`] |
//! | writing the value | a value with some of its bytes changed | whoever is told of its death |

#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytemuck::Pod;

use crate::alloc_error::AllocError;
use crate::arena::Arena;
use crate::family::Family;
use crate::object::{NotHeld, ObjectKind, Shared, SharedObject};
use crate::patience::{GaveUp, Patience};
use crate::peers::{Peers, SlotId};
use crate::view::ShmSafe;
use crate::words::condition::{Condition, Waited};
use crate::words::lock::LockWord;
use crate::words::{Acquired, Holder, Policy};

/// What the object begins with.
#[derive(Debug)]
#[repr(C)]
pub struct GuardedHead {
    lock: LockWord,
}

// SAFETY: atomics only.
unsafe impl ShmSafe for GuardedHead {}

// SAFETY: the kind is this type's alone, and zero is valid.
unsafe impl SharedObject for GuardedHead {
    const KIND: ObjectKind = ObjectKind::Guarded;

    fn on_death(&self, dead: SlotId, family: &Family) {
        SharedObject::on_death(&self.lock, dead, family);
    }

    fn describe(&self, _arena: &Arena) -> String {
        self.lock.holder().to_string()
    }
}

/// Alignments up to that of the chunks themselves.
const ALIGN_MAX: usize = 64;

/// A handle to a value in shared memory with its lock. Clones are handles to the same.
pub struct Guarded<T> {
    head: Shared<GuardedHead>,
    value: NonNull<T>,
}

// SAFETY: the pointer leads to memory that stays mapped, and is followed only with the lock held.
unsafe impl<T: Send> Send for Guarded<T> {}
// SAFETY: as above: one thread of one process at a time gets to the value.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T: Pod> Guarded<T> {
    /// Puts a value and a free lock into shared memory.
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory.
    pub fn new(family: &'static Family, value: T, policy: Policy) -> Result<Self, AllocError> {
        let prepare = |head: &GuardedHead| head.lock.set_policy(policy);
        let head = Shared::with_tail(family, Self::room(), prepare)?;
        let guarded = Self::of(head);
        // SAFETY: in bounds and aligned (see `of`); nobody else knows the object yet. If this process
        // dies here nobody ever will.
        unsafe { guarded.value.write(value) };
        Ok(guarded)
    }

    /// A handle to the object at `offset`, on which this process was given a hold.
    ///
    /// # Errors
    /// [`NotHeld`] when it was not, or what is there is no locked value of this size.
    pub fn from_offset(family: &'static Family, offset: u64) -> Result<Self, NotHeld> {
        let head = Shared::<GuardedHead>::from_offset(family, offset)?;
        if head.tail_len() != Self::room() {
            return Err(NotHeld);
        }
        Ok(Self::of(head))
    }

    /// Bytes behind the head: the value, and what aligning it may skip.
    fn room() -> usize {
        const { assert!(align_of::<T>() <= ALIGN_MAX, "shared values are aligned to at most 64 bytes") };
        size_of::<T>().saturating_add(align_of::<T>())
    }

    fn of(head: Shared<GuardedHead>) -> Self {
        let at = head.tail_offset().next_multiple_of(align_of::<T>() as u64);
        let address = head.family().arena().address_of(at);
        let value = NonNull::new(address.cast()).expect("the arena does not begin at address zero");
        Self { head, value }
    }

    /// Takes the lock, waiting as long as `patience` allows.
    ///
    /// # Errors
    /// [`GaveUp`] if it was held all that time.
    #[inline]
    pub fn acquire(&self, patience: &Patience<'_>) -> Result<(Held<'_, T>, Acquired), GaveUp> {
        let how = self.head.lock.acquire(self.head.family(), patience)?;
        Ok((self.held(), how))
    }

    /// Takes the lock if that needs no waiting.
    #[inline]
    pub fn try_acquire(&self) -> Option<(Held<'_, T>, Acquired)> {
        let how = self.head.lock.try_acquire(self.head.family())?;
        Some((self.held(), how))
    }

    #[inline]
    fn held(&self) -> Held<'_, T> {
        Held { guarded: self, holder: self.head.family().me() }
    }
}

impl<T> Guarded<T> {
    /// Where the object lies in the arena.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.head.offset()
    }

    /// Gives another process a hold, before the offset is sent to it.
    pub fn hold_for(&self, slot: SlotId) {
        self.head.hold_for(slot);
    }

    /// Who holds the lock at this moment.
    #[must_use]
    pub fn holder(&self) -> Holder {
        self.head.lock.holder()
    }

    /// Whether this process is the one that took the lock for a guard.
    #[inline]
    fn is_taken_by(&self, holder: SlotId) -> bool {
        self.head.family().me() == holder
    }
}

impl<T> Clone for Guarded<T> {
    fn clone(&self) -> Self {
        Self { head: self.head.clone(), value: self.value }
    }
}

impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("object", &self.head)
            .field("holder", &self.holder())
            .finish()
    }
}

/// The lock, held by this process until this is dropped; leads to the value.
///
/// A child that was forked meanwhile has a copy of it that releases nothing and leads nowhere.
#[must_use = "the lock is released when the guard is dropped"]
pub struct Held<'a, T> {
    guarded: &'a Guarded<T>,
    holder: SlotId,
}

impl<'a, T: Pod> Held<'a, T> {
    /// Releases the lock, waits for a notification as long as `patience` allows, and takes the lock
    /// again however long that takes; only an interruption ends that too, and then there is no guard.
    pub fn wait_for(
        self,
        condition: &Condition<'_>,
        patience: &Patience<'_>,
    ) -> Waited<Result<(Self, Acquired), GaveUp>> {
        let guarded: &'a Guarded<T> = self.guarded;
        let relock = || guarded.acquire(&patience.without_deadline());
        condition.wait(guarded.head.family(), patience, || drop(self), relock)
    }
}

impl<T> Held<'_, T> {
    #[inline]
    fn value(&self) -> NonNull<T> {
        if !self.guarded.is_taken_by(self.holder) {
            not_ours();
        }
        self.guarded.value
    }
}

#[cold]
fn not_ours() -> ! {
    panic!(
        "the guard of a lock was used in a forked child, but its parent holds the lock: acquire it in \
         the child"
    )
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        let value = self.value();
        // SAFETY: the value lies in memory that stays mapped, and this process holds the lock, by this
        // guard only; every bit pattern is a valid value, also what a dead holder left half written.
        unsafe { value.as_ref() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        let mut value = self.value();
        // SAFETY: as in `deref`, and the guard is borrowed by nobody else. If this process dies in the
        // middle of a write the lock word still names it.
        unsafe { value.as_mut() }
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.guarded.is_taken_by(self.holder) {
            // It cannot have been released before: there is no other guard.
            let _ = self.guarded.head.lock.release(self.guarded.head.family());
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Held<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.guarded.is_taken_by(self.holder) {
            f.debug_tuple("Held").field(&**self).finish()
        } else {
            f.write_str("Held(by the parent)")
        }
    }
}
