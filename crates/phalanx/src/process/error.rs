//! What can go wrong with a process that runs one task.

use std::fmt;
use std::io;

use phalanx_os::wait::ExitStatus;

use super::{Footprint, StartMethod};
use crate::task::Panic;
use crate::wire::{DecodeError, EncodeError};

/// Why a process was not started.
///
/// ```
/// use phalanx::process::{Process, StartError, StartMethod};
///
/// let closure = Process::builder().method(StartMethod::Spawn).fork(|| 7);
/// assert!(matches!(closure, Err(StartError::Method(StartMethod::Spawn))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The argument cannot be encoded.
    Argument(EncodeError),
    /// A closure can only be run by a fork of the process that it stands in.
    Method(StartMethod),
    /// The function cannot be told from another one.
    Task(String),
    /// The program is not prepared for the start method (`Unsupported`), or the kernel refuses another
    /// process, memory or a descriptor.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(e) => write!(f, "cannot start a process: {e}"),
            Self::Method(method) => write!(
                f,
                "cannot start a process by {method} for a closure, which no other process has: start \
                 it by fork, or make the closure a function with `#[phalanx::task]`"
            ),
            Self::Task(why) => write!(f, "cannot start a process: {why}"),
            Self::Io(e) => write!(f, "cannot start a process: {e}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Argument(e) => Some(e),
            Self::Io(e) => Some(e),
            Self::Method(_) | Self::Task(_) => None,
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<EncodeError> for StartError {
    fn from(error: EncodeError) -> Self {
        Self::Argument(error)
    }
}

/// Why a process that has ended gave no result.
///
/// ```
/// use phalanx::process::{ExitStatus, Process, ProcessError};
///
/// let panics = Process::fork(|| -> u64 { panic!("no luck") })?.join();
/// assert!(matches!(panics, Err(ProcessError::Panicked { panic, .. }) if panic.message() == "no luck"));
///
/// let leaves = Process::fork(|| -> u64 { std::process::exit(3) })?.join();
/// assert!(matches!(leaves, Err(ProcessError::Died { status: ExitStatus::Code(3), .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessError {
    /// Its function panicked.
    Panicked {
        /// The process's name.
        name: String,
        /// What it said.
        panic: Panic,
    },
    /// It ended before its function returned: killed, crashed, or by `std::process::exit`.
    Died {
        /// The process's name.
        name: String,
        /// Its process id.
        pid: u32,
        /// How it ended.
        status: ExitStatus,
        /// What is known of its memory.
        memory: Footprint,
    },
    /// Its standard streams, its environment or its directory could not be arranged, or its function is
    /// not there. The function was not called.
    NotBegun {
        /// The process's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The argument was decoded by another type than encoded it. The function was not called.
    Argument {
        /// The process's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The function returned, but its result cannot be sent.
    Unsendable {
        /// The process's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The result arrived, but is no value of its type.
    Undecodable {
        /// The process's name.
        name: String,
        /// Why; gives the bytes back.
        error: DecodeError,
    },
    /// The kernel refused to tell how it ended.
    Io(io::Error),
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { name, panic } if f.alternate() => {
                write!(f, "process {name} panicked: {panic:#}")
            }
            Self::Panicked { name, panic } => write!(f, "process {name} panicked: {panic}"),
            Self::Died { name, pid, status, memory } => {
                write!(
                    f,
                    "process {name} (pid {pid}) {} before it gave a result{memory}",
                    How(*status)
                )
            }
            Self::NotBegun { name, reason } => {
                write!(f, "process {name} could not begin: {reason}")
            }
            Self::Argument { name, reason } => {
                write!(f, "process {name} could not read its argument: {reason}")
            }
            Self::Unsendable { name, reason } => {
                write!(f, "process {name} cannot send its result: {reason}")
            }
            Self::Undecodable { name, error } => {
                write!(f, "the result of process {name} cannot be read: {error}")
            }
            Self::Io(e) => write!(f, "cannot learn how a process ended: {e}"),
        }
    }
}

impl std::error::Error for ProcessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Undecodable { error, .. } => Some(error),
            Self::Io(e) => Some(e),
            _ => None,
        }
    }
}

/// How a process ended, in words.
pub(crate) struct How(pub(crate) ExitStatus);

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ExitStatus::Code(code) => write!(f, "left with exit code {code}"),
            ExitStatus::Signal(signal) => write!(f, "was ended by signal {signal}"),
            ExitStatus::Unknown => f.write_str("ended, somebody else knows how,"),
        }
    }
}
