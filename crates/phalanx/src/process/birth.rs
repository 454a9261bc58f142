//! The beginning of a process that runs one task: arrange its surroundings, run, report, end.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, PoisonError};

use phalanx_os::inherit;
use phalanx_os::per_process::PerProcess;
use phalanx_os::surroundings::{self, Stream};
use phalanx_shm::family::Family;
use serde::{Deserialize, Serialize};

use super::method::Given;
use super::report::{Kind, Report};
use super::stdio::settled;
use crate::task::{self, Out, Outcome};
use crate::wire;

/// What a process finds around it, beyond what its start method gives it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Surroundings {
    pub(super) name: String,
    pub(super) clear: bool,
    /// In the order in which they were asked for; without a value they are removed.
    pub(super) variables: Vec<(OsString, Option<OsString>)>,
    pub(super) directory: Option<OsString>,
}

/// What a fresh process is told; the encoded argument follows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Birth {
    pub(super) function: u64,
    pub(super) report: u64,
    pub(super) surroundings: Surroundings,
    pub(super) streams: Vec<(u8, Given)>,
}

pub(super) const STREAMS: [Stream; 3] = [Stream::Input, Stream::Output, Stream::Error];

/// The exit codes of a process whose task did not return.
const PANICKED: i32 = 101;
const NOT_BEGUN: i32 = 102;

static NAME: PerProcess<String> = PerProcess::new();
/// Descriptors that came with the payload, until they are asked for.
static PASSED: Mutex<Vec<Option<OwnedFd>>> = Mutex::new(Vec::new());

/// The name of the calling process, if it was started by a [`Process`](super::Process) or as a worker of
/// a pool.
///
/// ```
/// use phalanx::process::{self, Process};
///
/// let process = Process::builder().name("counter").fork(|| process::name().map(str::to_owned))?;
/// assert_eq!(process.join()?.as_deref(), Some("counter"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn name() -> Option<&'static str> {
    NAME.get().map(String::as_str)
}

/// Keeps the descriptors that came with the payload.
pub(crate) fn receive(fds: Vec<OwnedFd>) {
    *PASSED.lock().unwrap_or_else(PoisonError::into_inner) = fds.into_iter().map(Some).collect();
}

fn take(given: Given) -> io::Result<OwnedFd> {
    match given {
        Given::Inherited(number) => inherit::take(number),
        Given::Passed(nth) => {
            let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
            let fd = passed.get_mut(nth).and_then(Option::take);
            fd.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        }
    }
}

/// Gives the process its name, for [`name`] and for the system.
pub(crate) fn call_it(name: String) {
    if let Ok(name) = CString::new(name.as_str()) {
        // A name is for people: without it everything works.
        let _ = surroundings::set_name(&name);
    }
    NAME.get_or_make(|| name);
}

impl Surroundings {
    pub(super) fn arrange(self, streams: &[(Stream, OwnedFd)]) -> io::Result<()> {
        let failed =
            |what: String| move |e: io::Error| io::Error::new(e.kind(), format!("{what}: {e}"));
        for (stream, fd) in streams {
            surroundings::replace_stream(*stream, fd.as_fd())
                .map_err(failed(format!("cannot replace standard {stream:?}").to_lowercase()))?;
        }
        if self.clear {
            surroundings::clear_variables()?;
        }
        for (name, value) in &self.variables {
            let told = || format!("cannot set the variable {}", name.display());
            let text = |s: &OsString| CString::new(s.as_bytes()).map_err(io::Error::from);
            let value = value.as_ref().map(text).transpose().map_err(failed(told()))?;
            let name = text(name).map_err(failed(told()))?;
            surroundings::set_variable(&name, value.as_deref()).map_err(failed(told()))?;
        }
        if let Some(directory) = &self.directory {
            let what = format!("cannot change to the directory {}", directory.display());
            std::env::set_current_dir(directory).map_err(failed(what))?;
        }
        call_it(self.name);
        Ok(())
    }
}

/// Takes the standard streams that came for a process of the pool.
pub(crate) fn dress(streams: Vec<(u8, Given)>) -> io::Result<()> {
    for (number, given) in streams {
        let fd = take(given)?;
        surroundings::replace_stream(STREAMS[usize::from(number) % 3], fd.as_fd())?;
    }
    Ok(())
}

/// The whole life of a fresh process; returns its exit code.
pub(crate) fn live(payload: &[u8]) -> i32 {
    let mut argument = payload;
    let born: io::Result<_> = wire::decode_front::<Birth>(&mut argument)
        .map_err(io::Error::other)
        .and_then(|birth| Ok((Report::at(Family::get()?, birth.report)?, birth)));
    let (report, Birth { function, surroundings, streams, .. }) = match born {
        Ok(born) => born,
        Err(e) => {
            eprintln!("phalanx: a process cannot begin: {e}");
            return NOT_BEGUN;
        }
    };
    let streams: io::Result<Vec<(Stream, OwnedFd)>> = streams
        .into_iter()
        .map(|(n, given)| Ok((STREAMS[usize::from(n) % 3], take(given)?)))
        .collect();
    let streams = match streams {
        Ok(streams) => streams,
        Err(e) => return refuse(&report, &e),
    };
    let task = match task::find(function) {
        Ok(task) => task,
        Err(e) => return refuse(&report, &io::Error::other(e)),
    };
    run(&report, surroundings, &streams, |out| task.run(argument, out))
}

/// Runs the task in surroundings that are arranged first, and reports; returns the exit code.
pub(super) fn run(
    report: &Report,
    surroundings: Surroundings,
    streams: &[(Stream, OwnedFd)],
    task: impl FnOnce(&mut Out) -> Outcome,
) -> i32 {
    if let Err(e) = surroundings.arrange(streams) {
        return refuse(report, &e);
    }
    let mut out = Out::default();
    let outcome = task::recorded(true, || task::catch(|| task(&mut out)));
    // The process ends without what usually writes it.
    settled(|| ());
    match outcome {
        Ok(outcome) => {
            report.leave_result(outcome, &mut out);
            i32::from(outcome != Outcome::Value) * NOT_BEGUN
        }
        Err(panic) => {
            let mut text = Vec::new();
            // Strings always encode.
            let _ = wire::encode(&*panic, &mut text);
            report.leave(Kind::Panicked, &text);
            PANICKED
        }
    }
}

fn refuse(report: &Report, why: &io::Error) -> i32 {
    report.leave(Kind::Surroundings, why.to_string().as_bytes());
    NOT_BEGUN
}
