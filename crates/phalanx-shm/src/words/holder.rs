//! Who holds a thing, in 32 bits: the encoding that locks and semaphores share.
//!
//! | bits | meaning |
//! |---|---|
//! | 31 | somebody may sleep on this word (locks only) |
//! | 30 | somebody has waited long: newcomers queue behind (locks only) |
//! | 29 | the holder was killed or crashed; bits 0..28 are its process id |
//! | 28 | the holder ended normally; bits 0..28 are its process id |
//! | 0..16 | otherwise: the holder's slot; 0 nobody, `0xffff` somebody who is gone |
//!
//! A process id needs 22 bits on Linux. That a dead holder's id fits into the word itself is what
//! makes the repair one atomic step: there is no second field to be found half written.

use std::fmt;

use crate::peers::SlotId;
use crate::sync::{AtomicU32, Ordering};

pub(crate) const WAITERS: u32 = 1 << 31;
pub(crate) const STARVING: u32 = 1 << 30;
pub(crate) const DIED: u32 = 1 << 29;
pub(crate) const LEFT: u32 = 1 << 28;
/// Everything but the two flags that say who waits.
pub(crate) const HOLDER: u32 = !(WAITERS | STARVING);
const VALUE: u32 = LEFT - 1;
const GHOST: u32 = 0xffff;

/// Who holds a lock or a permit.
///
/// ```
/// # mod phalanx { pub use phalanx_shm::words as sync; }
/// use phalanx::sync::Holder;
///
/// /// What `holder()` of a lock says, for a log.
/// fn line(holder: Holder) -> String {
///     match holder {
///         Holder::Ended { pid, .. } => format!("process {pid} has died with the lock"),
///         other => other.to_string(),
///     }
/// }
/// assert_eq!(line(Holder::Nobody), "free");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It is free.
    Nobody,
    /// The process in this slot.
    Process(SlotId),
    /// A process that has ended without a release; nobody has taken over yet.
    Ended {
        /// The process that ended.
        pid: u32,
        /// How it ended.
        end: End,
    },
    /// A process that has ended under [`Policy::Wait`]: held until somebody else releases it.
    Gone,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("free"),
            Self::Process(slot) => write!(f, "held by process {}", slot.raw()),
            Self::Ended { pid, .. } => write!(f, "left by pid {pid}, which has ended"),
            Self::Gone => f.write_str("left by a process that has ended"),
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It returned from its main function or called `exit`.
    Normal,
    /// A signal ended it, it crashed, or nobody knows.
    Abnormal,
}

/// What becomes of a thing whose holder has ended without a release.
///
/// ```
/// # mod phalanx { pub use phalanx_shm::words as sync; }
/// use phalanx::sync::Policy;
///
/// // What is a mere count is whole whatever happened; anything else has to be looked at.
/// let policy_of = |is_count: bool| if is_count { Policy::Release } else { Policy::Raise };
/// assert_eq!(policy_of(false), Policy::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The next to acquire gets it and is told ([`Acquired::OwnerDied`]). The default.
    #[default]
    Raise,
    /// As if the holder had released it.
    Release,
    /// It stays held until some other process releases it.
    Wait,
}

impl Policy {
    pub(crate) const fn to_raw(self) -> u32 {
        match self {
            Self::Raise => 0,
            Self::Release => 1,
            Self::Wait => 2,
        }
    }

    pub(crate) const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Release,
            2 => Self::Wait,
            _ => Self::Raise,
        }
    }
}

/// How an acquisition succeeded.
///
/// ```
/// # mod phalanx { pub use phalanx_shm::words as sync; }
/// use phalanx::sync::Acquired;
///
/// /// Whether what the lock protects has to be mended first.
/// fn is_doubtful(how: Acquired) -> bool {
///     matches!(how, Acquired::OwnerDied { .. })
/// }
/// assert!(is_doubtful(Acquired::OwnerDied { pid: 4711 }) && !is_doubtful(Acquired::Clean));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Acquired {
    /// From nobody: what it protects is as its last holder left it.
    Clean,
    /// From a process that ended while it held it: what it protects may be half changed. The
    /// caller holds it now.
    OwnerDied {
        /// The process that ended.
        pid: u32,
    },
}

/// A release of what nobody holds (or, for a re-entrant lock, of what the caller does not hold).
///
/// ```
/// # mod phalanx { pub use phalanx_shm::words as sync; }
/// use phalanx::sync::NotHeld;
///
/// /// Releases twice are no matter here.
/// fn released(by: Result<(), NotHeld>) -> bool {
///     by.is_ok()
/// }
/// assert!(!released(Err(NotHeld)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHeld;

impl fmt::Display for NotHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("release of what is not held: acquire it first")
    }
}

impl std::error::Error for NotHeld {}

/// The holder that a word names.
pub(crate) fn decode(word: u32) -> Holder {
    let value = word & VALUE;
    if word & DIED != 0 {
        return Holder::Ended { pid: value, end: End::Abnormal };
    }
    if word & LEFT != 0 {
        return Holder::Ended { pid: value, end: End::Normal };
    }
    if value == GHOST {
        return Holder::Gone;
    }
    SlotId::from_raw(value as u16).map_or(Holder::Nobody, Holder::Process)
}

/// The word that says `slot` holds it and nobody waits.
#[inline]
pub(crate) fn held_by(slot: SlotId) -> u32 {
    u32::from(slot.raw())
}

/// What a taker may find in a word without being kept out, and what it then has acquired.
/// `patient`: whether it would otherwise wait; who only tries leaves alone what a process took
/// and kept at its normal end, as a flag that something has been done.
#[inline]
pub(crate) fn takeable(word: u32, patient: bool) -> Option<Acquired> {
    if word & HOLDER == 0 {
        return Some(Acquired::Clean);
    }
    if word & DIED != 0 || (patient && word & LEFT != 0) {
        return Some(Acquired::OwnerDied { pid: word & VALUE });
    }
    None
}

/// The word after the end of its holder.
pub(crate) fn after_death(policy: Policy, pid: u32, end: End) -> u32 {
    match (policy, end) {
        (Policy::Raise, End::Abnormal) => DIED | (pid & VALUE),
        (Policy::Raise, End::Normal) => LEFT | (pid & VALUE),
        (Policy::Release, _) => 0,
        (Policy::Wait, _) => GHOST,
    }
}

/// Replaces the dead `slot` in a word by what the policy says; returns whether it was named there.
pub(crate) fn bury(word: &AtomicU32, slot: SlotId, pid: u32, end: End, policy: Policy) -> bool {
    let mut now = word.load(Ordering::Acquire);
    loop {
        if decode(now) != Holder::Process(slot) {
            return false;
        }
        // Those who sleep are all woken after this, so nobody is owed a wake-up by flag.
        let new = after_death(policy, pid, end) | (now & WAITERS);
        match word.compare_exchange_weak(now, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(other) => now = other,
        }
    }
}
