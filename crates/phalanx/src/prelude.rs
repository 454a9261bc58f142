//! What most programs use: `use phalanx::prelude::*;`.

pub use crate::error::{Error, ErrorKind, RecvError, SendError};
pub use crate::queue::Queue;
