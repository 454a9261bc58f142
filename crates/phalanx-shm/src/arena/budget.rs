//! How much memory the arena may use, and the error when there is no more.

use std::fmt;

use phalanx_os::proc;

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
        let before = self.committed.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= self.limit.load(Ordering::Relaxed)
            && (bytes < LARGE
                || proc::memory_available().is_none_or(|free| bytes + RESERVE <= free));
        if fits {
            return Ok(());
        }
        self.uncommit(bytes);
        Err(())
    }

    pub(super) fn uncommit(&self, bytes: u64) {
        self.committed.fetch_sub(bytes, Ordering::Relaxed);
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

/// There is no memory for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError {
    /// Bytes asked for.
    pub requested: usize,
    /// Bytes that back the arena at present.
    pub committed: u64,
    /// Bytes that the arena may use at most.
    pub limit: u64,
    /// Bytes that the machine could still hand out, if known.
    pub available: Option<u64>,
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no shared memory for {} bytes: {} of {} MiB are in use",
            self.requested,
            self.committed >> 20,
            self.limit >> 20
        )?;
        if let Some(free) = self.available {
            write!(f, " and the machine has {} MiB left", free >> 20)?;
        }
        write!(f, "; send less at a time, or raise the memory limit")
    }
}

impl std::error::Error for AllocError {}
