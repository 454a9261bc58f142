//! The one place atomics and futex sleeps come from, so that `loom` can take their place.
//!
//! Under `--cfg loom` the algorithms of this crate run on loom's atomics and a sleep becomes a
//! place in a queue of loom's, which then explores every order of steps.

#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

pub use phalanx_os::clock::Deadline;
pub use phalanx_os::futex::Wake;

/// Sleeps while `word` holds `expected`; see [`phalanx_os::futex::wait`].
#[cfg(not(loom))]
#[must_use]
pub fn futex_wait(word: &AtomicU32, expected: u32, deadline: Option<Deadline>) -> Wake {
    phalanx_os::futex::wait(word, expected, deadline)
}

/// Wakes sleepers of `word`; see [`phalanx_os::futex::wake`].
#[cfg(not(loom))]
pub fn futex_wake(word: &AtomicU32, count: u32) -> usize {
    phalanx_os::futex::wake(word, count)
}

/// Sleeps for about so long, whatever happens meanwhile.
#[cfg(not(loom))]
pub(crate) fn nap(time: std::time::Duration) {
    std::thread::sleep(time);
}

/// Under loom time does not pass, but others get their turn.
#[cfg(loom)]
pub(crate) fn nap(_time: std::time::Duration) {
    loom::thread::yield_now();
}

/// Keeps a load from being moved before an earlier `SeqCst` read-modify-write of another word.
/// Nothing on x86-64, where such a write is a full barrier; loom takes `SeqCst` accesses for
/// weaker ones, and other processors may move an acquiring load before them.
#[inline(always)]
pub fn store_load_barrier() {
    #[cfg(any(loom, not(target_arch = "x86_64")))]
    fence(Ordering::SeqCst);
}

/// A sleep under loom: a queue like the kernel's, so that a lost wake-up is a deadlock that loom
/// reports. Time does not pass: a deadline ends the sleep at once if it has passed, else never.
#[cfg(loom)]
#[must_use]
pub fn futex_wait(word: &AtomicU32, expected: u32, deadline: Option<Deadline>) -> Wake {
    model::wait(word, expected, deadline)
}

/// A wake under loom: takes the first sleepers of the word out of the queue.
#[cfg(loom)]
pub fn futex_wake(word: &AtomicU32, count: u32) -> usize {
    model::wake(word, count)
}

#[cfg(loom)]
mod model {
    use super::{AtomicU32, Deadline, Ordering, Wake};
    use loom::sync::{Condvar, Mutex};

    #[derive(Default)]
    struct Queue {
        sleepers: Vec<(usize, u64)>,
        drawn: u64,
    }

    loom::lazy_static! {
        static ref QUEUE: Mutex<Queue> = Mutex::new(Queue::default());
        static ref CHANGED: Condvar = Condvar::new();
    }

    fn lock() -> loom::sync::MutexGuard<'static, Queue> {
        match QUEUE.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    pub(super) fn wait(word: &AtomicU32, expected: u32, deadline: Option<Deadline>) -> Wake {
        let mut queue = lock();
        if word.load(Ordering::SeqCst) != expected {
            return Wake::Changed;
        }
        if deadline.is_some_and(Deadline::has_passed) {
            return Wake::TimedOut;
        }
        queue.drawn += 1;
        let me = (std::ptr::from_ref(word) as usize, queue.drawn);
        queue.sleepers.push(me);
        while queue.sleepers.contains(&me) {
            queue = match CHANGED.wait(queue) {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            };
        }
        Wake::Woken
    }

    pub(super) fn wake(word: &AtomicU32, count: u32) -> usize {
        let mut queue = lock();
        let address = std::ptr::from_ref(word) as usize;
        let mut left = count as usize;
        queue.sleepers.retain(|(sleeper, _)| {
            let take = *sleeper == address && left > 0;
            left -= usize::from(take);
            !take
        });
        CHANGED.notify_all();
        count as usize - left
    }
}
