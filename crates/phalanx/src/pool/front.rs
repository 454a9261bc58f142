//! The typed front of a pool.

use std::sync::Arc;

use phalanx_shm::patience::Patience;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::builder::Builder;
use super::call::{Arrivals, Batch, OpenJob};
use super::callee::{Callable, Closure};
use super::error::{PoolError, SubmitError};
use super::ledger::{Ledger, Piece};
use super::pacer;
use super::stream::{Imap, ImapUnordered};
use super::task::Task;
use super::team::Team;

/// Batches of a `map` that are on their way, for each worker.
const AHEAD: usize = 3;

/// Worker processes that run tasks.
///
/// Each call names a function, [a task of the program](mod@crate::task) or a
/// [closure](Builder::closure) that the workers were forked with, and gives it items; a function of
/// several arguments takes tuples.
///
/// The calling threads do the owner's work while they wait; there is no thread besides them. What a
/// call guarantees: each task is answered exactly once, by its result, by
/// [`PoolError::Panicked`], or, if its worker ended in the middle of it, by
/// [`PoolError::WorkerDied`]. A dead worker costs that one task: others of its batch are run by
/// somebody else, finished results still arrive, and another worker takes its place. No task that was
/// begun is ever begun again, unless [retries](Builder::retries) were asked for.
///
/// Dropping the pool ends its workers at once; [`Pool::join`] lets them finish first. A pool belongs
/// to the process that made it. Its workers cannot outlive that process.
///
/// ```
/// use phalanx::pool::{Pool, PoolError};
///
/// #[phalanx::task]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// #[phalanx::task]
/// fn power(base: u64, exponent: u32) -> u64 {
///     base.pow(exponent)
/// }
///
/// fn main() -> Result<(), PoolError> {
///     phalanx::init();
///     let pool = Pool::new(2)?;
///     assert_eq!(pool.map(square::task(), 0..5)?, [0, 1, 4, 9, 16]);
///     assert_eq!(pool.map(power::task(), [(2, 10), (3, 3)])?, [1024, 27]);
///
///     let task = pool.submit(square::task(), 12)?;
///     assert_eq!(task.wait()?, 144);
///
///     // Lazily, a few tasks ahead:
///     let firsts: Result<Vec<u64>, _> = pool.imap(square::task(), 1..).take(3).collect();
///     assert_eq!(firsts?, [1, 4, 9]);
///     pool.join()
/// }
/// ```
///
/// One task may fail without the others:
///
/// ```
/// use phalanx::pool::{Pool, PoolError};
///
/// let (pool, divide) =
///     Pool::fork(2, |x: u32| if x == 1 { std::process::abort() } else { 10 / (x + 1) })?;
/// let results = pool.map_each(divide, [0, 1, 4])?;
/// assert!(matches!(results[0], Ok(10)));
/// assert!(matches!(&results[1], Err(PoolError::WorkerDied(died)) if died.task == Some(1)));
/// assert!(matches!(results[2], Ok(2)));
/// # Ok::<(), PoolError>(())
/// ```
#[derive(Debug)]
pub struct Pool {
    pub(super) team: Arc<Team>,
}

impl Pool {
    /// A pool of so many workers, started by the [default method](crate::process::StartMethod).
    ///
    /// # Errors
    /// As for [`Builder::start`].
    pub fn new(workers: usize) -> Result<Self, PoolError> {
        Builder::new().workers(workers).start()
    }

    /// How to start a pool that is to be other than [`Pool::new`] makes it.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A pool of so many workers, forked from this process, that know a closure; see
    /// [`Builder::closure`] for several.
    ///
    /// # Errors
    /// As for [`Builder::start`].
    pub fn fork<A, R, F>(workers: usize, function: F) -> Result<(Self, Closure<A, R>), PoolError>
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Fn(A) -> R + Send + Sync + 'static,
    {
        let mut builder = Builder::new().workers(workers);
        let closure = builder.closure(function);
        Ok((builder.start()?, closure))
    }

    pub(super) const fn from_team(team: Arc<Team>) -> Self {
        Self { team }
    }

    pub(super) fn open<A, R>(
        &self,
        function: impl Callable<A, R>,
        cancels: bool,
    ) -> Result<OpenJob, PoolError> {
        let callee = function.callee().map_err(PoolError::UnknownFunction)?;
        OpenJob::new(&self.team, callee, cancels)
    }

    /// Sends one task, once there is room for it (see [`Builder::queue`]).
    ///
    /// # Errors
    /// [`SubmitError`], which gives the argument back: the pool is closed, cannot go on, or does not know
    /// the function; the argument cannot be encoded; or there is no shared memory.
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// let (pool, length) = Pool::fork(2, |text: String| text.len())?;
    /// let tasks: Vec<_> = ["a", "bc"]
    ///     .into_iter()
    ///     .map(|text| pool.submit(length, text.to_owned()))
    ///     .collect::<Result<_, _>>()?;
    /// let lengths: Vec<usize> = tasks.into_iter().map(|task| task.wait()).collect::<Result<_, _>>()?;
    /// assert_eq!(lengths, [1, 2]);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn submit<A, R>(
        &self,
        function: impl Callable<A, R>,
        argument: A,
    ) -> Result<Task<R>, SubmitError<A>>
    where
        A: Serialize,
    {
        match self.team.wait_for_room().and_then(|()| self.send_one(function, &argument)) {
            Ok(task) => Ok(task),
            Err(error) => Err(SubmitError::new(argument, error)),
        }
    }

    /// Sends one task if there is room for it.
    ///
    /// # Errors
    /// As for [`Pool::submit`]; [`SubmitError::is_full`] when there is no room.
    pub fn try_submit<A, R>(
        &self,
        function: impl Callable<A, R>,
        argument: A,
    ) -> Result<Task<R>, SubmitError<A>>
    where
        A: Serialize,
    {
        let room = match self.team.is_full() {
            Ok(false) => Ok(()),
            Ok(true) => Err(PoolError::Full),
            Err(error) => Err(error),
        };
        match room.and_then(|()| self.send_one(function, &argument)) {
            Ok(task) => Ok(task),
            Err(error) => Err(SubmitError::new(argument, error)),
        }
    }

    fn send_one<A: Serialize, R>(
        &self,
        function: impl Callable<A, R>,
        argument: &A,
    ) -> Result<Task<R>, PoolError> {
        let mut batch = Batch::new();
        batch.push(argument);
        if let Some(error) = batch.take_failure() {
            return Err(PoolError::Argument { task: 0, error });
        }
        let job = self.open(function, false)?;
        self.team.send(job.id, batch)?;
        Ok(Task::new(job))
    }

    /// Runs the function for each item, and returns the results in the order of the items.
    ///
    /// # Errors
    /// What became of the first task that has no result. The tasks that have not begun by then are
    /// cancelled; [`Pool::map_each`] runs all, and tells what became of each.
    pub fn map<A, R>(
        &self,
        function: impl Callable<A, R>,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<R>, PoolError>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        let mut results = Vec::new();
        self.run_all(function, items, Order::OfItems, |_, result| {
            result.map(|result| results.push(result))
        })?;
        Ok(results)
    }

    /// Runs the function for each item, and returns the results in the order in which they arrive.
    ///
    /// # Errors
    /// As for [`Pool::map`].
    pub fn map_unordered<A, R>(
        &self,
        function: impl Callable<A, R>,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<R>, PoolError>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        let mut results = Vec::new();
        self.run_all(function, items, Order::OfArrival, |_, result| {
            result.map(|result| results.push(result))
        })?;
        Ok(results)
    }

    /// Runs the function for each item, and returns what became of each, in the order of the items.
    ///
    /// # Errors
    /// Why the tasks could not be sent. What goes wrong later is in the results.
    pub fn map_each<A, R>(
        &self,
        function: impl Callable<A, R>,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<Result<R, PoolError>>, PoolError>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        let mut results = Vec::new();
        self.run_all(function, items, Order::OfItems, |_, result| {
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
    /// let (pool, length) = Pool::fork(2, |line: String| line.len())?;
    /// let lines = ["one", "three", "seven"].map(str::to_owned);
    /// let lengths = pool.imap(length, lines).look_ahead(2).collect::<Result<Vec<_>, PoolError>>()?;
    /// assert_eq!(lengths, [3, 5, 5]);
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn imap<A, R, I>(&self, function: impl Callable<A, R>, items: I) -> Imap<'_, R, I::IntoIter>
    where
        A: Serialize,
        R: DeserializeOwned,
        I: IntoIterator<Item = A>,
    {
        Imap::new(self, function, items.into_iter())
    }

    /// Like [`Pool::imap`], but gives each result as soon as it is there, with the task's index.
    ///
    /// ```
    /// # use phalanx::pool::{Pool, PoolError};
    /// let (pool, add) = Pool::fork(2, |x: u64| x + 100)?;
    /// let mut results: Vec<(u64, Result<u64, PoolError>)> = pool.imap_unordered(add, 0..4).collect();
    /// results.sort_by_key(|(index, _)| *index);
    /// assert!(matches!(results[3], (3, Ok(103))));
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn imap_unordered<A, R, I>(
        &self,
        function: impl Callable<A, R>,
        items: I,
    ) -> ImapUnordered<'_, R, I::IntoIter>
    where
        A: Serialize,
        R: DeserializeOwned,
        I: IntoIterator<Item = A>,
    {
        ImapUnordered::new(self, function, items.into_iter())
    }

    /// Whether the function is true for any of the items. As soon as one result is, the tasks that have
    /// not begun are cancelled, and those that run can see it by
    /// [`phalanx::cancelled`](crate::cancelled). The iterator is read as results arrive.
    ///
    /// # Errors
    /// What became of the first task to fail before that.
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// let (pool, divides) = Pool::fork(2, |d: u64| 1_000_003 * 999_983 % d == 0)?;
    /// assert!(pool.any(divides, 2..)?);
    /// assert!(!pool.any(divides, 2..999_983 / 1_000)?);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn any<A: Serialize>(
        &self,
        function: impl Callable<A, bool>,
        items: impl IntoIterator<Item = A>,
    ) -> Result<bool, PoolError> {
        for (_, result) in self.imap_unordered(function, items) {
            if result? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the function is true for all of the items; stops early at the first that it is false for,
    /// as [`Pool::any`] does.
    ///
    /// # Errors
    /// As for [`Pool::any`].
    pub fn all<A: Serialize>(
        &self,
        function: impl Callable<A, bool>,
        items: impl IntoIterator<Item = A>,
    ) -> Result<bool, PoolError> {
        for (_, result) in self.imap_unordered(function, items) {
            if !result? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first result to arrive that is something; stops early there, as [`Pool::any`] does.
    ///
    /// # Errors
    /// As for [`Pool::any`].
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// let (pool, root) = Pool::fork(2, |x: u64| (x * x == 144).then_some(x))?;
    /// assert_eq!(pool.first(root, 0..)?, Some(12));
    /// assert_eq!(pool.first(root, 0..5)?, None);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn first<A: Serialize, R: DeserializeOwned>(
        &self,
        function: impl Callable<A, Option<R>>,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Option<R>, PoolError> {
        for (_, result) in self.imap_unordered(function, items) {
            if let Some(found) = result? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Sends all items, a few batches ahead of the workers, and hands the results over.
    fn run_all<A, R>(
        &self,
        function: impl Callable<A, R>,
        items: impl IntoIterator<Item = A>,
        order: Order,
        mut sink: impl FnMut(u64, Result<R, PoolError>) -> Result<(), PoolError>,
    ) -> Result<(), PoolError>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        let job = self.open(function, true)?;
        let items: Vec<A> = items.into_iter().collect();
        let total = items.len();
        let (workers, batch) = (self.workers(), self.team.plan().batch);
        let mut batches: Box<dyn Iterator<Item = (usize, usize)>> = match batch {
            Some(size) => Box::new(pacer::even(total, size)),
            None => Box::new(pacer::guided(total, workers)),
        };
        let mut next = batches.next();
        let mut fetched = 0;
        while fetched < total as u64 {
            let step = |ledger: &mut Ledger| {
                if next.is_some() && ledger.batches_of(job.id) < AHEAD * workers {
                    return Some(None);
                }
                let piece = match order {
                    Order::OfItems => ledger.fetch(job.id, fetched),
                    Order::OfArrival => ledger.fetch_any(job.id),
                };
                piece.map(Some)
            };
            let piece: Option<Piece> = match self.team.wait_for(&Patience::forever(), step)? {
                Ok(step) => step,
                // Without a deadline nobody gives up.
                Err(_) => continue,
            };
            if let Some(piece) = piece {
                let mut arrivals = Arrivals::new(piece);
                while let Some((task, result)) = arrivals.next() {
                    fetched += 1;
                    sink(task, result)?;
                }
            } else if let Some((first, count)) = next {
                let mut batch = Batch::new();
                items[first..first + count].iter().for_each(|item| batch.push(item));
                self.team.send(job.id, batch)?;
                next = batches.next();
            }
        }
        Ok(())
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

/// In which order results are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    OfItems,
    OfArrival,
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Also after `join`: there is nothing left to end then.
        self.team.terminate();
    }
}
