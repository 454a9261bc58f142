//! Waiting, under a lock, for a change that another process makes under the same lock.

use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::words::Acquired;
use phalanx_shm::words::condition::Waited;
use phalanx_shm::words::objects::ConditionObject;

use super::{CreateError, RLock, RawLock, handle};

/// A condition variable, to be used with one [`RawLock`] or [`RLock`].
pub struct Condition {
    object: Shared<ConditionObject>,
}

handle!(Condition, ConditionObject, object);

/// The lock was not held by the calling thread, which a wait requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlocked;

impl std::fmt::Display for Unlocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a wait for a condition without its lock: acquire the lock first")
    }
}

impl std::error::Error for Unlocked {}

/// How the wait ended, and how the lock was taken again after it.
pub type Wakened = Waited<Result<Acquired, GaveUp>>;

impl Condition {
    /// A condition that nobody waits for.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    pub fn new() -> Result<Self, CreateError> {
        Ok(Self::wrap(Shared::new(Family::get()?, |_: &ConditionObject| ())?))
    }

    fn wrap(object: Shared<ConditionObject>) -> Self {
        Self { object }
    }

    /// Releases `lock`, waits for a notification as long as `patience` allows, and takes `lock`
    /// again, however long that takes; only an interruption ends that too.
    ///
    /// # Errors
    /// [`Unlocked`] if the calling thread does not hold the lock.
    pub fn wait_lock(&self, lock: &RawLock, patience: &Patience<'_>) -> Result<Wakened, Unlocked> {
        if !lock.is_mine() {
            return Err(Unlocked);
        }
        let relock = || lock.acquire(&patience.without_deadline());
        let unlock = || {
            let _ = lock.release();
        };
        let family = self.object.family();
        Ok(self.object.view().wait(family, patience, unlock, relock))
    }

    /// The same with a re-entrant lock, which is released and taken again as often as it was held.
    ///
    /// # Errors
    /// [`Unlocked`] if the calling thread does not hold the lock.
    pub fn wait_rlock(&self, lock: &RLock, patience: &Patience<'_>) -> Result<Wakened, Unlocked> {
        if !lock.is_mine() {
            return Err(Unlocked);
        }
        let depth = std::cell::Cell::new(1);
        let relock = || lock.acquire_fully(depth.get(), &patience.without_deadline());
        let unlock = || depth.set(lock.release_fully().unwrap_or(1));
        let family = self.object.family();
        Ok(self.object.view().wait(family, patience, unlock, relock))
    }

    /// Wakes up to `count` of those who wait, the longest waiting first; returns how many.
    ///
    /// To be called with the lock held, by whoever made the change.
    pub fn notify(&self, count: usize) -> usize {
        self.object.view().notify(count)
    }

    /// Wakes all who wait; returns how many.
    pub fn notify_all(&self) -> usize {
        self.object.view().notify_all()
    }

    /// How many wait at this moment.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.object.view().waiting()
    }
}
