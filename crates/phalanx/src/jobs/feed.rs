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
    ///
    /// ```
    /// # use phalanx::jobs::{Feed, Job, Next};
    /// # struct Countdown(u32);
    /// # impl Feed for Countdown {
    /// fn next(&mut self) -> std::io::Result<Next> {
    ///     let Some(left) = self.0.checked_sub(1) else { return Ok(Next::End) };
    ///     self.0 = left;
    ///     Ok(Next::Job(Job::new("echo").arg(left.to_string())))
    /// }
    /// # }
    /// # let mut feed = Countdown(1);
    /// # assert!(matches!((feed.next()?, feed.next()?), (Next::Job(_), Next::End)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn next(&mut self) -> io::Result<Next>;

    /// How many more there will be, if that is known.
    ///
    /// ```
    /// # use phalanx::jobs::{Feed, Job, Next};
    /// # struct List(Vec<Job>);
    /// # impl Feed for List {
    /// #     fn next(&mut self) -> std::io::Result<Next> {
    /// #         Ok(self.0.pop().map_or(Next::End, Next::Job))
    /// #     }
    /// fn remaining(&self) -> Option<usize> {
    ///     Some(self.0.len())
    /// }
    /// # }
    /// # assert_eq!(List(vec![Job::new("true")]).remaining(), Some(1));
    /// ```
    fn remaining(&self) -> Option<usize> {
        None
    }

    /// What to wait for after [`Next::Later`].
    ///
    /// ```
    /// # use std::io::{BufRead, BufReader, PipeReader, Write};
    /// # use std::os::fd::{AsFd, BorrowedFd};
    /// # use phalanx::jobs::{Feed, Job, Next, Outcome, Runner, Watch};
    /// # struct Piped(BufReader<PipeReader>);
    /// # impl Feed for Piped {
    /// fn next(&mut self) -> std::io::Result<Next> {
    /// #     if self.0.buffer().is_empty()
    /// #         && phalanx::process::wait_readable(self.0.get_ref().as_fd(), phalanx::Patience::none()).is_err()
    /// #     {
    /// #         return Ok(Next::Later);
    /// #     }
    ///     // ... `Next::Later` if no line has come
    /// #     let mut line = String::new();
    /// #     let len = self.0.read_line(&mut line)?;
    /// #     Ok(if len == 0 { Next::End } else { Next::Job(Job::shell(line.trim_end())) })
    /// }
    ///
    /// fn source(&self) -> Option<BorrowedFd<'_>> {
    ///     Some(self.0.get_ref().as_fd()) // asked again when more can be read
    /// }
    /// # }
    /// # struct Count(usize);
    /// # impl Watch for Count {
    /// #     fn ended(&mut self, outcome: Outcome) {
    /// #         self.0 += usize::from(outcome.ending.is_success());
    /// #     }
    /// # }
    /// # let (reader, mut writer) = std::io::pipe()?;
    /// # std::thread::spawn(move || {
    /// #     std::thread::sleep(std::time::Duration::from_millis(20));
    /// #     writer.write_all(b"true\ntrue\n")
    /// # });
    /// # let mut count = Count(0);
    /// # Runner::new().run_watched(&mut Piped(BufReader::new(reader)), &mut count)?;
    /// # assert_eq!(count.0, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
