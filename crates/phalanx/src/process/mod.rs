//! Processes: three ways to start one, and what becomes of it.
//!
//! - [`fork`](mod@fork): a copy of the calling process;
//! - [`spawn`](mod@spawn): a fresh program, which gets a [`handover`] of descriptors and bytes;
//! - [`zygote`]: a copy of a prepared process with one thread, made on request.
//!
//! Each gives a [`Child`] whose sentinel is a pidfd. No child outlives its parent: see
//! [`phalanx_os::death`].

mod child;
pub mod fork;
pub mod handover;
pub mod passing;
pub mod spawn;
mod spawning;
mod table;
pub mod zygote;

pub use child::{Child, WaitError, wait_readable};
pub use phalanx_os::wait::ExitStatus;
pub use spawning::{Reservation, own_slot, spawning_slot, while_sharing_with};
