//! How much memory the arena may use.

use phalanx_os::proc;

use crate::alloc_error::AllocError;
use crate::sync::{AtomicU64, Ordering};

/// Growth by this much at once looks at the machine's free memory first.
const LARGE: u64 = 8 << 20;
/// Memory that a large growth leaves to the rest of the machine.
const RESERVE: u64 = 64 << 20;

/// Memory in use and allowed, in bytes; lies in the arena's header.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Budget {
    committed: AtomicU64,
    limit: AtomicU64,
}

impl Budget {
    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Above a quarter of the limit, free chunks no longer keep their memory.
    pub(super) fn is_crowded(&self) -> bool {
        self.committed() > self.limit.load(Ordering::Relaxed) / 4
    }

    pub(super) fn commit(&self, bytes: u64) -> Result<(), ()> {
        let limit = self.limit.load(Ordering::Relaxed);
        let has_room = |committed: u64| committed.checked_add(bytes).filter(|sum| *sum <= limit);
        if bytes >= LARGE
            && proc::memory_available().is_some_and(|free| bytes.saturating_add(RESERVE) > free)
        {
            return Err(());
        }
        self.committed
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, has_room)
            .map(drop)
            .map_err(drop)
    }

    pub(super) fn uncommit(&self, bytes: u64) {
        let less = |committed: u64| Some(committed.saturating_sub(bytes));
        let _ = self.committed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    }

    /// Replaces a sum that turned out wrong. False if it has changed meanwhile.
    pub(super) fn correct(&self, from: u64, to: u64) -> bool {
        self.committed.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    pub(super) fn refusal(&self, requested: usize) -> AllocError {
        AllocError {
            requested,
            committed: self.committed(),
            limit: self.limit.load(Ordering::Relaxed),
            available: proc::memory_available(),
        }
    }
}

/// The memory that the machine, or the memory cgroup the process is in, allows.
pub(super) fn default_limit() -> u64 {
    let machine = proc::memory_total().unwrap_or(4 << 30);
    proc::memory_cgroup_limit().map_or(machine, |cgroup| cgroup.min(machine))
}
