//! A name for each thread that no other thread of the family has.

use std::cell::Cell;

use phalanx_os::clock::Deadline;

/// Names a thread for as long as it lives, among the threads of all processes.
///
/// A forked child's first thread inherits its parent's name. That does no harm: what is recorded
/// with it is also recorded with the process.
///
/// ```
/// use phalanx::sync::ThreadToken;
///
/// let here = ThreadToken::current();
/// let there = std::thread::spawn(|| ThreadToken::current().raw()).join().expect("no panic");
/// assert_ne!(here.raw(), there);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadToken(u64);

thread_local! {
    static TOKEN: Cell<u64> = const { Cell::new(0) };
}

impl ThreadToken {
    /// The calling thread's.
    ///
    /// ```
    /// use phalanx::sync::ThreadToken;
    ///
    /// assert_eq!(ThreadToken::current(), ThreadToken::current());
    /// ```
    #[inline]
    #[must_use]
    pub fn current() -> Self {
        match TOKEN.get() {
            0 => Self::draw(),
            token => Self(token),
        }
    }

    /// The token as a number; never 0.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use phalanx::sync::ThreadToken;
    ///
    /// // Which thread has the job? 0 is none of them.
    /// let owner = AtomicU64::new(0);
    /// owner.store(ThreadToken::current().raw(), Ordering::Relaxed);
    /// assert_eq!(owner.into_inner(), ThreadToken::current().raw());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// From the process id and the time, so that a later process of the same id has others.
    #[cold]
    fn draw() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static LAST: AtomicU64 = AtomicU64::new(0);
        const TIME: u64 = (1 << 42) - 1;
        let now = Deadline::now().as_nanos() & TIME;
        let last = LAST.fetch_max(now, Ordering::Relaxed);
        // Two threads in one nanosecond: the later one takes the next free one.
        let time = if now > last { now } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 };
        let token = u64::from(std::process::id()) << 42 | (time & TIME).max(1);
        TOKEN.set(token);
        Self(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_names_of_their_own() {
        let mine = ThreadToken::current();
        assert_eq!(mine, ThreadToken::current());
        let spawn = |_| std::thread::spawn(ThreadToken::current);
        let threads: Vec<_> = (0..8).map(spawn).collect();
        let mut names: Vec<_> = threads.into_iter().filter_map(|t| t.join().ok()).collect();
        names.push(mine);
        names.sort_by_key(|name| name.raw());
        names.dedup();
        assert_eq!(names.len(), 9);
    }
}
