//! Starting a process as a copy of the calling one.
//!
//! ```
//! use phalanx::process::{ExitStatus, fork};
//!
//! let child = fork::run(|| 7)?;
//! assert_eq!(child.wait(phalanx::Patience::forever())?, ExitStatus::Code(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;

use phalanx_os::{death, fork as os};

use super::{Child, table};
use crate::trace::event;

/// What has to be known before a fork to do the right things on both sides after it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Forking {
    on_main_thread: bool,
    /// The process that forks.
    parent: u32,
}

impl Forking {
    /// To be called right before `fork(2)`.
    ///
    /// # Errors
    /// When the kernel refuses a descriptor that the child will need, or there is no room in the
    /// process table.
    pub fn prepare() -> io::Result<Self> {
        table::open()?;
        death::own_pidfd()?;
        let on_main_thread = death::on_main_thread();
        if !on_main_thread {
            death::lifeline()?;
        }
        Ok(Self { on_main_thread, parent: std::process::id() })
    }

    /// To be called in the child: binds its life to its parent's.
    pub fn in_child(self) {
        // Without either the child is as well protected as the standard library's.
        let _ = if self.on_main_thread {
            death::die_with_parent(self.parent)
        } else {
            death::hang_on_to_parent()
        };
    }

    /// To be called in the parent, with the child's process id.
    ///
    /// # Errors
    /// When the kernel refuses the descriptor of the child, or it found no place in the process
    /// table; it has been killed then.
    pub fn in_parent(self, pid: u32) -> io::Result<Child> {
        Child::forked(pid, table::last_forked())
    }

    /// To be called when the fork failed.
    pub fn failed(self) {
        if let Some(slot) = table::last_forked() {
            table::abandon(slot);
        }
    }
}

/// Runs `body` in a forked child, which ends with the code it returns (101 if it panics).
///
/// In a process with several threads `body` must not need a lock that another thread may have
/// held at this moment.
///
/// # Errors
/// When the kernel refuses another process or a descriptor.
///
/// ```
/// use phalanx::process::{ExitStatus, fork};
/// use phalanx_shm::patience::Patience;
///
/// let child = fork::run(|| 7).unwrap();
/// assert_eq!(child.wait(Patience::forever()).unwrap(), ExitStatus::Code(7));
/// ```
pub fn run(body: impl FnOnce() -> i32) -> io::Result<Child> {
    let forking = Forking::prepare()?;
    let pid = os::run_in_child(|| {
        forking.in_child();
        body()
    });
    let pid = match pid {
        Ok(pid) => pid,
        Err(e) => {
            forking.failed();
            return Err(e);
        }
    };
    let child = forking.in_parent(pid)?;
    event!(DEBUG, "process started", pid = pid, method = "fork");
    Ok(child)
}
