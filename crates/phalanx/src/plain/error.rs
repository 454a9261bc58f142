//! What can be wrong with a plain value.

use std::fmt;

/// Why a value has no plain form, or a frame no value.
///
/// ```
/// use phalanx::plain::{self, Plain, PlainError};
///
/// let wrong = plain::from::<u64>(&Plain::from("seven"));
/// assert!(matches!(wrong, Err(PlainError::Unsuited(_))));
/// assert!(matches!(plain::decode(&[255], &[]), Err(PlainError::Damaged(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainError {
    /// The message was encoded in a form of the sender's own, because a part of it is no plain value.
    Opaque,
    /// The type asked for does not fit the value, or a value has no plain form; what and why.
    Unsuited(String),
    /// Containers are nested deeper than [`MAX_DEPTH`](super::format::MAX_DEPTH).
    TooDeep,
    /// A container has more than 2^32 items.
    TooLong,
    /// The bytes are no frame; what is wrong with them.
    Damaged(String),
}

impl fmt::Display for PlainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opaque => f.write_str(
                "the message holds an object that only programs in its sender's language can read: \
                 send numbers, strings, bytes, and lists, tuples and dictionaries of these",
            ),
            Self::Unsuited(what) => f.write_str(what),
            Self::TooDeep => {
                write!(f, "a plain value nests containers deeper than {}", super::format::MAX_DEPTH)
            }
            Self::TooLong => f.write_str("a plain container has more than 2^32 items"),
            Self::Damaged(what) => write!(f, "cannot decode the frame, it is damaged: {what}"),
        }
    }
}

impl std::error::Error for PlainError {}

impl serde::ser::Error for PlainError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Unsuited(message.to_string())
    }
}

impl serde::de::Error for PlainError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Unsuited(message.to_string())
    }
}

#[cold]
pub(super) fn damaged(what: impl Into<String>) -> PlainError {
    PlainError::Damaged(what.into())
}
