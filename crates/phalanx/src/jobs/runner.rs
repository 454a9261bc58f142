//! How to run jobs.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::feed::{Feed, from_iter};
use super::run::Run;
use super::{Halt, Job, Outcome, RunError, Watch};

/// What becomes of what jobs write.
///
/// ```
/// use phalanx::jobs::{Job, Output, Runner};
///
/// # let folder = std::env::temp_dir().join(format!("phalanx-doc-output-{}", std::process::id()));
/// let runner = Runner::new().output(Output::Folder(folder.clone()));
/// runner.run([Job::new("echo").arg("hello")])?;
/// assert_eq!(std::fs::read(folder.join("1.out"))?, b"hello\n");
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// It is kept, each job's apart: see [`Outcome::stdout`].
    #[default]
    Captured,
    /// The [`Watch`] gets whole lines as they are written.
    Lines,
    /// Nothing.
    Discarded,
    /// It goes to the files `SEQUENCE.out` and `SEQUENCE.err` of a folder, which is made if need be.
    Folder(PathBuf),
}

/// Runs jobs, so many at a time.
///
/// ```
/// use std::time::Duration;
/// use phalanx::jobs::{Halt, Job, Limit, Runner};
///
/// let runner = Runner::new()
///     .limit(2)
///     .timeout(Duration::from_secs(60))
///     .retries(1)
///     .halt(Halt::Soon(Limit::Count(3)));
/// let outcomes = runner.run((0..4).map(|n| Job::shell(format!("exit {n}"))))?;
/// let failed = outcomes.iter().filter(|outcome| !outcome.ending.is_success());
/// assert_eq!(failed.count(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "`run` runs the jobs"]
pub struct Runner {
    pub(super) limit: usize,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) retries: u32,
    pub(super) halt: Halt,
    pub(super) output: Output,
    pub(super) log: Option<PathBuf>,
    pub(super) resume: bool,
    pub(super) dry: bool,
    pub(super) environment: Option<Vec<(OsString, OsString)>>,
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            limit: phalanx_os::cpu::usable(),
            timeout: None,
            grace: Duration::from_secs(5),
            retries: 0,
            halt: Halt::Never,
            output: Output::Captured,
            log: None,
            resume: false,
            dry: false,
            environment: None,
        }
    }
}

impl Runner {
    /// A runner of as many jobs at a time as there are processors for this process.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run((0..10).map(|n| Job::new("echo").arg(n.to_string())))?;
    /// assert_eq!(outcomes[9].stdout.to_vec()?, b"9\n"); // in the order of the jobs
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many jobs run at a time; none counts as one. While the kernel refuses so many processes
    /// or descriptors, there are fewer.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let begun = Instant::now();
    /// Runner::new().limit(1).run([Job::shell("sleep 0.02"), Job::shell("sleep 0.02")])?;
    /// assert!(begun.elapsed() >= Duration::from_millis(40), "one after the other");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.max(1);
        self
    }

    /// Sets how long a job may take; then its whole process group gets `SIGTERM`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::jobs::{Ending, Job, Runner};
    ///
    /// let runner = Runner::new().timeout(Duration::from_millis(50));
    /// let outcomes = runner.run([Job::shell("sleep 600")])?;
    /// assert!(matches!(outcomes[0].ending, Ending::TimedOut(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long after `SIGTERM` a group that has not ended gets `SIGKILL`: five seconds if not set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::jobs::{Ending, Job, Runner};
    ///
    /// let runner = Runner::new().timeout(Duration::from_millis(50)).grace(Duration::from_millis(50));
    /// let stubborn = Job::shell("trap '' TERM; sleep 600");
    /// assert!(matches!(runner.run([stubborn])?[0].ending, Ending::TimedOut(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how often a job that has failed is run again.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().retries(2).run(["false", "true"].map(Job::new))?;
    /// assert_eq!((outcomes[0].attempts, outcomes[1].attempts), (3, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets what failed jobs do to the rest.
    ///
    /// ```
    /// use phalanx::jobs::{Ending, Halt, Job, Limit, Runner};
    ///
    /// let runner = Runner::new().limit(1).halt(Halt::Soon(Limit::Count(1)));
    /// let outcomes = runner.run(["false", "true"].map(Job::new))?;
    /// assert_eq!(outcomes[1].ending, Ending::NotRun);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn halt(mut self, halt: Halt) -> Self {
        self.halt = halt;
        self
    }

    /// Sets what becomes of what jobs write.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Output, Runner};
    ///
    /// let outcomes = Runner::new().output(Output::Discarded).run([Job::shell("echo lots of it")])?;
    /// assert!(outcomes[0].stdout.is_empty() && outcomes[0].ending.is_success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Sets a file to which each job that has ended is written, in the format of GNU parallel's job logs.
    /// With `resume`, jobs that have succeeded according to what it says are skipped, and it is gone on
    /// with; a job is known by its command line. Without, it begins anew.
    ///
    /// ```
    /// use phalanx::jobs::{Ending, Job, Runner};
    ///
    /// # let path = std::env::temp_dir().join(format!("phalanx-doc-log-{}", std::process::id()));
    /// let jobs = || [Job::new("true"), Job::new("false")];
    /// Runner::new().log(&path, false).run(jobs())?;
    /// // Later, perhaps after a power cut:
    /// let outcomes = Runner::new().log(&path, true).run(jobs())?;
    /// assert!(matches!(outcomes[0].ending, Ending::Skipped));
    /// assert_eq!(outcomes[1].ending.code(), Some(1));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn log(mut self, path: impl AsRef<Path>, resume: bool) -> Self {
        self.log = Some(path.as_ref().to_owned());
        self.resume = resume;
        self
    }

    /// Sets that nothing is started or written: each job's outcome is [`NotRun`](super::Ending::NotRun), or
    /// [`Skipped`](super::Ending::Skipped) if the log says so.
    ///
    /// ```
    /// use phalanx::jobs::{Ending, Job, Runner};
    ///
    /// let outcomes = Runner::new().dry_run(true).run([Job::shell("rm -rf all")])?;
    /// println!("would run: {}", outcomes[0].job);
    /// assert_eq!(outcomes[0].ending, Ending::NotRun);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dry_run(mut self, dry: bool) -> Self {
        self.dry = dry;
        self
    }

    /// Sets the whole environment of the jobs, in place of this process's.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let runner = Runner::new().environment([("PLACE", "here")]);
    /// let outcomes = runner.run([Job::shell("echo $PLACE ${HOME-nowhere}")])?;
    /// assert_eq!(outcomes[0].stdout.to_vec()?, b"here nowhere\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn environment<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let own = |(name, value): (N, V)| (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.environment = Some(variables.into_iter().map(own).collect());
        self
    }

    /// Runs the jobs, and returns how each of them ended, in their order.
    ///
    /// # Errors
    /// [`RunError`], when the log cannot be used or the kernel refuses what the runner needs for itself. A
    /// job that fails is no error.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run(["true", "false"].map(Job::new))?;
    /// assert!(outcomes[0].ending.is_success() && !outcomes[1].ending.is_success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(&self, jobs: impl IntoIterator<Item = Job>) -> Result<Vec<Outcome>, RunError> {
        struct All(Vec<Outcome>);
        impl Watch for All {
            fn ended(&mut self, outcome: Outcome) {
                self.0.push(outcome);
            }
        }
        let mut all = All(Vec::new());
        self.run_watched(&mut from_iter(jobs), &mut all)?;
        all.0.sort_by_key(|outcome| outcome.sequence);
        Ok(all.0)
    }

    /// Runs the jobs of a feed and tells a watcher what happens. Returns when every job has ended.
    ///
    /// # Errors
    /// As for [`Runner::run`], and when the feed fails.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Outcome, Runner, Watch, from_iter};
    ///
    /// struct Report(Vec<String>);
    ///
    /// impl Watch for Report {
    ///     fn ended(&mut self, outcome: Outcome) {
    ///         self.0.push(format!("{}: {}", outcome.job, outcome.ending.is_success()));
    ///     }
    /// }
    ///
    /// let mut report = Report(Vec::new());
    /// Runner::new().run_watched(&mut from_iter([Job::new("true")]), &mut report)?;
    /// assert_eq!(report.0, ["true: true"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_watched(&self, feed: &mut dyn Feed, watch: &mut dyn Watch) -> Result<(), RunError> {
        Run::new(self, feed, watch)?.all()
    }
}
