//! Who is told what happens in a run, and may end it.

use std::os::fd::BorrowedFd;

use phalanx_os::clock::Deadline;

use super::{Captured, Job, Outcome};

/// One of the two streams that a job writes.
///
/// ```
/// use phalanx::jobs::{Captured, Job, Outcome, Output, Runner, Stream, Watch, from_iter};
///
/// struct Errors(Vec<u8>);
///
/// impl Watch for Errors {
///     fn lines(&mut self, _sequence: u64, _job: &Job, stream: Stream, lines: Captured) {
///         if matches!(stream, Stream::Error) {
///             let _ = lines.write_to(&mut self.0);
///         }
///     }
///
///     fn ended(&mut self, _outcome: Outcome) {}
/// }
///
/// let mut errors = Errors(Vec::new());
/// let jobs = [Job::shell("echo out; echo oh >&2")];
/// Runner::new().output(Output::Lines).run_watched(&mut from_iter(jobs), &mut errors)?;
/// assert_eq!(errors.0, b"oh\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Its standard output.
    Output,
    /// Its standard error.
    Error,
}

/// What becomes of a run.
///
/// ```
/// use phalanx::Deadline;
/// use phalanx::jobs::{Job, Order, Outcome, Runner, Watch, from_iter};
///
/// /// Ends a run that takes too long as a whole.
/// struct Until(Deadline, Vec<Outcome>);
///
/// impl Watch for Until {
///     fn ended(&mut self, outcome: Outcome) {
///         self.1.push(outcome);
///     }
///
///     fn timer(&self) -> Option<Deadline> {
///         Some(self.0)
///     }
///
///     fn look(&mut self) -> Order {
///         if self.0.has_passed() { Order::Kill } else { Order::GoOn }
///     }
/// }
///
/// let soon = Deadline::after(std::time::Duration::from_millis(100));
/// let mut watch = Until(soon, Vec::new());
/// Runner::new().run_watched(&mut from_iter([Job::shell("sleep 600")]), &mut watch)?;
/// assert!(!watch.1[0].ending.is_success());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// It goes on.
    GoOn,
    /// No more jobs are started.
    Soon,
    /// Those that run are asked to end, and killed if they have not in the time they are given.
    Now,
    /// Those that run are killed.
    Kill,
}

/// Is told what happens in a run. All of it is called by the thread that runs; while that is in one of
/// these functions, nobody looks after the jobs.
///
/// ```
/// use phalanx::jobs::{Job, Outcome, Runner, Watch, from_iter};
///
/// #[derive(Default)]
/// struct Progress {
///     started: u64,
///     ended: u64,
/// }
///
/// impl Watch for Progress {
///     fn started(&mut self, _sequence: u64, _job: &Job, _attempt: u32) {
///         self.started += 1;
///     }
///
///     fn ended(&mut self, _outcome: Outcome) {
///         self.ended += 1;
///     }
/// }
///
/// let mut progress = Progress::default();
/// Runner::new().run_watched(&mut from_iter(["true", "false"].map(Job::new)), &mut progress)?;
/// assert_eq!((progress.started, progress.ended), (2, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Watch {
    /// A job was started, for the `attempt`th time.
    fn started(&mut self, _sequence: u64, _job: &Job, _attempt: u32) {}

    /// A job has written lines, with [`Output::Lines`](super::Output::Lines). The last line of a stream may
    /// lack its newline, and one of more than a mebibyte comes in parts.
    fn lines(&mut self, _sequence: u64, _job: &Job, _stream: Stream, _lines: Captured) {}

    /// An attempt has failed, and the job will be run again.
    fn retried(&mut self, _outcome: &Outcome) {}

    /// A job has ended for good, or will never be run.
    fn ended(&mut self, outcome: Outcome);

    /// Readable when [`Watch::look`] should be called. The same descriptor during a whole run.
    fn bell(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// When [`Watch::look`] should be called at the latest.
    fn timer(&self) -> Option<Deadline> {
        None
    }

    /// Called when the bell is readable, when the timer's time has come, and when a signal handler ran.
    fn look(&mut self) -> Order {
        Order::GoOn
    }
}
