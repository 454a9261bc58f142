//! Where a run's jobs come from.

use std::io;
use std::os::fd::BorrowedFd;

use super::Job;

/// What a feed has to give.
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
