//! Why a run could not go on.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A run that ended early, for a reason that is none of its jobs'. No process of it is left.
///
/// ```
/// use phalanx::jobs::{Job, RunError, Runner};
///
/// let run = Runner::new().log("/no/such/folder/jobs.log", false).run([Job::new("true")]);
/// assert!(matches!(run, Err(RunError::Log(..))));
/// ```
#[derive(Debug)]
pub enum RunError {
    /// The log cannot be read or written.
    Log(PathBuf, io::Error),
    /// The folder for the outputs, or a file in it, cannot be made.
    Folder(PathBuf, io::Error),
    /// The next job cannot be read.
    Feed(io::Error),
    /// The kernel refuses what the runner itself needs.
    Kernel(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(path, error) => {
                write!(f, "cannot use the job log {}: {error}", path.display())
            }
            Self::Folder(path, error) => write!(f, "cannot write to {}: {error}", path.display()),
            Self::Feed(error) => write!(f, "cannot read the next job: {error}"),
            Self::Kernel(error) => write!(f, "cannot run jobs: {error}"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Log(_, error)
            | Self::Folder(_, error)
            | Self::Feed(error)
            | Self::Kernel(error) => Some(error),
        }
    }
}
