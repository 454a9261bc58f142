//! The command `phalanx`: scripts and command lines in parallel.
//!
//! Reads the arguments, and shows what [`phalanx::jobs`] does. It is a library too, so that other front
//! doors understand commands and show progress in the same way.

#![forbid(unsafe_code)]

pub mod command;
mod feed;
mod options;
pub mod progress;
mod run;
mod screen;
mod signals;
mod template;
mod usage;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use options::{Asked, parse};

/// Exit codes, beside 0 for success.
mod code {
    /// A job has failed, or was not run.
    pub(crate) const FAILED: i32 = 1;
    /// The command line makes no sense, or a file that it names cannot be used.
    pub(crate) const USAGE: i32 = 2;
    /// A signal has ended the run: this and its number.
    pub(crate) const SIGNAL: i32 = 128;
}

/// Does what the arguments say, the program's name not among them, and returns the exit code. Scripts in
/// Python are run by `python`, if the arguments choose no other interpreter.
///
/// It blocks the signals that end a run in the calling thread, and reads them; so it is for programs that
/// do nothing else.
pub fn main(arguments: impl IntoIterator<Item = OsString>, python: &Path) -> i32 {
    let options = match parse(arguments, python) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Text(text)) => {
            return i32::from(std::io::stdout().write_all(text.as_bytes()).is_err());
        }
        Err(error) => return complain(&*error),
    };
    run::run(&options).unwrap_or_else(|error| complain(&*error))
}

fn complain(error: &dyn std::error::Error) -> i32 {
    let _ = writeln!(std::io::stderr(), "phalanx: {error}");
    code::USAGE
}

/// The interpreter for scripts in Python: the one that this program was installed with, which lies beside
/// it; else that of the active environment; else whichever `PATH` has.
#[must_use]
pub fn nearest_python() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let active =
        std::env::var_os("VIRTUAL_ENV").map(|environment| Path::new(&environment).join("bin"));
    let places = beside.into_iter().chain(active);
    let mut files = places.flat_map(|place| ["python3", "python"].map(|name| place.join(name)));
    files.find(|file| file.is_file()).unwrap_or_else(|| PathBuf::from("python3"))
}
