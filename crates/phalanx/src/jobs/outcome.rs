//! How a job ended.

use std::fmt;
use std::time::{Duration, SystemTime};

use phalanx_os::wait::ExitStatus;

use super::{Captured, Job};

/// A job that will not be run any more, how it ended and what it wrote.
///
/// ```
/// use phalanx::jobs::{Job, Runner};
///
/// let outcomes = Runner::new().retries(2).run([Job::shell("echo no >&2; exit 3")])?;
/// let outcome = &outcomes[0];
/// assert_eq!((outcome.sequence, outcome.attempts), (1, 3));
/// assert_eq!(outcome.ending.code(), Some(3));
/// assert_eq!(outcome.stderr.to_vec()?, b"no\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Outcome {
    /// Its place among the jobs of the run; the first is 1.
    pub sequence: u64,
    /// What was run.
    pub job: Job,
    /// How it ended.
    pub ending: Ending,
    /// How often it was run.
    pub attempts: u32,
    /// When its last attempt began; when it was passed over, if it was never run.
    pub started: SystemTime,
    /// How long its last attempt took.
    pub duration: Duration,
    /// What its last attempt wrote to its standard output, as far as that was [captured](super::Output).
    pub stdout: Captured,
    /// What it wrote to its standard error.
    pub stderr: Captured,
}

/// How a job ended.
///
/// ```
/// use phalanx::jobs::{Ending, Job, Runner};
///
/// let jobs = [Job::new("true"), Job::shell("kill -9 $$"), Job::new("no-such-program")];
/// let endings = Runner::new().run(jobs)?.into_iter().map(|outcome| outcome.ending);
/// let endings: Vec<Ending> = endings.collect();
/// assert!(endings[0].is_success());
/// assert_eq!(endings[1].code(), Some(-9));
/// assert!(matches!(endings[2], Ending::NotStarted(_, 127)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, or by a signal that was not the runner's.
    Ended(ExitStatus),
    /// The runner ended it, because its time was over.
    TimedOut(ExitStatus),
    /// The runner ended it, because the run was stopped.
    Stopped(ExitStatus),
    /// It could not be started: why, and the code that a shell gives for that, 127 for a program that
    /// does not exist and 126 for any other reason.
    NotStarted(String, u8),
    /// The run was stopped before its turn came.
    NotRun,
    /// The log says that it has succeeded in an earlier run.
    Skipped,
}

impl Ending {
    /// Whether the job has done what it should: it ended with the code 0, in this run or an earlier one.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run(["exit 0", "exit 1", "kill $$"].map(Job::shell))?;
    /// let good: Vec<bool> = outcomes.iter().map(|outcome| outcome.ending.is_success()).collect();
    /// assert_eq!(good, [true, false, false]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Ended(ExitStatus::Code(0)) | Self::Skipped)
    }

    /// The status that the kernel gave it; `None` if it was not run.
    ///
    /// ```
    /// use phalanx::jobs::{ExitStatus, Job, Runner};
    ///
    /// let outcomes = Runner::new().run([Job::shell("kill -9 $$"), Job::new("no-such-program")])?;
    /// assert_eq!(outcomes[0].ending.status(), Some(ExitStatus::Signal(9)));
    /// assert_eq!(outcomes[1].ending.status(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        match self {
            Self::Ended(status) | Self::TimedOut(status) | Self::Stopped(status) => Some(*status),
            Self::NotStarted(..) | Self::NotRun | Self::Skipped => None,
        }
    }

    /// The exit code, or the negative number of the signal; -1 of a job whose code does not tell how it
    /// ended. `None` if it was not run.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run(["exit 3", "kill -9 $$"].map(Job::shell))?;
    /// let codes: Vec<Option<i32>> = outcomes.iter().map(|outcome| outcome.ending.code()).collect();
    /// assert_eq!(codes, [Some(3), Some(-9)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Ended(status) => Some(status.as_exitcode()),
            // It may have ended in good order when it was asked to.
            Self::TimedOut(status) | Self::Stopped(status) => {
                Some(status.as_exitcode()).filter(|&code| code != 0).or(Some(-1))
            }
            Self::NotStarted(_, code) => Some(i32::from(*code)),
            Self::Skipped => Some(0),
            Self::NotRun => None,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |f: &mut fmt::Formatter<'_>, status: &ExitStatus| match status {
            ExitStatus::Code(code) => write!(f, "exit code {code}"),
            ExitStatus::Signal(signal) => write!(f, "signal {signal}"),
            ExitStatus::Unknown => f.write_str("unknown exit code"),
        };
        match self {
            Self::Ended(status) => by(f, status),
            Self::TimedOut(status) => f.write_str("timed out, ").and_then(|()| by(f, status)),
            Self::Stopped(status) => f.write_str("stopped, ").and_then(|()| by(f, status)),
            Self::NotStarted(why, _) => f.write_str(why),
            Self::NotRun => f.write_str("not run"),
            Self::Skipped => f.write_str("done before"),
        }
    }
}
