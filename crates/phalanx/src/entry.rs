//! How a program begins that starts itself again.
//!
//! A process that is spawned, other than one that is forked, begins at `main` and has to be told what it
//! is there for. The descriptor of what it is handed is named by an argument,
//! which, unlike a variable of the environment, is not passed on to whatever that process runs. The
//! first byte of what is handed over says which part the process has to play.
//!
//! ```
//! use phalanx::prelude::*;
//!
//! #[phalanx::task]
//! fn square(x: u64) -> u64 {
//!     x * x
//! }
//!
//! #[phalanx::main]
//! fn main() -> Result<(), Error> {
//!     let process = Process::builder().method(StartMethod::Spawn).start(square::task(), 12)?;
//!     assert_eq!(process.join()?, 144);
//!     Ok(())
//! }
//! ```

use std::ffi::CString;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::process::handover::{Accepted, accept};
use crate::process::spawn::{Program, spawn};
use crate::process::zygote::{Born, Served, serve};
use crate::process::{Child, Reservation};

/// The beginnings of the arguments that name the descriptor of the handover.
pub(crate) const CHILD: &str = "--phalanx-handover=";
const ZYGOTE: &str = "--phalanx-zygote=";

static BEGUN: OnceLock<Option<Part>> = OnceLock::new();

/// What a process was started for.
struct Part {
    role: Role,
    payload: Vec<u8>,
}

/// The parts that a process can play, by the first byte of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The program's own business: [`init`] returns the rest.
    Own,
    /// It runs one task: see [`crate::process::Process`].
    Task,
    /// It is a worker of a pool.
    Worker,
    /// It is another program than its parent: see [`crate::program`].
    Program,
}

impl Role {
    const ALL: [Self; 4] = [Self::Own, Self::Task, Self::Worker, Self::Program];

    /// A payload that begins with the role.
    pub(crate) fn payload(self) -> Vec<u8> {
        vec![self as u8]
    }
}

/// To be called first in `main`, before any thread is started: what
/// [`#[phalanx::main]`](macro@crate::main) does.
///
/// A program that does so can be started again by its own processes, as a fresh process or as a
/// zygote: see [`StartMethod`](crate::process::StartMethod). In a process that
/// was started for a task or as a worker of a pool this function does all that there is to do, and does
/// not return. In one that [`start_again`] has started it joins the family of its parent, binds its life
/// to the parent's, and returns the bytes that it was started with. Anywhere else it does nothing and
/// returns `None`. A second call returns the same.
///
/// # Panics
/// When the process was started with the argument of a handover that is not there: by hand, or by a
/// program that closed it.
///
/// ```
/// assert_eq!(phalanx::init(), None, "nobody has started this process by `start_again`");
/// ```
pub fn init() -> Option<&'static [u8]> {
    static PLAYED: AtomicBool = AtomicBool::new(false);
    let part = BEGUN.get_or_init(|| match begin() {
        Ok(part) => part,
        Err(error) => panic!("cannot begin as a child process of phalanx: {error}"),
    });
    let Part { role, payload } = part.as_ref()?;
    let first = !PLAYED.swap(true, Ordering::Relaxed);
    match role {
        Role::Own => Some(payload),
        Role::Task if first => std::process::exit(crate::process::birth::live(payload)),
        Role::Worker if first => std::process::exit(crate::pool::hired::work(payload)),
        // A task that calls `main` once more.
        Role::Task | Role::Worker | Role::Program => None,
    }
}

/// What this process was passed as another program's child: see [`crate::program`].
pub(crate) fn passed() -> Option<&'static [u8]> {
    init();
    let part = BEGUN.get()?.as_ref()?;
    (part.role == Role::Program).then_some(&part.payload)
}

/// Whether [`init`] was called, so that this program can be started again.
pub(crate) fn is_prepared() -> bool {
    BEGUN.get().is_some()
}

fn begin() -> io::Result<Option<Part>> {
    let named =
        |name| std::env::args_os().find_map(|a| a.to_str()?.strip_prefix(name)?.parse().ok());
    let (number, as_zygote) = match (named(CHILD), named(ZYGOTE)) {
        (Some(number), _) => (number, false),
        (None, Some(number)) => (number, true),
        (None, None) => return Ok(None),
    };
    let Accepted { payload, door } = accept(number, as_zygote)?;
    match door {
        Some(door) if as_zygote => hatch(door).map(Some),
        _ => part(payload, Vec::new()).map(Some),
    }
}

/// Serves as the zygote; returns in its children.
fn hatch(door: OwnedFd) -> io::Result<Part> {
    match serve(door, &mut phalanx_os::fork::fork_alone)? {
        Served::Child(Born { payload, fds }) => part(payload, fds),
        Served::Done => std::process::exit(0),
    }
}

fn part(mut payload: Vec<u8>, fds: Vec<OwnedFd>) -> io::Result<Part> {
    let byte = if payload.is_empty() { None } else { Some(payload.remove(0)) };
    let role = Role::ALL.into_iter().find(|role| Some(*role as u8) == byte);
    let role = role.ok_or_else(|| {
        let text = "the handover is none of this program's: was it built anew meanwhile?";
        io::Error::new(io::ErrorKind::InvalidData, text)
    })?;
    crate::process::birth::receive(fds);
    Ok(Part { role, payload })
}

/// Starts this program again as a child process, whose [`init`] returns `payload`.
///
/// It is a fresh process with this one's environment, working directory and standard streams, and
/// dies with this one. For functions that return something see
/// [`Process`](crate::process::Process).
///
/// # Errors
/// When the kernel refuses another process, memory or a descriptor.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::process::ExitStatus;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     if let Some(payload) = phalanx::init() {
///         std::process::exit(i32::from(payload != b"what to do"));
///     }
///     let child = phalanx::entry::start_again(b"what to do")?;
///     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
///     Ok(())
/// }
/// ```
pub fn start_again(payload: &[u8]) -> io::Result<Child> {
    let payload = [&Role::Own.payload(), payload].concat();
    with_program(false, |program| spawn(&program, Reservation::new()?, &payload, &[]))
}

/// This program, to be executed once more: as a child, or as the zygote.
pub(crate) fn with_program<T>(as_zygote: bool, start: impl FnOnce(Program<'_>) -> T) -> T {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = CString::new(name.as_encoded_bytes()).unwrap_or_default();
    let arguments = |fd: RawFd| {
        let what = if as_zygote { ZYGOTE } else { CHILD };
        vec![name.clone(), CString::new(format!("{what}{fd}")).unwrap_or_default()]
    };
    start(Program { path: c"/proc/self/exe", arguments: &arguments })
}
