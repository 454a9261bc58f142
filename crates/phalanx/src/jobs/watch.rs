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
    ///
    /// ```
    /// # use phalanx::jobs::{Job, Outcome, Runner, Watch, from_iter};
    /// # #[derive(Default)]
    /// # struct Log(Vec<String>);
    /// # impl Watch for Log {
    /// #     fn ended(&mut self, _outcome: Outcome) {}
    /// fn started(&mut self, sequence: u64, job: &Job, attempt: u32) {
    ///     self.0.push(format!("{sequence}: {job}, attempt {attempt}"));
    /// }
    /// # }
    /// # let mut log = Log::default();
    /// # Runner::new().retries(1).run_watched(&mut from_iter([Job::new("false")]), &mut log)?;
    /// # assert_eq!(log.0, ["1: false, attempt 1", "1: false, attempt 2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn started(&mut self, _sequence: u64, _job: &Job, _attempt: u32) {}

    /// A job has written lines, with [`Output::Lines`](super::Output::Lines). The last line of a stream may
    /// lack its newline, and one of more than a mebibyte comes in parts.
    ///
    /// ```
    /// # use phalanx::jobs::{Captured, Job, Outcome, Output, Runner, Stream, Watch, from_iter};
    /// # #[derive(Default)]
    /// # struct Tagged(Vec<u8>);
    /// # impl Watch for Tagged {
    /// #     fn ended(&mut self, _outcome: Outcome) {}
    /// fn lines(&mut self, sequence: u64, _job: &Job, _stream: Stream, lines: Captured) {
    ///     for line in lines.to_vec().unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
    ///         self.0.extend_from_slice(format!("{sequence}\t").as_bytes());
    ///         self.0.extend_from_slice(line);
    ///     }
    /// }
    /// # }
    /// # let mut tagged = Tagged::default();
    /// # let mut jobs = from_iter([Job::shell("echo one; echo two")]);
    /// # Runner::new().output(Output::Lines).run_watched(&mut jobs, &mut tagged)?;
    /// # assert_eq!(tagged.0, b"1\tone\n1\ttwo\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn lines(&mut self, _sequence: u64, _job: &Job, _stream: Stream, _lines: Captured) {}

    /// An attempt has failed, and the job will be run again.
    ///
    /// ```
    /// # use phalanx::jobs::{Job, Outcome, Runner, Watch, from_iter};
    /// # #[derive(Default)]
    /// # struct Log(Vec<String>);
    /// # impl Watch for Log {
    /// #     fn ended(&mut self, _outcome: Outcome) {}
    /// fn retried(&mut self, outcome: &Outcome) {
    ///     self.0.push(format!("{} failed, attempt {}", outcome.job, outcome.attempts));
    /// }
    /// # }
    /// # let mut log = Log::default();
    /// # Runner::new().retries(1).run_watched(&mut from_iter([Job::new("false")]), &mut log)?;
    /// # assert_eq!(log.0, ["false failed, attempt 1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn retried(&mut self, _outcome: &Outcome) {}

    /// A job has ended for good, or will never be run.
    ///
    /// ```
    /// # use phalanx::jobs::{Job, Outcome, Runner, Watch, from_iter};
    /// # #[derive(Default)]
    /// # struct Failed(Vec<String>);
    /// # impl Watch for Failed {
    /// fn ended(&mut self, outcome: Outcome) {
    ///     if !outcome.ending.is_success() {
    ///         self.0.push(format!("{} after {:?}", outcome.job, outcome.duration));
    ///     }
    /// }
    /// # }
    /// # let mut failed = Failed::default();
    /// # Runner::new().run_watched(&mut from_iter(["true", "false"].map(Job::new)), &mut failed)?;
    /// # assert!(failed.0.len() == 1 && failed.0[0].starts_with("false after"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn ended(&mut self, outcome: Outcome);

    /// Readable when [`Watch::look`] should be called. The same descriptor during a whole run.
    ///
    /// ```
    /// # use std::io::PipeReader;
    /// # use std::os::fd::{AsFd, BorrowedFd};
    /// # use phalanx::jobs::{Job, Order, Outcome, Runner, Watch, from_iter};
    /// # struct Button(PipeReader, Vec<Outcome>);
    /// # impl Watch for Button {
    /// #     fn ended(&mut self, outcome: Outcome) {
    /// #         self.1.push(outcome);
    /// #     }
    /// fn bell(&self) -> Option<BorrowedFd<'_>> {
    ///     Some(self.0.as_fd()) // a pipe to which somebody writes to end the run
    /// }
    ///
    /// fn look(&mut self) -> Order {
    ///     Order::Kill
    /// }
    /// # }
    /// # let (reader, writer) = std::io::pipe()?;
    /// # std::io::Write::write_all(&mut &writer, b"!")?;
    /// # let mut button = Button(reader, Vec::new());
    /// # Runner::new().run_watched(&mut from_iter([Job::shell("sleep 600")]), &mut button)?;
    /// # assert!(!button.1[0].ending.is_success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn bell(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// When [`Watch::look`] should be called at the latest.
    ///
    /// ```
    /// # use phalanx::Deadline;
    /// # use phalanx::jobs::{Job, Order, Outcome, Runner, Watch, from_iter};
    /// # struct Beat(Deadline, u64);
    /// # impl Watch for Beat {
    /// #     fn ended(&mut self, _outcome: Outcome) {}
    /// fn timer(&self) -> Option<Deadline> {
    ///     Some(self.0)
    /// }
    ///
    /// fn look(&mut self) -> Order {
    ///     self.1 += 1; // time to draw the progress bar again
    ///     self.0 = Deadline::after(std::time::Duration::from_millis(5));
    ///     Order::GoOn
    /// }
    /// # }
    /// # let mut beat = Beat(Deadline::now(), 0);
    /// # Runner::new().run_watched(&mut from_iter([Job::shell("sleep 0.05")]), &mut beat)?;
    /// # assert!(beat.1 > 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn timer(&self) -> Option<Deadline> {
        None
    }

    /// Called when the bell is readable, when the timer's time has come, and when a signal handler ran.
    ///
    /// ```
    /// # use phalanx::Deadline;
    /// # use phalanx::jobs::{Ending, Job, Order, Outcome, Runner, Watch, from_iter};
    /// # struct Enough(u32, Vec<Ending>);
    /// # impl Watch for Enough {
    /// #     fn timer(&self) -> Option<Deadline> {
    /// #         Some(Deadline::now())
    /// #     }
    /// fn ended(&mut self, outcome: Outcome) {
    ///     self.0 += 1;
    /// #     self.1.push(outcome.ending);
    /// }
    ///
    /// fn look(&mut self) -> Order {
    ///     if self.0 < 3 { Order::GoOn } else { Order::Soon } // three are enough
    /// }
    /// # }
    /// # let mut enough = Enough(0, Vec::new());
    /// # let jobs = (0..20).map(|_| Job::shell("sleep 0.01"));
    /// # Runner::new().limit(1).run_watched(&mut from_iter(jobs), &mut enough)?;
    /// # assert!(enough.1.contains(&Ending::NotRun) || enough.1.len() < 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn look(&mut self) -> Order {
        Order::GoOn
    }
}
