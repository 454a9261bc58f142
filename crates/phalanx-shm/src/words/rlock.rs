//! A re-entrant lock: a [`LockWord`] with the holding thread and its depth.
//!
//! # Steps
//! Acquire: if the lock's holder is this process and `owner` names this thread, `depth += 1`.
//! Otherwise take the lock word; then write `depth = 1`, then `owner`. Release at depth 1: clear
//! `owner`, then free the lock word. `owner` and `depth` are written by the holder only.
//!
//! # Why the question "is it mine?" cannot be answered wrongly
//! The answer is yes if the lock word names this process *and* `owner` names this thread. Only this
//! thread writes its own token, and it clears it before it frees the word. A token left by a
//! process that died while it held the lock names a thread that no longer exists: tokens are
//! unique over all threads of the family, which is what the caller has to provide.
//!
//! # Deaths
//! After taking and before writing (`rlock.acquire.taken`, `rlock.acquire.counted`), or after
//! clearing and before freeing (`rlock.release.cleared`): the lock word names the dead holder,
//! `on_death` of that word is all the repair; `owner` and `depth` are overwritten by the next
//! holder before anybody reads them as their own.

use super::holder::{Acquired, End, Holder, NotHeld, Policy};
use super::lock::LockWord;
use crate::failpoint;
use crate::patience::{GaveUp, Patience};
use crate::peers::{Peers, SlotId};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// A re-entrant lock in shared memory. All zero is a free one with [`Policy::Raise`].
#[derive(Debug)]
#[repr(C)]
pub struct RLockWord {
    lock: LockWord,
    owner: AtomicU64,
    depth: AtomicU32,
    reserved: AtomicU32,
}

impl Default for RLockWord {
    fn default() -> Self {
        Self::new(Policy::Raise)
    }
}

impl RLockWord {
    /// A free lock.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            lock: LockWord::new(policy),
            owner: AtomicU64::new(0),
            depth: AtomicU32::new(0),
            reserved: AtomicU32::new(0),
        }
    }

    /// Chooses what the death of a holder does. To be called before the lock is shared.
    pub fn set_policy(&self, policy: Policy) {
        self.lock.set_policy(policy);
    }

    /// Takes the lock for `thread`, once more if it has it already. `thread` is not 0 and no
    /// other thread of any process that uses this lock has the same.
    ///
    /// # Errors
    /// [`GaveUp`] if another thread held it for as long as `patience` allowed.
    #[inline]
    pub fn acquire<P: Peers + ?Sized>(
        &self,
        thread: u64,
        peers: &P,
        patience: &Patience<'_>,
    ) -> Result<Acquired, GaveUp> {
        if self.acquire_free(thread, peers) {
            return Ok(Acquired::Clean);
        }
        let how = self.lock.acquire(peers, patience)?;
        failpoint!("rlock.acquire.taken");
        self.own(thread, 1);
        Ok(how)
    }

    /// Takes the lock if `thread` has it already, or it is free and nobody waits for it; returns
    /// whether it did.
    #[inline]
    pub fn acquire_free<P: Peers + ?Sized>(&self, thread: u64, peers: &P) -> bool {
        if self.is_mine(thread, peers) {
            self.depth.store(self.depth.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            return true;
        }
        if !self.lock.acquire_free(peers) {
            return false;
        }
        failpoint!("rlock.acquire.taken");
        self.own(thread, 1);
        true
    }

    /// Runs `action` while the calling process holds the lock, for actions of a few instructions that
    /// do not look at the lock themselves: neither owner nor depth is written. `None`, and nothing
    /// run, if the lock is not simply free or the thread's own.
    #[inline]
    pub fn try_briefly<P: Peers + ?Sized, R>(
        &self,
        thread: u64,
        peers: &P,
        action: impl FnOnce() -> R,
    ) -> Option<R> {
        if self.lock.take_free(peers.me()) {
            let result = action();
            // Held by us, so there is nothing that could be refused.
            let _ = self.lock.release(peers);
            return Some(result);
        }
        self.is_mine(thread, peers).then(action)
    }

    /// Gives back one acquisition of `thread`.
    ///
    /// # Errors
    /// [`NotHeld`] if `thread` does not hold the lock.
    #[inline]
    pub fn release<P: Peers + ?Sized>(&self, thread: u64, peers: &P) -> Result<(), NotHeld> {
        if !self.is_mine(thread, peers) {
            return Err(NotHeld);
        }
        let depth = self.depth.load(Ordering::Relaxed);
        if depth > 1 {
            self.depth.store(depth - 1, Ordering::Relaxed);
            return Ok(());
        }
        self.disown(peers)
    }

    /// Gives back all acquisitions of `thread` at once; returns how many they were, for
    /// [`RLockWord::acquire_fully`].
    ///
    /// # Errors
    /// [`NotHeld`] if `thread` does not hold the lock.
    pub fn release_fully<P: Peers + ?Sized>(&self, thread: u64, peers: &P) -> Result<u32, NotHeld> {
        if !self.is_mine(thread, peers) {
            return Err(NotHeld);
        }
        let depth = self.depth.load(Ordering::Relaxed);
        self.disown(peers)?;
        Ok(depth)
    }

    /// Takes the lock as often as [`RLockWord::release_fully`] gave it back.
    ///
    /// # Errors
    /// [`GaveUp`] if another thread held it for as long as `patience` allowed.
    pub fn acquire_fully<P: Peers + ?Sized>(
        &self,
        thread: u64,
        depth: u32,
        peers: &P,
        patience: &Patience<'_>,
    ) -> Result<Acquired, GaveUp> {
        let how = self.lock.acquire(peers, patience)?;
        self.own(thread, depth);
        Ok(how)
    }

    /// Whether `thread` holds the lock.
    #[inline]
    pub fn is_mine<P: Peers + ?Sized>(&self, thread: u64, peers: &P) -> bool {
        self.owner.load(Ordering::Relaxed) == thread
            && self.lock.holder() == Holder::Process(peers.me())
    }

    /// How often the holder has acquired it; 0 if it is free. Exact for the holder only.
    #[must_use]
    pub fn depth(&self) -> u32 {
        if self.holder() == Holder::Nobody { 0 } else { self.depth.load(Ordering::Relaxed) }
    }

    /// Whose process holds the lock at this moment.
    #[must_use]
    pub fn holder(&self) -> Holder {
        self.lock.holder()
    }

    /// Whether some process sleeps for the lock, or did.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.lock.has_waiters()
    }

    /// Repairs what the process in `slot`, which has ended, left behind in this lock.
    pub fn on_death(&self, slot: SlotId, pid: u32, end: End) {
        self.lock.on_death(slot, pid, end);
    }

    #[inline]
    fn own(&self, thread: u64, depth: u32) {
        self.depth.store(depth, Ordering::Relaxed);
        failpoint!("rlock.acquire.counted");
        self.owner.store(thread, Ordering::Relaxed);
    }

    #[inline]
    fn disown<P: Peers + ?Sized>(&self, peers: &P) -> Result<(), NotHeld> {
        self.owner.store(0, Ordering::Relaxed);
        failpoint!("rlock.release.cleared");
        self.lock.release(peers)
    }
}
