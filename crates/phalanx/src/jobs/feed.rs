//! Where a run's jobs come from.

use std::io;
use std::os::fd::BorrowedFd;

use super::Job;

/// What a feed has to give.
///
/// ```
/// use phalanx::jobs::{Feed, Job, Next, from_iter};
///
/// let mut feed = from_iter([Job::new("true")]);
/// assert!(matches!(feed.next()?, Next::Job(_)));
/// assert!(matches!(feed.next()?, Next::End));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub enum Next {
    /// The next job.
    Job(Job),
    /// Nothing now: ask again when the [source](Feed::source) is readable.
    Later,
    /// Nothing any more.
    End,
}

/// Gives a run its jobs, one after another, when there is room for another one. Every iterator of jobs can
/// be one: see [`from_iter`].
///
/// ```
/// use phalanx::jobs::{Feed, Job, Next, Runner};
///
/// /// Commands as they are typed, one a line.
/// struct Lines<'a>(std::str::Lines<'a>);
///
/// impl Feed for Lines<'_> {
///     fn next(&mut self) -> std::io::Result<Next> {
///         Ok(self.0.next().map_or(Next::End, |line| Next::Job(Job::shell(line))))
///     }
/// }
/// # use phalanx::jobs::{Outcome, Watch};
/// # struct Failed(usize);
/// # impl Watch for Failed {
/// #     fn ended(&mut self, outcome: Outcome) {
/// #         self.0 += usize::from(!outcome.ending.is_success());
/// #     }
/// # }
/// let mut failed = Failed(0);
/// Runner::new().run_watched(&mut Lines("true\nfalse\ntrue".lines()), &mut failed)?;
/// assert_eq!(failed.0, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Feed {
    /// The next job. Must not wait.
    ///
    /// # Errors
    /// What is in the way of reading more jobs; it ends the run.
    fn next(&mut self) -> io::Result<Next>;

    /// How many more there will be, if that is known.
    fn remaining(&self) -> Option<usize> {
        None
    }

    /// What to wait for after [`Next::Later`].
    fn source(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A feed of the jobs of an iterator.
///
/// ```
/// use phalanx::jobs::{Feed, Job, from_iter};
///
/// let feed = from_iter((1..=3).map(|n| Job::new("echo").arg(n.to_string())));
/// assert_eq!(feed.remaining(), Some(3));
/// ```
pub fn from_iter(jobs: impl IntoIterator<Item = Job>) -> impl Feed {
    Iterated(jobs.into_iter())
}

struct Iterated<I>(I);

impl<I: Iterator<Item = Job>> Feed for Iterated<I> {
    fn next(&mut self) -> io::Result<Next> {
        Ok(self.0.next().map_or(Next::End, Next::Job))
    }

    fn remaining(&self) -> Option<usize> {
        let (least, most) = self.0.size_hint();
        most.filter(|&most| most == least)
    }
}
