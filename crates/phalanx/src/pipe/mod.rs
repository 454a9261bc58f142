//! Pipes: two ends, messages between them, and the end of file when the other end is gone.
//!
//! [`pipe()`] and [`pair`] make ends that carry typed values; [`duplex`] and [`one_way`] make those that
//! they consist of, which carry messages.
//!
//! Each direction is a ring in shared memory, bounded in messages and bytes, so that its sender blocks
//! when the receiver does not keep up. Beside it there is a connected pair of sockets, one at each end,
//! for what only the kernel can tell: that the last process with the other end has closed it or
//! died. The socket also wakes receivers that sleep (its protocol is told in `bell.rs`); while both
//! sides are busy no message costs a system call, except that a sender asks whether the other end is
//! still there: each time, or with typed values now and then.
//!
//! A message counts as sent when the ring has it. A sender that is killed has sent all of a message or
//! nothing, and a receiver that is killed has received all of it or left it. What was sent before the
//! other end was closed is received before the end of file.
//!
//! ```
//! use phalanx::message::Outgoing;
//! use phalanx::pipe::{self, RecvError};
//! use phalanx::Patience;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (receiver, sender) = pipe::one_way()?;
//! sender.send(&mut Some(Outgoing::Inline(b"hello")), &Patience::forever())?;
//! drop(sender);
//! let mut frame = Vec::new();
//! receiver.recv(&mut frame, &Patience::forever())?;
//! assert_eq!(frame, b"hello");
//! assert!(matches!(receiver.recv(&mut frame, &Patience::forever()), Err(RecvError::EndOfFile)));
//! # Ok(())
//! # }
//! ```

mod bell;
mod end;
mod error;
mod half;
mod operations;
mod port;
mod typed;
mod watch;

pub use end::{End, EndParts, duplex, one_way};
pub use error::{NewPipeError, RecvError, SendError};
pub(crate) use operations::{receives, sends};
pub(crate) use port::{Port, port};
pub use typed::{Ends, Messages, PipeEnd, pair, pipe};
