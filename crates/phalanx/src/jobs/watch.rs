//! Who is told what happens in a run, and may end it.

use std::os::fd::BorrowedFd;

use phalanx_os::clock::Deadline;

use super::{Captured, Job, Outcome};

/// One of the two streams that a job writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Its standard output.
    Output,
    /// Its standard error.
    Error,
}

/// What becomes of a run.
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
