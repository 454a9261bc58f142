//! The one error above all others.

use std::fmt;
use std::io;

use phalanx_shm::arena::AllocError;
use phalanx_shm::patience::GaveUp;

use super::{CreateError, DecodeError, EncodeError, RecvError, SendError};
use crate::cache::CacheError;
use crate::connection::{ConnectError, StreamError};
use crate::pipe::NewPipeError;
use crate::pool::{PoolError, SubmitError};
use crate::process::{self, ProcessError, StartError};
use crate::queue::NewQueueError;
use crate::sync::{BarrierError, LockError};
use crate::value::NewBlockError;
use crate::wait;

/// Anything that can go wrong in phalanx, for programs that handle it in one place. Every error of the
/// crate becomes one by `?`, and then no longer holds the value or guard that it had.
///
/// ```
/// use phalanx::{Error, ErrorKind, Queue};
///
/// fn first(queue: &Queue<u64>) -> Result<u64, Error> {
///     queue.put(7)?;
///     Ok(queue.take()?)
/// }
///
/// let queue = Queue::bounded(1)?;
/// assert_eq!(first(&queue)?, 7);
/// queue.put(1)?;
/// let full: Error = queue.try_put(2).unwrap_err().into();
/// assert_eq!(full.kind(), ErrorKind::TimedOut);
/// # Ok::<(), Error>(())
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    text: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What sort of thing went wrong.
///
/// ```
/// use phalanx::{ErrorKind, Queue};
///
/// fn advice(error: &phalanx::Error) -> &'static str {
///     match error.kind() {
///         ErrorKind::TimedOut | ErrorKind::Interrupted => "try again",
///         ErrorKind::Disconnected => "start the other side anew",
///         _ => "give up",
///     }
/// }
/// let empty = Queue::<u64>::unbounded()?.take_timeout(std::time::Duration::ZERO).unwrap_err();
/// assert_eq!(advice(&empty.into()), "try again");
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A deadline passed, or a `try_` operation would have had to wait.
    TimedOut,
    /// A wait was interrupted.
    Interrupted,
    /// The other side has closed its end or has ended.
    Disconnected,
    /// There is no shared memory left.
    OutOfMemory,
    /// A value cannot be encoded.
    Encode,
    /// Bytes are no value of the expected type.
    Decode,
    /// The holder of a lock or a permit ended without releasing it.
    OwnerDied,
    /// A barrier is broken.
    Broken,
    /// A worker or another child ended in the middle of its task.
    WorkerDied,
    /// A task panicked.
    Panicked,
    /// A task was cancelled, with its pool or alone.
    Cancelled,
    /// A shared object is not held by this process, or is of another kind.
    NotHeld,
    /// An argument is outside what is allowed.
    InvalidInput,
    /// The kernel refused.
    Io,
}

impl Error {
    /// An error of some kind, with a message that says what was attempted.
    ///
    /// ```
    /// use phalanx::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::InvalidInput, "cannot draw a circle of radius -1");
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// assert_eq!(error.to_string(), "cannot draw a circle of radius -1");
    /// ```
    #[must_use]
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, text: text.into(), source: None }))
    }

    fn because(
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source = source.into();
        Self(Box::new(Inner { kind, text: source.to_string(), source: Some(source) }))
    }

    /// What sort of thing went wrong.
    ///
    /// ```
    /// use phalanx::{Error, ErrorKind, Queue};
    ///
    /// let empty: Error = Queue::<u64>::bounded(0).unwrap_err().into();
    /// assert_eq!(empty.kind(), ErrorKind::InvalidInput);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("text", &self.0.text).finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().and_then(|source| source.source())
    }
}

impl<T> From<SendError<T>> for Error {
    fn from(e: SendError<T>) -> Self {
        let kind = match &e {
            SendError::Full(_) => ErrorKind::TimedOut,
            SendError::Interrupted(_) => ErrorKind::Interrupted,
            SendError::Disconnected(_) => ErrorKind::Disconnected,
            SendError::OutOfMemory(..) => ErrorKind::OutOfMemory,
            SendError::Encode(..) => ErrorKind::Encode,
        };
        Self::new(kind, e.to_string())
    }
}

impl From<RecvError> for Error {
    fn from(e: RecvError) -> Self {
        let kind = match &e {
            RecvError::Empty => ErrorKind::TimedOut,
            RecvError::Interrupted => ErrorKind::Interrupted,
            RecvError::Disconnected => ErrorKind::Disconnected,
            RecvError::Decode(_) => ErrorKind::Decode,
            RecvError::Io(_) => ErrorKind::Io,
        };
        Self::because(kind, e)
    }
}

impl<G> From<LockError<G>> for Error {
    fn from(e: LockError<G>) -> Self {
        let kind = match &e {
            LockError::TimedOut => ErrorKind::TimedOut,
            LockError::Interrupted => ErrorKind::Interrupted,
            LockError::OwnerDied(_) => ErrorKind::OwnerDied,
        };
        Self::new(kind, e.to_string())
    }
}

impl From<CreateError> for Error {
    fn from(e: CreateError) -> Self {
        let kind = match &e {
            CreateError::Os(_) => ErrorKind::Io,
            CreateError::Memory(_) => ErrorKind::OutOfMemory,
            CreateError::NotHeld(_) => ErrorKind::NotHeld,
            CreateError::Value(_) => ErrorKind::InvalidInput,
        };
        Self::because(kind, e)
    }
}

impl<A> From<SubmitError<A>> for Error {
    fn from(e: SubmitError<A>) -> Self {
        PoolError::from(e).into()
    }
}

macro_rules! of_one_kind {
    ($($type:ty => $kind:ident),* $(,)?) => { $(
        impl From<$type> for Error {
            fn from(e: $type) -> Self {
                Self::because(ErrorKind::$kind, e)
            }
        }
    )* };
}
of_one_kind!(
    EncodeError => Encode,
    DecodeError => Decode,
    AllocError => OutOfMemory,
    io::Error => Io,
);

macro_rules! with_kinds {
    ($($type:ty { $($pattern:pat => $kind:ident),* $(,)? })*) => { $(
        impl From<$type> for Error {
            fn from(e: $type) -> Self {
                let kind = match &e { $($pattern => ErrorKind::$kind),* };
                Self::because(kind, e)
            }
        }
    )* };
}
with_kinds! {
    CacheError {
        CacheError::GaveUp(GaveUp::TimedOut) => TimedOut,
        CacheError::GaveUp(GaveUp::Interrupted) => Interrupted,
        CacheError::TooLarge { .. } => InvalidInput,
        CacheError::Damaged(_) | CacheError::Version { .. } => Decode,
        CacheError::Io { .. } | CacheError::Full { .. } => Io,
    }
    GaveUp { GaveUp::TimedOut => TimedOut, GaveUp::Interrupted => Interrupted }
    BarrierError { BarrierError::Broken => Broken, BarrierError::Interrupted => Interrupted }
    NewQueueError {
        NewQueueError::NoArena(_) => Io,
        NewQueueError::OutOfMemory(_) => OutOfMemory,
    }
    NewBlockError {
        NewBlockError::NoArena(_) => Io,
        NewBlockError::OutOfMemory(_) => OutOfMemory,
    }
    NewPipeError {
        NewPipeError::Refused(_) => Io,
        NewPipeError::OutOfMemory(_) => OutOfMemory,
    }
    PoolError {
        PoolError::Panicked(_) | PoolError::Initializer(_) => Panicked,
        PoolError::WorkerDied(_) | PoolError::WorkersKeepDying(_) => WorkerDied,
        PoolError::TimedOut(_) | PoolError::Full => TimedOut,
        PoolError::Cancelled | PoolError::Terminated => Cancelled,
        PoolError::Argument { .. } | PoolError::Unsendable { .. } => Encode,
        PoolError::Unreadable { .. }
        | PoolError::Undecodable { .. }
        | PoolError::Damaged { .. } => Decode,
        PoolError::OutOfMemory(_) | PoolError::TooMany { .. } => OutOfMemory,
        PoolError::Closed => Disconnected,
        PoolError::OtherProcess => InvalidInput,
        PoolError::UnknownFunction(_) | PoolError::Closures(_) => InvalidInput,
        PoolError::NoWorkers(_) => Io,
    }
    StartError {
        StartError::Argument(_) => Encode,
        StartError::Method(_) | StartError::Task(_) => InvalidInput,
        StartError::Io(_) => Io,
    }
    ProcessError {
        ProcessError::Panicked { .. } => Panicked,
        ProcessError::Died { .. } => WorkerDied,
        ProcessError::NotBegun { .. } | ProcessError::Io(_) => Io,
        ProcessError::Unsendable { .. } => Encode,
        ProcessError::Argument { .. } | ProcessError::Undecodable { .. } => Decode,
    }
    process::WaitError {
        process::WaitError::GaveUp(GaveUp::TimedOut) => TimedOut,
        process::WaitError::GaveUp(GaveUp::Interrupted) => Interrupted,
        process::WaitError::Io(_) => Io,
    }
    wait::WaitError {
        wait::WaitError::GaveUp(GaveUp::TimedOut) => TimedOut,
        wait::WaitError::GaveUp(GaveUp::Interrupted) => Interrupted,
        wait::WaitError::Io(_) => Io,
    }
    ConnectError {
        ConnectError::Handshake(_) => InvalidInput,
        ConnectError::Stream(StreamError::EndOfFile | StreamError::CutShort) => Disconnected,
        ConnectError::Stream(StreamError::TooLong(_)) => Decode,
        ConnectError::GaveUp(GaveUp::TimedOut)
        | ConnectError::Stream(StreamError::GaveUp(GaveUp::TimedOut)) => TimedOut,
        ConnectError::GaveUp(GaveUp::Interrupted)
        | ConnectError::Stream(StreamError::GaveUp(GaveUp::Interrupted)) => Interrupted,
        ConnectError::Io(_) | ConnectError::Stream(StreamError::Io(_)) => Io,
    }
}
