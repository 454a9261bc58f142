//! What batches and results say of themselves.

/// How the tasks of a batch are encoded and called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A list of arguments: `f(x)` for each.
    Each,
    /// A list of argument tuples: `f(*x)` for each.
    Star,
    /// One task's argument tuple: `f(*args)`.
    Apply,
    /// One task's `(args, kwds)`: `f(*args, **kwds)`.
    ApplyKeywords,
    /// A list of `(args, kwds)`: `f(*args, **kwds)` for each.
    StarKeywords,
}

/// Results of a batch travel together, and the first error ends it (as in a chunk of `map`).
const TOGETHER: u64 = 1 << 8;

/// The batch's buffers lie in stashes, whose addresses stand before its frame.
pub(super) const STASHED: u64 = 1 << 9;

/// The call of an executor: it can be condemned or cancelled while it runs, and what cannot be sent back
/// is its own error.
pub(super) const CONDEMNABLE: u64 = 1 << 10;

/// Not a task: whoever takes it leaves.
pub(super) const LEAVE: u64 = 1 << 11;

/// Workers pass over the batch's tasks once its job is cancelled.
pub(super) const CANCELLABLE: u64 = 1 << 12;

/// The bits from here on say where the seed of the call lies; they are zero if it has none. Addresses have
/// no more than 48 bits.
pub(super) const SEED_AT: u32 = 16;

impl Mode {
    pub(super) fn flags(self, together: bool) -> u64 {
        self as u64 | if together { TOGETHER } else { 0 }
    }

    pub(super) fn from_flags(flags: u64) -> (Self, bool) {
        let mode = match flags & 0xff {
            0 => Self::Each,
            1 => Self::Star,
            2 => Self::Apply,
            3 => Self::ApplyKeywords,
            _ => Self::StarKeywords,
        };
        (mode, flags & TOGETHER != 0)
    }
}

/// What a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The value of one task.
    Value,
    /// The exception of one task.
    Error,
    /// A list with the values of a batch.
    Values,
    /// The exception that ended a batch; its tasks have no values.
    BatchError,
    /// The batch could not be decoded: send its tasks one by one.
    Unreadable,
    /// The worker is ready for work.
    Ready,
    /// The initializer raised; the worker is gone.
    Refused,
    /// The task was cancelled before it began.
    Skipped,
    /// A log record.
    Log,
}

impl Kind {
    fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Value,
            1 => Self::Error,
            2 => Self::Values,
            3 => Self::BatchError,
            4 => Self::Unreadable,
            5 => Self::Ready,
            6 => Self::Refused,
            7 => Self::Skipped,
            _ => Self::Log,
        }
    }
}

/// The label of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResultLabel {
    pub(super) job: u64,
    pub(super) first: u64,
    pub(super) kind: Kind,
    pub(super) count: u32,
}

impl ResultLabel {
    pub(super) const LEN: usize = 24;

    pub(super) fn pack(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.job.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..20].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[20..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let short = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let kind = Kind::from_raw(short(16)?);
        Some(Self { job: long(0)?, first: long(8)?, kind, count: short(20)? })
    }
}
