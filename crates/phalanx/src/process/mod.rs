//! Processes: three ways to start one, and what becomes of it.
//!
//! - `Fork`: a copy of the calling process;
//! - `Spawn`: this program from its beginning;
//! - `Zygote`: a copy of a prepared process with one thread, made on request.
//!
//! [`Process`] puts all three behind one name, [`StartMethod`], and runs one function in the child, whose
//! result or panic comes back by [`join`](Process::join). Below it, [`fork::run`] gives a [`Child`], which
//! is known by its end alone. The sentinel of each is a pidfd, and no child outlives its parent.
//!
//! Other programs are started as a [`Program`](crate::program::Program), which gives a [`Child`] too.
//!
//! ```
//! use phalanx::prelude::*;
//!
//! let counted = Process::fork(|| "a few words".split(' ').count())?;
//! assert_eq!(counted.join()?, 3);
//!
//! let killed = Process::fork(|| std::thread::sleep(std::time::Duration::from_secs(600)))?;
//! killed.kill()?;
//! assert!(matches!(killed.join(), Err(ProcessError::Died { status: ExitStatus::Signal(9), .. })));
//! # Ok::<(), phalanx::Error>(())
//! ```

pub(crate) mod birth;
mod builder;
mod child;
mod error;
mod footprint;
pub mod fork;
// How processes are born, here and below, is for front doors of other languages.
#[doc(hidden)]
pub mod handover;
pub(crate) mod method;
pub mod passing;
mod report;
mod running;
#[doc(hidden)]
pub mod spawn;
mod spawning;
pub(crate) mod stdio;
mod table;
#[doc(hidden)]
pub mod zygote;

pub use birth::name;
pub use builder::Builder;
pub(crate) use builder::given;
pub use child::{Child, WaitError, wait_readable};
pub(crate) use error::How;
pub use error::{ProcessError, StartError};
pub(crate) use footprint::Size;
pub use footprint::{Footprint, Shortage};
pub use method::{StartMethod, prepare_zygote};
pub use phalanx_os::wait::ExitStatus;
pub use running::Process;
#[doc(hidden)]
pub use spawning::{Reservation, own_slot, spawning_slot, while_sharing_with};
pub use stdio::Stdio;
