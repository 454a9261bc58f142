//! What can go wrong with a shared container.

use std::fmt;

use phalanx_shm::arena::AllocError;
use phalanx_shm::containers::LockFailed;
use phalanx_shm::patience::GaveUp;

use crate::error::{Error, ErrorKind};
use crate::wire::{DecodeError, EncodeError};

/// An operation on a shared dictionary or list failed. The container is as it was before.
///
/// ```
/// use phalanx::manager::{AccessError, Manager};
///
/// let manager = Manager::start()?;
/// manager.list::<u64>("numbers")?;
/// let refused = manager.dict::<String, u64>("numbers");
/// assert!(matches!(refused, Err(AccessError::Refused(_))));
/// manager.stop()?;
/// assert!(matches!(manager.names(), Err(AccessError::Disconnected(_))));
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum AccessError {
    /// Somebody held the container for as long as patience allowed: a process that was stopped.
    GaveUp(GaveUp),
    /// The container has been given up by whoever owned it.
    Retired,
    /// There is no shared memory left.
    OutOfMemory(AllocError),
    /// A key or a value cannot be encoded.
    Encode(EncodeError),
    /// What is stored is no key or value of the expected type; gives the bytes.
    Decode(DecodeError),
    /// The manager that keeps the container has ended, or was never there.
    Disconnected(String),
    /// The manager refuses: the name is that of another object, or it has no memory.
    Refused(String),
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GaveUp(why) => write!(f, "cannot lock a shared container: {why}"),
            Self::Retired => f.write_str("the shared container has been given up by its owner"),
            Self::OutOfMemory(why) => write!(f, "cannot store in a shared container: {why}"),
            Self::Encode(why) => write!(f, "cannot store in a shared container: {why}"),
            Self::Decode(why) => write!(f, "cannot read from a shared container: {why}"),
            Self::Disconnected(why) => write!(f, "cannot reach a shared container: {why}"),
            Self::Refused(why) => write!(f, "cannot use a shared container: {why}"),
        }
    }
}

impl std::error::Error for AccessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::GaveUp(why) => Some(why),
            Self::Retired | Self::Disconnected(_) | Self::Refused(_) => None,
            Self::OutOfMemory(why) => Some(why),
            Self::Encode(why) => Some(why),
            Self::Decode(why) => Some(why),
        }
    }
}

impl From<LockFailed> for AccessError {
    fn from(why: LockFailed) -> Self {
        match why {
            LockFailed::GaveUp(why) => Self::GaveUp(why),
            LockFailed::Retired => Self::Retired,
        }
    }
}

impl From<AllocError> for AccessError {
    fn from(why: AllocError) -> Self {
        Self::OutOfMemory(why)
    }
}

impl From<EncodeError> for AccessError {
    fn from(why: EncodeError) -> Self {
        Self::Encode(why)
    }
}

impl From<DecodeError> for AccessError {
    fn from(why: DecodeError) -> Self {
        Self::Decode(why)
    }
}

impl From<AccessError> for Error {
    fn from(why: AccessError) -> Self {
        let kind = match &why {
            AccessError::GaveUp(GaveUp::TimedOut) => ErrorKind::TimedOut,
            AccessError::GaveUp(GaveUp::Interrupted) => ErrorKind::Interrupted,
            AccessError::Retired | AccessError::Disconnected(_) => ErrorKind::Disconnected,
            AccessError::Refused(_) => ErrorKind::InvalidInput,
            AccessError::OutOfMemory(_) => ErrorKind::OutOfMemory,
            AccessError::Encode(_) => ErrorKind::Encode,
            AccessError::Decode(_) => ErrorKind::Decode,
        };
        Self::new(kind, why.to_string())
    }
}
