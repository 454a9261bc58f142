//! Queues: any number of processes put values, any number take them, first in, first out.
//!
//! [`Queue`] carries values of one type, [`RawQueue`] the messages that it consists of.
//!
//! ```
//! use phalanx::Queue;
//! use phalanx::process::{ExitStatus, fork};
//! use phalanx::Patience;
//!
//! let jobs = Queue::<(u64, String)>::bounded(100)?;
//! let child = fork::run(|| match jobs.take() {
//!     Ok((number, name)) => i32::from((number, name.as_str()) != (7, "seven")),
//!     Err(_) => 2,
//! })?;
//! jobs.put((7, "seven".to_owned()))?;
//! assert!(matches!(child.wait(Patience::forever()), Ok(ExitStatus::Code(0))));
//! # Ok::<(), phalanx::Error>(())
//! ```
//!
//! | a process dies | what the others see |
//! |---|---|
//! | putting | the value is there as a whole, or not at all |
//! | taking | the value is still there, or gone with it; never twice, never in part |
//! | waiting | nothing: a wake-up that was meant for it goes to somebody else |

mod batch;
mod bridge;
mod doorbell;
mod iter;
mod raw;
mod state;
mod typed;

pub use iter::{Drain, Iter};
pub use raw::{NewQueueError, RawQueue};
pub use typed::Queue;
