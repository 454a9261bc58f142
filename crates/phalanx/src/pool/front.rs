//! The typed front of a pool: `Pool<A, R>` runs one function from `A` to `R`.

use std::marker::PhantomData;
use std::sync::Arc;

use phalanx_shm::patience::Patience;

use super::builder::Builder;
use super::call::{OpenJob, open_answer};
use super::error::PoolError;
use super::function::Callable;
use super::ledger::Answer;
use super::pacer;
use super::payload::Payload;
use super::serve::{Recipe, push_task};
use super::stream::{Imap, ImapUnordered};
use super::task::Task;
use super::team::Team;

/// Worker processes that all run the same function from `A` to `R`.
///
/// The calling threads do the owner's work while they wait; there is no thread besides them. What a
/// call guarantees: each task is answered exactly once, by its result, by
/// [`PoolError::Panicked`], or, if its worker ended in the middle of it, by
/// [`PoolError::WorkerDied`]. A dead worker costs that one task: others of its batch are run by
/// somebody else, finished results still arrive, and another worker takes its place. No task that was
/// begun is ever begun again.
///
/// Dropping the pool ends its workers at once; [`Pool::join`] lets them finish first. A pool belongs
/// to the process that made it. Its workers cannot outlive that process.
///
/// ```
/// use phalanx::pool::Pool;
///
/// let pool = Pool::fork(2, |x: u64| x * x)?;
/// assert_eq!(pool.map(0..5)?, [0, 1, 4, 9, 16]);
///
/// let task = pool.submit(12)?;
/// assert_eq!(task.wait()?, 144);
///
/// // Lazily, a few tasks ahead:
/// let firsts: Result<Vec<u64>, _> = pool.imap(1..).take(3).collect();
/// assert_eq!(firsts?, [1, 4, 9]);
/// pool.join()?;
/// # Ok::<(), phalanx::pool::PoolError>(())
/// ```
///
/// One task may fail without the others:
///
/// ```
/// use phalanx::pool::{Pool, PoolError};
///
/// let pool = Pool::fork(2, |x: u32| if x == 1 { std::process::abort() } else { 10 / (x + 1) })?;
/// let results = pool.map_each([0, 1, 4])?;
/// assert!(matches!(results[0], Ok(10)));
/// assert!(matches!(&results[1], Err(PoolError::WorkerDied(died)) if died.task == Some(1)));
/// assert!(matches!(results[2], Ok(2)));
/// # Ok::<(), PoolError>(())
/// ```
#[derive(Debug)]
pub struct Pool<A, R> {
    pub(super) team: Arc<Team>,
    types: PhantomData<fn(A) -> R>,
}

impl<A: Payload, R: Payload> Pool<A, R> {
    /// A pool of so many workers, forked from this process; see [`Builder::start`].
    ///
    /// # Errors
    /// [`PoolError::NoWorkers`] or [`PoolError::OutOfMemory`].
    pub fn fork<F>(workers: usize, function: F) -> Result<Self, PoolError>
    where
        F: Callable<A, R> + Send + Sync + 'static,
    {
        Builder::new().workers(workers).start(function)
    }

    /// Sends one task. Waits for nothing.
    ///
    /// A task whose handle is dropped is run nevertheless.
    ///
    /// # Errors
    /// [`PoolError::Closed`], [`PoolError::OutOfMemory`], or why the pool cannot go on.
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// let pool = Pool::fork(2, |(a, b): (u32, u32)| a + b)?;
    /// let tasks = [pool.submit((1, 2))?, pool.submit((3, 4))?];
    /// assert_eq!(tasks.map(|task| task.wait().ok()), [Some(3), Some(7)]);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn submit(&self, argument: A) -> Result<Task<R>, PoolError> {
        let job = OpenJob::new(&self.team)?;
        let mut body = Vec::new();
        push_task(&mut body, |out| argument.encode(out));
        self.team.send(job.id, 1, body)?;
        Ok(Task::new(job))
    }

    /// Runs the function for each item, and returns the results in the order of the items.
    ///
    /// # Errors
    /// What became of the first task that has no result. The others are run nevertheless;
    /// [`Pool::map_each`] tells what became of each.
    pub fn map(&self, items: impl IntoIterator<Item = A>) -> Result<Vec<R>, PoolError> {
        let (job, total) = self.send_all(items)?;
        let mut results = Vec::with_capacity(total);
        self.fetch_all(&job, total, |result| result.map(|result| results.push(result)))?;
        Ok(results)
    }

    /// Runs the function for each item, and returns what became of each, in the order of the items.
    ///
    /// # Errors
    /// Why the tasks could not be sent. What goes wrong later is in the results.
    pub fn map_each(
        &self,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<Result<R, PoolError>>, PoolError> {
        let (job, total) = self.send_all(items)?;
        let mut results = Vec::with_capacity(total);
        self.fetch_all(&job, total, |result| {
            results.push(result);
            Ok(())
        })?;
        Ok(results)
    }

    /// Runs the function for the items of an iterator as results are fetched; results in order.
    ///
    /// The iterator is read only so far ahead that all workers have something to do while an earlier
    /// task takes its time (see [`Imap::look_ahead`]): it may be endless.
    ///
    /// # Errors
    /// [`PoolError::Closed`], or why the pool cannot go on; each result may be an error too.
    ///
    /// ```
    /// # use phalanx::pool::{Pool, PoolError};
    /// let pool = Pool::fork(2, |line: String| line.len())?;
    /// let lines = ["one", "three", "seven"].map(str::to_owned);
    /// let lengths = pool.imap(lines).look_ahead(2).collect::<Result<Vec<_>, PoolError>>()?;
    /// assert_eq!(lengths, [3, 5, 5]);
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn imap<I>(&self, items: I) -> Imap<'_, A, R, I::IntoIter>
    where
        I: IntoIterator<Item = A>,
    {
        Imap::new(self, items.into_iter())
    }

    /// Like [`Pool::imap`], but gives each result as soon as it is there, with the task's index.
    ///
    /// ```
    /// # use phalanx::pool::{Pool, PoolError};
    /// let pool = Pool::fork(2, |x: u64| x + 100)?;
    /// let mut results = pool.imap_unordered(0..4).collect::<Vec<(u64, Result<u64, PoolError>)>>();
    /// results.sort_by_key(|(index, _)| *index);
    /// assert!(matches!(results[3], (3, Ok(103))));
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn imap_unordered<I>(&self, items: I) -> ImapUnordered<'_, A, R, I::IntoIter>
    where
        I: IntoIterator<Item = A>,
    {
        ImapUnordered::new(self, items.into_iter())
    }

    fn send_all(&self, items: impl IntoIterator<Item = A>) -> Result<(OpenJob, usize), PoolError> {
        let job = OpenJob::new(&self.team)?;
        let items: Vec<A> = items.into_iter().collect();
        for (first, count) in pacer::guided(items.len(), self.team.seats()) {
            let mut body = Vec::new();
            for item in &items[first..first + count] {
                push_task(&mut body, |out| item.encode(out));
            }
            self.team.send(job.id, count as u32, body)?;
        }
        Ok((job, items.len()))
    }

    fn fetch_all(
        &self,
        job: &OpenJob,
        total: usize,
        mut sink: impl FnMut(Result<R, PoolError>) -> Result<(), PoolError>,
    ) -> Result<(), PoolError> {
        let mut next = 0;
        while next < total as u64 {
            let arrived = self.team.wait_for(&Patience::forever(), |ledger| {
                let more = (next..total as u64).map_while(|task| ledger.fetch(job.id, task));
                let answers: Vec<Answer> = more.collect();
                (!answers.is_empty()).then_some(answers)
            })?;
            for answer in arrived.into_iter().flatten() {
                sink(open_answer(answer, next))?;
                next += 1;
            }
        }
        Ok(())
    }
}

impl<A, R> Pool<A, R> {
    pub(super) fn start(workers: usize, recipe: Recipe) -> Result<Self, PoolError> {
        Ok(Self { team: Team::start(workers, recipe)?, types: PhantomData })
    }

    /// How many workers the pool has.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.team.seats()
    }

    /// The process ids of the workers that run at present.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.team.pids()
    }

    /// The name of the function that the workers call.
    #[must_use]
    pub fn function(&self) -> &'static str {
        self.team.function()
    }

    /// From now on the pool takes no new calls. What was sent will be done.
    pub fn close(&self) {
        self.team.close();
    }

    /// Closes the pool, waits until every task has been answered, and until the workers have left.
    /// Results can still be fetched from [`Task`]s afterwards.
    ///
    /// # Errors
    /// [`PoolError::OtherProcess`].
    pub fn join(self) -> Result<(), PoolError> {
        self.team.join()
    }

    /// Ends the workers at once. Tasks that have no result yet fail with [`PoolError::Terminated`].
    pub fn terminate(&self) {
        self.team.terminate();
    }
}

impl<A, R> Drop for Pool<A, R> {
    fn drop(&mut self) {
        // Also after `join`: there is nothing left to end then.
        self.team.terminate();
    }
}
