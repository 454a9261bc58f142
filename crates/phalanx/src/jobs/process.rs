//! One job while it runs: a process group, what it writes, and when its time is over.
//!
//! ```text
//!              time is over, run is stopped          grace is over
//!   running ----------------------------> asked ------------------> killed
//!      |        SIGTERM to the group        |      SIGKILL            |
//!      +------------------------------------+-------------------------+
//!      v  its first process ends
//!   lingering ----------------------------> finished: what is left of the group is killed, the first
//!      |  all streams closed, or 2 s later            process reaped
//! ```
//!
//! The first process is reaped last: as long as it is not, its number is no other group's.

use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use phalanx_os::clock::{Deadline, earlier};
use phalanx_os::epoll::{Epoll, Interests};
use phalanx_os::launch::{Bond, Launch, LaunchError, Step, launch};
use phalanx_os::signal::{SIGCONT, SIGKILL, SIGTERM};
use phalanx_os::wait::ExitStatus;
use phalanx_os::{death, proc, wait};

use super::runner::Runner;
use super::side::{Side, ends};
use super::spool::Spool;
use super::surroundings::{Surroundings, zeroless};
use super::{Captured, Ending, Job, Outcome, RunError, Stream, Watch};

/// How long what is left of a group may go on writing, once its first process has ended.
const LINGER: Duration = Duration::from_secs(2);
/// No pipe holds more pieces than that.
const MOST_PIECES: usize = 32;

/// A job that waits for its turn.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) sequence: u64,
    pub(super) job: Job,
    pub(super) attempt: u32,
}

impl Pending {
    /// The outcome of a job that no process was started for.
    pub(super) fn without_process(self, ending: Ending, spool: &Arc<Spool>) -> Outcome {
        let attempts =
            if matches!(ending, Ending::NotStarted(..)) { self.attempt } else { self.attempt - 1 };
        Outcome {
            sequence: self.sequence,
            job: self.job,
            ending,
            attempts,
            started: SystemTime::now(),
            duration: Duration::ZERO,
            stdout: Captured::new(spool),
            stderr: Captured::new(spool),
        }
    }
}

/// Why no process was started.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is the job's fault.
    Job(Pending, Ending),
    /// The kernel has no room for another one at present.
    Crowded(Pending, io::Error),
    /// It is the runner's.
    Run(RunError),
}

/// Why the runner ended a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    TimedOut,
    Stopped,
}

/// What all jobs of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) spool: Arc<Spool>,
    pub(super) epoll: Epoll,
    pub(super) null: OwnedFd,
    pub(super) buffer: Vec<u8>,
}

/// A job that runs.
#[derive(Debug)]
pub(super) struct Process {
    pending: Option<Pending>,
    pid: u32,
    pidfd: OwnedFd,
    /// Only kept: until nothing is left of the group.
    _bond: Bond,
    sides: [Side; 2],
    started: SystemTime,
    began: Deadline,
    ended: bool,
    why: Option<Why>,
    timeout_at: Option<Deadline>,
    kill_at: Option<Deadline>,
    linger_until: Option<Deadline>,
}

impl Process {
    /// Starts a job. Its descriptors are known to the epoll set by `token`, `token + 1` and `token + 2`.
    #[expect(clippy::result_large_err, reason = "a refusal gives the job back, and is rare")]
    pub(super) fn start(
        pending: Pending,
        runner: &Runner,
        surroundings: &mut Surroundings,
        shared: &Shared,
        token: u64,
    ) -> Result<Self, Refusal> {
        let packed = (|| {
            let (path, environment) = surroundings.prepare(&pending.job)?;
            let words = std::iter::once(&pending.job.program).chain(&pending.job.arguments);
            let arguments = words.map(|word| zeroless(word)).collect::<io::Result<Vec<_>>>()?;
            let directory = pending
                .job
                .directory
                .as_ref()
                .map(|path| zeroless(path.as_os_str()))
                .transpose()?;
            Ok((path, environment, arguments, directory))
        })();
        let (path, environment, arguments, directory) = match packed {
            Ok(packed) => packed,
            Err(error) => {
                return Err(Refusal::Job(pending, not_started(&error, error.to_string())));
            }
        };
        let ends = match ends(&runner.output, pending.sequence, shared) {
            Ok(ends) => ends,
            Err(Ok(error)) => return Err(Refusal::Run(error)),
            Err(Err(error)) => return Err(Refusal::Crowded(pending, error)),
        };
        let lifeline = match death::lifeline() {
            Ok(lifeline) => lifeline,
            Err(error) => return Err(Refusal::Crowded(pending, error)),
        };
        let (began, started) = (Deadline::now(), SystemTime::now());
        let [(read_output, output), (read_error, error)] = ends;
        let launched = launch(&Launch {
            path: &path,
            arguments: &arguments,
            environment: environment.as_deref().unwrap_or_else(|| surroundings.common()),
            directory: directory.as_deref(),
            streams: [shared.null.as_fd(), output.as_fd(), error.as_fd()],
            lifeline,
        });
        let launched = match launched {
            Ok(launched) => launched,
            Err(LaunchError { step: Step::Start | Step::Prepare, error }) => {
                return Err(Refusal::Crowded(pending, error));
            }
            Err(LaunchError { step, error }) => {
                let text = match (step, &pending.job.directory) {
                    (Step::Directory, Some(directory)) => {
                        format!("cannot change to the directory {}: {error}", directory.display())
                    }
                    _ => format!("cannot execute '{}': {error}", pending.job.program.display()),
                };
                return Err(Refusal::Job(pending, not_started(&error, text)));
            }
        };
        let side = |stream, end| Side::new(stream, end, &runner.output, &shared.spool);
        let process = Self {
            pending: Some(pending),
            pid: launched.pid,
            pidfd: launched.pidfd,
            _bond: launched.bond,
            sides: [side(Stream::Output, read_output), side(Stream::Error, read_error)],
            started,
            began,
            ended: false,
            why: None,
            timeout_at: runner.timeout.map(|timeout| began.plus(timeout)),
            kill_at: None,
            linger_until: None,
        };
        process
            .register(&shared.epoll, token)
            .map_err(|error| Refusal::Run(RunError::Kernel(error)))?;
        Ok(process)
    }

    fn register(&self, epoll: &Epoll, token: u64) -> io::Result<()> {
        epoll.add(&self.pidfd, token, Interests::READ)?;
        for (number, side) in (1..).zip(&self.sides) {
            if let Some(end) = &side.end {
                epoll.add(end, token + number, Interests::READ)?;
            }
        }
        Ok(())
    }

    /// Which job it is.
    pub(super) fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// When [`Process::tick`] has to be called at the latest.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        let timeout = self.timeout_at.filter(|_| !self.ended && self.why.is_none());
        earlier(earlier(timeout, self.kill_at), self.linger_until)
    }

    /// Reads what there is of a stream, the first or the second.
    pub(super) fn read(
        &mut self,
        which: usize,
        shared: &mut Shared,
        watch: &mut dyn Watch,
    ) -> io::Result<()> {
        if let Some(pending) = &self.pending {
            self.sides[which].read(pending, shared, watch)?;
        }
        Ok(())
    }

    /// Its first process has ended.
    pub(super) fn has_ended(
        &mut self,
        shared: &mut Shared,
        watch: &mut dyn Watch,
    ) -> io::Result<()> {
        // Or the set would go on telling it.
        let _ = shared.epoll.remove(&self.pidfd);
        self.ended = true;
        self.linger_until = Some(Deadline::after(LINGER));
        self.drain(shared, watch)
    }

    /// Does what the time asks for.
    pub(super) fn tick(&mut self, grace: Duration) {
        let passed = |deadline: Option<Deadline>| deadline.is_some_and(Deadline::has_passed);
        if passed(self.timeout_at) && !self.ended && self.why.is_none() {
            self.ask(Why::TimedOut, grace);
        }
        if passed(self.kill_at) {
            self.kill_at = None;
            let _ = proc::kill_group(self.pid, SIGKILL);
        }
    }

    /// Asks the group to end, because the run is stopped.
    pub(super) fn stop(&mut self, grace: Duration) {
        if self.why.is_none() && !self.ended {
            self.ask(Why::Stopped, grace);
        }
    }

    /// Kills the group, because the run is stopped.
    pub(super) fn kill(&mut self) {
        if !self.ended {
            self.why.get_or_insert(Why::Stopped);
        }
        self.kill_at = None;
        let _ = proc::kill_group(self.pid, SIGKILL);
    }

    fn ask(&mut self, why: Why, grace: Duration) {
        self.why = Some(why);
        self.kill_at = Some(Deadline::after(grace));
        let _ = proc::kill_group(self.pid, SIGTERM);
        // A stopped process hears of it only when it goes on.
        let _ = proc::kill_group(self.pid, SIGCONT);
    }

    /// Whether nothing more is to come of it.
    pub(super) fn is_finished(&self) -> bool {
        let closed = self.sides.iter().all(|side| side.end.is_none());
        self.ended && (closed || self.linger_until.is_some_and(Deadline::has_passed))
    }

    /// Ends what is left of the group and makes the outcome, with how often it was tried.
    pub(super) fn finish(
        mut self,
        shared: &mut Shared,
        watch: &mut dyn Watch,
    ) -> io::Result<Option<Outcome>> {
        let _ = proc::kill_group(self.pid, SIGKILL);
        self.drain(shared, watch)?;
        for side in &mut self.sides {
            side.close(&shared.epoll);
            if let Some(pending) = &self.pending {
                side.tell(pending, &shared.spool, watch, true);
            }
        }
        let status = wait::reap(&self.pidfd)?.map_or(ExitStatus::Unknown, |ended| ended.status);
        let ending = match self.why {
            None => Ending::Ended(status),
            Some(Why::TimedOut) => Ending::TimedOut(status),
            Some(Why::Stopped) => Ending::Stopped(status),
        };
        let duration = Duration::from_nanos(Deadline::now().as_nanos() - self.began.as_nanos());
        let [stdout, stderr] = &mut self.sides;
        let taken =
            |side: &mut Side| mem::replace(&mut side.captured, Captured::new(&shared.spool));
        let (stdout, stderr) = (taken(stdout), taken(stderr));
        Ok(self.pending.take().map(|pending| Outcome {
            sequence: pending.sequence,
            job: pending.job,
            ending,
            attempts: pending.attempt,
            started: self.started,
            duration,
            stdout,
            stderr,
        }))
    }

    fn drain(&mut self, shared: &mut Shared, watch: &mut dyn Watch) -> io::Result<()> {
        if let Some(pending) = &self.pending {
            for side in &mut self.sides {
                // Who left the group may write for ever.
                for _ in 0..MOST_PIECES {
                    if !side.read(pending, shared, watch)? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Process {
    /// What was not finished does not outlive the run.
    fn drop(&mut self) {
        if self.pending.is_some() {
            let _ = proc::kill_group(self.pid, SIGKILL);
            let _ = wait::reap_blocking(self.pid);
        }
    }
}

fn not_started(error: &io::Error, text: String) -> Ending {
    Ending::NotStarted(text, if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}
