//! Starting a process as a fresh program.
//!
//! ```no_run
//! use std::ffi::CString;
//! use phalanx::process::{Reservation, spawn};
//!
//! // A program of one's own that calls `handover::accept` with the number in its last argument.
//! let arguments = |number: i32| {
//!     let number = CString::new(number.to_string()).unwrap_or_default();
//!     vec![c"worker".to_owned(), number]
//! };
//! let program = spawn::Program { path: c"/opt/worker", arguments: &arguments };
//! let child = spawn::spawn(&program, Reservation::new()?, b"what to do", &[])?;
//! child.wait(phalanx::Patience::forever())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, RawFd};

use phalanx_os::signal::{self, SIGINT};
use phalanx_os::spawn as os;

use super::handover::Handover;
use super::{Child, Reservation, zygote};
use crate::trace::{event, span};

/// Which program to execute. Of its arguments those that are a function of the handover's
/// descriptor number are made last.
pub struct Program<'a> {
    /// The file to execute; not looked for along `PATH`.
    pub path: &'a CStr,
    /// The arguments, the program's own name first, for a given number of the handover.
    pub arguments: &'a dyn Fn(RawFd) -> Vec<CString>,
}

impl std::fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Starts a fresh process with a handover of `payload`, which it takes by
/// [`accept`](super::handover::accept). It inherits the descriptors `keep` under their numbers.
///
/// # Errors
/// When the program cannot be executed, a listed descriptor is not open, or the kernel refuses
/// another process, memory or a descriptor.
pub fn spawn(
    program: &Program<'_>,
    reservation: Reservation,
    payload: &[u8],
    keep: &[RawFd],
) -> io::Result<Child> {
    let _span = span!("spawn");
    let door = zygote::door();
    let door = door.as_ref().map(AsFd::as_fd);
    let handover = Handover::pack(reservation.slot()?, door, false, payload)?;
    let pid = execute(program, &handover, keep)?;
    event!(DEBUG, "process started", pid = pid, method = "spawn");
    Child::started(pid, reservation)
}

/// The same for a program that is another than this one, so that it has no use for our zygote.
///
/// # Errors
/// As for [`spawn`].
pub(crate) fn spawn_other(
    program: &Program<'_>,
    reservation: Reservation,
    payload: &[u8],
) -> io::Result<Child> {
    let handover = Handover::pack(reservation.slot()?, None, false, payload)?;
    let pid = execute(program, &handover, &[])?;
    Child::started(pid, reservation)
}

pub(super) fn execute(
    program: &Program<'_>,
    handover: &Handover,
    keep: &[RawFd],
) -> io::Result<u32> {
    // Ctrl-C is for programs that are ready for it: a child lets it through once it has accepted
    // its handover, a zygote in its children.
    let mask = Some(signal::mask().with(SIGINT));
    let arguments = (program.arguments)(handover.number());
    let mut all: Vec<RawFd> = handover.fds().iter().chain(keep).copied().collect();
    all.sort_unstable();
    all.dedup();
    os::spawn(&os::Program { path: program.path, arguments: &arguments, keep: &all, mask }).map_err(
        |source| {
            let path = program.path.to_string_lossy().into_owned();
            io::Error::new(source.kind(), CannotExecute { path, source })
        },
    )
}

/// The kernel's refusal with the path that it is about; the refusal itself, with its number, is the source.
#[derive(Debug)]
struct CannotExecute {
    path: String,
    source: io::Error,
}

impl std::fmt::Display for CannotExecute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot execute {}: {}", self.path, self.source)
    }
}

impl std::error::Error for CannotExecute {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
