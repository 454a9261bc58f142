//! What can go wrong: a small type for each operation, which gives back what was handed in, and one
//! [`Error`] into which all of them convert by `?`.

mod all;
mod channel;

pub use crate::sync::CreateError;
pub use crate::wire::{DecodeError, EncodeError};
pub use all::{Error, ErrorKind};
pub use channel::{RecvError, SendError};
