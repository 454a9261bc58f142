//! What can go wrong: a small type for each operation, which gives back what was handed in, and one
//! [`Error`] into which all of them convert by `?`.
//!
//! ```
//! use phalanx::prelude::*;
//!
//! let queue = Queue::<String>::bounded(1)?;
//! queue.put("first".to_owned())?;
//! // A small error that gives the value back:
//! let error = queue.try_put("second".to_owned()).expect_err("there is no room");
//! assert_eq!(error.into_inner(), "second");
//! // The one above all, for programs that handle everything in one place:
//! let error: Error = queue.try_put("third".to_owned()).unwrap_err().into();
//! assert_eq!(error.kind(), ErrorKind::TimedOut);
//! # Ok::<(), phalanx::Error>(())
//! ```

mod all;
mod channel;

pub use crate::sync::CreateError;
pub use crate::wire::{DecodeError, EncodeError};
pub use all::{Error, ErrorKind};
pub use channel::{RecvError, SendError};
