//! How a program begins that starts itself again.
//!
//! A process that is spawned, other than one that is forked, begins at `main` and has to be told what it
//! is there for. The descriptor of its [handover](crate::process::handover) is named by an argument,
//! which, unlike a variable of the environment, is not passed on to whatever that process runs.

use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use crate::process::handover::accept;
use crate::process::spawn::{Program, spawn};
use crate::process::{Child, Reservation};

/// The beginning of the argument that names the descriptor of the handover.
const ARGUMENT: &str = "--phalanx-handover=";

static PAYLOAD: OnceLock<Option<Vec<u8>>> = OnceLock::new();

/// To be called first in `main`, before any thread is started: what
/// [`#[phalanx::main]`](crate::main) does.
///
/// In a process that [`start_again`] has started, joins the family of its parent, binds its life to
/// the parent's, and returns the bytes that it was started with. Anywhere else does nothing and returns
/// `None`. A second call returns the same.
///
/// # Panics
/// When the process was started with the argument of a handover that is not there: by hand, or by a
/// program that closed it.
///
/// ```
/// assert_eq!(phalanx::init(), None, "nobody has started this process by `start_again`");
/// ```
pub fn init() -> Option<&'static [u8]> {
    let payload = PAYLOAD.get_or_init(|| {
        let number = std::env::args().find_map(|a| a.strip_prefix(ARGUMENT)?.parse().ok())?;
        match accept(number, false) {
            Ok(accepted) => Some(accepted.payload),
            Err(error) => panic!("cannot begin as a child process of phalanx: {error}"),
        }
    });
    payload.as_deref()
}

/// Starts this program again as a child process, whose [`init`] returns `payload`.
///
/// It is a fresh process with this one's environment, working directory and standard streams, and
/// dies with this one.
///
/// # Errors
/// When the kernel refuses another process, memory or a descriptor.
pub fn start_again(payload: &[u8]) -> io::Result<Child> {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = CString::new(name.as_encoded_bytes()).unwrap_or_default();
    let arguments = |fd: RawFd| {
        let handover = CString::new(format!("{ARGUMENT}{fd}")).unwrap_or_default();
        vec![name.clone(), handover]
    };
    let program = Program { path: c"/proc/self/exe", arguments: &arguments };
    spawn(&program, Reservation::new()?, payload, &[])
}
