//! The error when there is no shared memory left.

use std::fmt;

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
