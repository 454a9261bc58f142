//! The three ways to start a process, behind one name.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use super::spawn::spawn;
use super::zygote::{self, Launch};
use super::{Child, Reservation};
use crate::entry::{is_prepared, with_program};

/// How a process begins.
///
/// | | begins as | starts in about | may run |
/// |---|---|---|---|
/// | `Fork` | a copy of the calling process, with the calling thread alone | 0.3 ms, more with memory | tasks and closures |
/// | `Spawn` | the program from its beginning | 2 ms and what the program's start takes | tasks |
/// | `Zygote` | a copy of a process that has done nothing but begin | 0.5 ms | tasks |
///
/// A forked process has everything that its parent had, but not its threads: a lock that one of them
/// held at that moment stays locked. The other two have only what they are given. They need a program
/// that calls [`phalanx::init`](crate::init) first, best by [`#[phalanx::main]`](macro@crate::main);
/// the zygote is started at the first need and serves all processes of the family.
///
/// The default is `Zygote` in programs that call `init`, and `Fork` in others.
///
/// ```
/// use phalanx::process::{Process, StartMethod};
///
/// #[phalanx::task]
/// fn double(x: u64) -> u64 {
///     2 * x
/// }
///
/// #[phalanx::main]
/// fn main() -> Result<(), phalanx::Error> {
///     for method in [StartMethod::Fork, StartMethod::Spawn, StartMethod::Zygote] {
///         let process = Process::builder().method(method).start(double::task(), 21)?;
///         assert_eq!(process.join()?, 42);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartMethod {
    /// A copy of the calling process.
    Fork,
    /// A fresh process.
    Spawn,
    /// A copy of the zygote.
    Zygote,
}

impl Default for StartMethod {
    fn default() -> Self {
        if is_prepared() { Self::Zygote } else { Self::Fork }
    }
}

impl fmt::Display for StartMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fork => "fork",
            Self::Spawn => "spawn",
            Self::Zygote => "zygote",
        })
    }
}

impl StartMethod {
    /// # Errors
    /// `Unsupported` when the method needs a program that calls `init`, and this one has not.
    pub(crate) fn check(self) -> io::Result<()> {
        if self == Self::Fork || is_prepared() {
            return Ok(());
        }
        let text = format!(
            "cannot start a process by {self} before `phalanx::init()` was called: mark the main \
             function with `#[phalanx::main]`, or start processes by fork"
        );
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }
}

/// How the new process finds a descriptor that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Given {
    /// Under that number.
    Inherited(RawFd),
    /// Among those that came with its payload.
    Passed(usize),
}

impl Given {
    /// What a fresh process of that method is told of the n-th of its descriptors.
    pub(crate) fn of(method: StartMethod, nth: usize, fd: &OwnedFd) -> Self {
        match method {
            StartMethod::Zygote => Self::Passed(nth),
            StartMethod::Fork | StartMethod::Spawn => Self::Inherited(fd.as_raw_fd()),
        }
    }
}

/// Starts this program for a role that the payload names, by `Spawn` or `Zygote`.
pub(crate) fn start_fresh(
    method: StartMethod,
    reservation: Reservation,
    payload: &[u8],
    fds: &[OwnedFd],
) -> io::Result<Child> {
    method.check()?;
    if method == StartMethod::Zygote {
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        return with_program(true, |program| {
            let launch = Launch { program, payload: &|| Ok(Vec::new()) };
            zygote::start(&launch, reservation, payload, &fds)
        });
    }
    let keep: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    with_program(false, |program| spawn(&program, reservation, payload, &keep))
}

/// Starts the zygote if there is none, so that the first process by it starts quickly too.
///
/// # Errors
/// `Unsupported` in a program that has not called [`phalanx::init`](crate::init); or when the kernel
/// refuses another process, memory or a descriptor.
///
/// ```
/// #[phalanx::main]
/// fn main() -> std::io::Result<()> {
///     phalanx::process::prepare_zygote()?;
///     // From here on the first process starts as quickly as all others.
///     Ok(())
/// }
/// ```
pub fn prepare_zygote() -> io::Result<()> {
    StartMethod::Zygote.check()?;
    with_program(true, |program| {
        zygote::ensure_running(&Launch { program, payload: &|| Ok(Vec::new()) })
    })
}
