//! How much memory may be taken while an input is read of which nobody knows whether it ends.
//!
//! What the objects weigh that a program hands over cannot be asked of them. So the process is looked at: how
//! much more memory it has of its own than when the reading began, and how much more it shares with its
//! family, against a part of what was free then. It is looked at whenever the kernel's coarse clock has moved
//! on, every few milliseconds: in that time a process fills some tens of megabytes, and to ask at each item
//! costs some nanoseconds.

use std::fmt;

use phalanx_os::clock;
use phalanx_os::memory_use::{MemoryUse, address_limit, memory_use};
use phalanx_os::proc::memory_available;
use phalanx_shm::family::Family;

use crate::process::Size;

/// Less is nobody's fault: a process takes as much for reasons of its own.
const LEAST: u64 = 64 << 20;

/// A part of the memory that was free when it was made.
///
/// ```
/// use phalanx::pool::allowance::Allowance;
///
/// // Half of what is free now.
/// let mut allowance = Allowance::part(2);
/// let read: Vec<u64> = (0..1000).take_while(|_| !allowance.is_used_up()).collect();
/// assert_eq!(read.len(), 1000);
/// ```
#[derive(Debug)]
pub struct Allowance {
    before: Use,
    /// By how much each may grow.
    most: Use,
    used: Use,
    /// On the coarse clock.
    looked_at: u64,
}

/// Bytes that the process and its family have in memory, and those that it has mapped.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    memory: u64,
    mapped: u64,
}

impl Use {
    fn now() -> Option<Self> {
        let MemoryUse { own, mapped } = memory_use()?;
        let shared = Family::existing().map_or(0, |family| family.arena().committed_bytes());
        Some(Self { memory: own + shared, mapped })
    }
}

impl Allowance {
    /// One `part`th of what the process could still have now: of the machine's free memory, of what is left of
    /// its control groups' limits and of its own (`RLIMIT_AS`); 64 MiB at least.
    ///
    /// Where the kernel does not tell, it is unlimited.
    #[must_use]
    pub fn part(part: u64) -> Self {
        let before = Use::now().unwrap_or_default();
        let share = |free: u64| (free / part.max(1)).max(LEAST);
        let memory = memory_available().map_or(u64::MAX, share);
        let left = |limit: u64| share(limit.saturating_sub(before.mapped));
        let most = Use { memory, mapped: address_limit().map_or(u64::MAX, left) };
        Self { before, most, used: Use::default(), looked_at: clock::coarse() }
    }

    /// Whether more than that has been taken since. This is cheap enough to be asked for each item.
    pub fn is_used_up(&mut self) -> bool {
        let now = clock::coarse();
        if now != self.looked_at {
            self.looked_at = now;
            if let Some(after) = Use::now() {
                self.used = Use {
                    memory: after.memory.saturating_sub(self.before.memory),
                    mapped: after.mapped.saturating_sub(self.before.mapped),
                };
            }
        }
        self.used.memory > self.most.memory || self.used.mapped > self.most.mapped
    }

    /// How many bytes had been taken when it was looked at last.
    #[must_use]
    pub fn used(&self) -> u64 {
        if self.used.mapped > self.most.mapped { self.used.mapped } else { self.used.memory }
    }
}

/// How much had been taken when it was looked at last, for people: `1.5 GiB`.
impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size(self.used()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// One test, since what others allocate beside it in the same process counts too.
    #[test]
    fn it_is_used_up_by_what_is_own_and_shared_and_given_back() -> Result<(), crate::Error> {
        let mut allowance = Allowance::part(2);
        allowance.most.memory = 64 << 20;
        let mut is_used_up = || {
            std::thread::sleep(Duration::from_millis(30));
            (allowance.is_used_up(), allowance.used())
        };
        assert!(!is_used_up().0);
        let ballast = std::hint::black_box(vec![1u8; 192 << 20]);
        let (over, used) = is_used_up();
        assert!(over && used > 128 << 20, "{used}");
        let shared = crate::SharedBytes::copy_from(&ballast)?;
        drop(ballast);
        let (over, used) = is_used_up();
        assert!(over && used > 128 << 20, "{used}");
        drop(shared);
        Ok(())
    }

    #[test]
    fn a_share_is_of_what_is_free() {
        let half = Allowance::part(2);
        let free = memory_available().expect("the kernel tells");
        assert!(half.most.memory >= LEAST && half.most.memory <= free.max(2 * LEAST), "{half:?}");
        assert!(Allowance::part(0).most.memory >= half.most.memory);
        assert_eq!(Allowance::part(u64::MAX).most.memory, LEAST);
    }
}
