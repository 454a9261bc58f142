//! A lock in one word that survives the death of its holder.
//!
//! # States and transitions
//! `free -> held(slot)` by one compare-and-swap, which names the holder (acquire). `held -> free`
//! by one compare-and-swap of *any* process (release): such a lock may be
//! released by others than its holder. `held(slot) -> ended(pid)` by [`LockWord::on_death`], and
//! `ended(pid) -> held(slot)` by the next to acquire, who learns of it.
//!
//! A waiter spins for some microseconds, then takes a nap, then sets `WAITERS` in the word and sleeps on
//! exactly that value. (The nap is for a lock that is taken again as soon as it is released. Each look
//! at such a word takes its cache line from the holder, and a sleeper in the word makes the holder
//! pay for a wake-up at the next release. Who is away for some microseconds costs it nothing.) A release that finds the flag clears it with the holder and wakes one sleeper. That
//! one knows nothing of the others, so it takes the lock *with* the flag set; the last of a queue
//! thereby costs one wake-up of nobody, and no count has to be kept right across deaths.
//!
//! # Fairness
//! Newcomers may take a free lock before a woken sleeper does: that is quick. A sleeper that has
//! been passed over for a millisecond sets `STARVING`; the release then leaves that flag behind,
//! and with it newcomers do not take the free lock, they queue. Who has slept once may take it. A
//! `try` takes it in any case: a free lock never refuses.
//!
//! # Deaths
//! - *Holder, at any step:* its name is in the word. Whoever waits looks at it at each slice; the
//!   sweep calls `on_death`. A release by another process before that is still legal and then it is
//!   as if the holder had released.
//! - *Between release and wake-up* (`lock.release.freed`): the sleepers are owed a wake-up.
//!   `on_death` wakes all; without it, they look by themselves at the end of their slice.
//! - *A sleeper, woken or not* (`lock.park.flagged`): the flag remains, which costs a wake-up of
//!   nobody; a wake-up it took with it is made good by `on_death`, which wakes all.
//!
//! # The end of a holder that was not killed
//! A process that exits normally while it holds a lock keeps it, for those who only `try`: programs
//! use a lock that is never released as a mark that something has been done. Who waits would wait
//! for ever, so it gets the lock as after a crash.
//!
//! # Ordering
//! Acquire takes with `Acquire`, release frees with `Release`, and both ends of a repair are
//! `AcqRel`: what the holder wrote before it died is seen by who takes over. Flag and holder are
//! one word, so no other fence is needed.

use super::holder::{
    Acquired, End, HOLDER, Holder, NotHeld, Policy, STARVING, WAITERS, bury, decode, held_by,
    takeable,
};
use std::time::Duration;

use crate::failpoint;
use crate::patience::{GaveUp, Patience, Slices};
use crate::peers::{Peers, SlotId};
use crate::spin::Spin;
use crate::sync::{AtomicU32, Deadline, Ordering, Wake, futex_wait, futex_wake};

static SPIN: Spin = Spin::for_locks();

/// How long a sleeper is passed over before newcomers queue behind it.
const STARVES_AFTER_NS: u64 = 1_000_000;

/// How long a waiter stands back from a lock that others pass between them faster than it can get it.
const NAP: Duration = Duration::from_micros(10);

/// A lock in shared memory. All zero is a free one with [`Policy::Raise`].
#[derive(Debug)]
#[repr(C)]
pub struct LockWord {
    state: AtomicU32,
    policy: AtomicU32,
}

impl Default for LockWord {
    fn default() -> Self {
        Self::new(Policy::Raise)
    }
}

impl LockWord {
    /// A free lock.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { state: AtomicU32::new(0), policy: AtomicU32::new(policy.to_raw()) }
    }

    /// Chooses what the death of a holder does. To be called before the lock is shared.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(policy.to_raw(), Ordering::Release);
    }

    /// What the death of a holder does.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::from_raw(self.policy.load(Ordering::Acquire))
    }

    /// Takes the lock for the calling process, waiting as long as `patience` allows.
    ///
    /// # Errors
    /// [`GaveUp`] if it was held all that time.
    #[inline]
    pub fn acquire<P: Peers + ?Sized>(
        &self,
        peers: &P,
        patience: &Patience<'_>,
    ) -> Result<Acquired, GaveUp> {
        let me = peers.me();
        if self.take_free(me) {
            return Ok(Acquired::Clean);
        }
        self.acquire_slow(me, peers, patience)
    }

    /// Takes the lock if that needs no waiting.
    #[inline]
    pub fn try_acquire<P: Peers + ?Sized>(&self, peers: &P) -> Option<Acquired> {
        let me = peers.me();
        if self.take_free(me) {
            return Some(Acquired::Clean);
        }
        self.take(me, 0, false, true)
    }

    /// Takes the lock if it is free and nobody waits for it; returns whether it did. What it may
    /// have to tell is left to the other ways to take it.
    #[inline]
    pub fn acquire_free<P: Peers + ?Sized>(&self, peers: &P) -> bool {
        self.take_free(peers.me())
    }

    /// Frees the lock, whoever holds it.
    ///
    /// # Errors
    /// [`NotHeld`] if it is free.
    #[inline]
    pub fn release<P: Peers + ?Sized>(&self, peers: &P) -> Result<(), NotHeld> {
        let mine = held_by(peers.me());
        match self.state.compare_exchange(mine, 0, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(word) => self.release_slow(word),
        }
    }

    /// Who holds the lock at this moment.
    #[must_use]
    pub fn holder(&self) -> Holder {
        decode(self.state.load(Ordering::Acquire))
    }

    /// Whether some process sleeps for the lock, or did.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.state.load(Ordering::Acquire) & WAITERS != 0
    }

    /// Repairs what the process in `slot`, which has ended, left behind in this lock.
    pub fn on_death(&self, slot: SlotId, pid: u32, end: End) {
        bury(&self.state, slot, pid, end, self.policy());
        failpoint!("lock.death.buried");
        // Also when it held nothing: it may have taken a wake-up with it.
        futex_wake(&self.state, u32::MAX);
    }

    #[inline]
    pub(super) fn take_free(&self, me: SlotId) -> bool {
        let taken =
            self.state.compare_exchange(0, held_by(me), Ordering::Acquire, Ordering::Relaxed);
        if taken.is_ok() {
            failpoint!("lock.acquire.taken");
        }
        taken.is_ok()
    }

    /// One look, and the lock if it can be had. `keep`: flags to set with the holder's name.
    fn take(&self, me: SlotId, keep: u32, patient: bool, entitled: bool) -> Option<Acquired> {
        let mut word = self.state.load(Ordering::Relaxed);
        loop {
            if word & STARVING != 0 && !entitled {
                return None;
            }
            let how = takeable(word, patient)?;
            // Who barges in leaves the flags to the sleepers; a sleeper's turn ends its starving.
            let flags = if keep == 0 { word & !HOLDER } else { keep };
            let new = held_by(me) | flags;
            match self.state.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    failpoint!("lock.slow.taken");
                    return Some(how);
                }
                Err(now) => word = now,
            }
        }
    }

    #[cold]
    fn acquire_slow<P: Peers + ?Sized>(
        &self,
        me: SlotId,
        peers: &P,
        patience: &Patience<'_>,
    ) -> Result<Acquired, GaveUp> {
        if patience.is_none() {
            return self.take(me, 0, false, true).ok_or(GaveUp::TimedOut);
        }
        if let Some(how) = SPIN.until(|| self.take(me, 0, true, false)) {
            return Ok(how);
        }
        crate::sync::nap(NAP);
        if let Some(how) = self.take(me, 0, true, false) {
            return Ok(how);
        }
        let mut slices = Slices::for_users();
        let mut queue = Queue { since: None };
        loop {
            if let Some(how) = self.take(me, queue.keep(), true, queue.has_slept()) {
                return Ok(how);
            }
            let Some(word) = self.announce(queue.flags()) else { continue };
            failpoint!("lock.park.flagged");
            let woken = futex_wait(&self.state, word, Some(slices.next_deadline(patience)));
            queue.slept();
            if matches!(woken, Wake::TimedOut | Wake::Interrupted) {
                if let Holder::Process(holder) = decode(word)
                    && holder != me
                    && woken == Wake::TimedOut
                {
                    peers.check(holder);
                }
                if let Err(why) = patience.check() {
                    return self.leave(me, why);
                }
            }
        }
    }

    /// Says in the word that somebody is about to sleep on it; gives the value to sleep on, or
    /// `None` if the word has changed meanwhile.
    fn announce(&self, flags: u32) -> Option<u32> {
        let word = self.state.load(Ordering::Relaxed);
        let new = word | flags;
        // To be had, and not reserved for one who waits longer: there is nothing to sleep for.
        if takeable(word, true).is_some() && word & STARVING == 0 {
            return None;
        }
        if new == word {
            return Some(word);
        }
        let set = self.state.compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed);
        set.is_ok().then_some(new)
    }

    /// Gives up, with a last look; what wake-up we were given goes to the next.
    #[cold]
    fn leave(&self, me: SlotId, why: GaveUp) -> Result<Acquired, GaveUp> {
        if why == GaveUp::TimedOut
            && let Some(how) = self.take(me, WAITERS, true, true)
        {
            return Ok(how);
        }
        futex_wake(&self.state, 1);
        Err(why)
    }

    #[cold]
    fn release_slow(&self, mut word: u32) -> Result<(), NotHeld> {
        loop {
            if word & HOLDER == 0 {
                return Err(NotHeld);
            }
            let new = if word & STARVING != 0 { word & !HOLDER } else { 0 };
            match self.state.compare_exchange_weak(word, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        failpoint!("lock.release.freed");
        if word & WAITERS != 0 {
            futex_wake(&self.state, 1);
        }
        Ok(())
    }
}

/// What one waiter remembers of its time in the queue.
struct Queue {
    since: Option<u64>,
}

impl Queue {
    fn has_slept(&self) -> bool {
        self.since.is_some()
    }

    fn slept(&mut self) {
        self.since.get_or_insert_with(|| Deadline::now().as_nanos());
    }

    /// The flags with which a lock is taken: others may sleep that we know nothing of.
    fn keep(&self) -> u32 {
        if self.has_slept() { WAITERS } else { 0 }
    }

    /// The flags to sleep under.
    fn flags(&self) -> u32 {
        let starving = self.since.is_some_and(|since| {
            cfg!(loom) || Deadline::now().as_nanos().saturating_sub(since) > STARVES_AFTER_NS
        });
        if starving { WAITERS | STARVING } else { WAITERS }
    }
}
