//! The typed front of a pool: its life, and single tasks. Calls with many items are in `calls`.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::builder::Builder;
use super::call::{Batch, OpenJob};
use super::callee::{Callable, Closure};
use super::error::{PoolError, SubmitError};
use super::task::Task;
use super::team::Team;

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
    ///
    /// ```
    /// #[phalanx::task]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// let pool = phalanx::Pool::new(2)?;
    /// assert_eq!(pool.map(square::task(), 1..4)?, [1, 4, 9]);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn new(workers: usize) -> Result<Self, PoolError> {
        Builder::new().workers(workers).start()
    }

    /// How to start a pool that is to be other than [`Pool::new`] makes it.
    ///
    /// ```
    /// use phalanx::Pool;
    ///
    /// let mut builder = Pool::builder().workers(2).retries(1);
    /// let square = builder.closure(|x: u64| x * x);
    /// assert_eq!(builder.start()?.map(square, [2, 3])?, [4, 9]);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A pool of so many workers, forked from this process, that know a closure; see
    /// [`Builder::closure`] for several.
    ///
    /// # Errors
    /// As for [`Builder::start`].
    ///
    /// ```
    /// let words = ["some", "words"];
    /// let (pool, length) = phalanx::Pool::fork(2, move |at: usize| words[at].len())?;
    /// assert_eq!(pool.map(length, [1, 0])?, [5, 4]);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
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
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// let (pool, square) = Pool::fork(1, |x: u64| x * x)?;
    /// match pool.try_submit(square, 5) {
    ///     Ok(task) => assert_eq!(task.wait()?, 25),
    ///     Err(full) => println!("later: {}", full.into_argument()),
    /// }
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
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
        let mut batch = Batch::of(std::slice::from_ref(argument));
        if let Some(error) = batch.take_failure() {
            return Err(PoolError::Argument { task: 0, error });
        }
        let job = self.open(function, false)?;
        self.team.send(job.id, batch)?;
        Ok(Task::new(job))
    }

    /// How many workers the pool has.
    ///
    /// ```
    /// assert_eq!(phalanx::Pool::new(3)?.workers(), 3);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    #[must_use]
    pub fn workers(&self) -> usize {
        self.team.seats()
    }

    /// The process ids of the workers that run at present.
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// let (pool, pid) = Pool::fork(2, |()| std::process::id())?;
    /// let worker = pool.submit(pid, ())?.wait()?;
    /// assert!(pool.pids().contains(&worker));
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.team.pids()
    }

    /// From now on the pool takes no new calls. What was sent will be done.
    ///
    /// ```
    /// # use phalanx::pool::{Pool, PoolError};
    /// let (pool, square) = Pool::fork(1, |x: u64| x * x)?;
    /// pool.close();
    /// let refused = pool.submit(square, 12).unwrap_err();
    /// assert!(matches!(refused.error(), PoolError::Closed));
    /// assert_eq!(refused.into_argument(), 12);
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn close(&self) {
        self.team.close();
    }

    /// Closes the pool, waits until every task has been answered, and until the workers have left.
    /// Results can still be fetched from [`Task`]s afterwards.
    ///
    /// # Errors
    /// [`PoolError::OtherProcess`].
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// let (pool, square) = Pool::fork(2, |x: u64| x * x)?;
    /// let task = pool.submit(square, 12)?;
    /// pool.join()?;
    /// assert_eq!(task.wait()?, 144);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn join(self) -> Result<(), PoolError> {
        self.team.join()
    }

    /// Ends the workers at once. Tasks that have no result yet fail with [`PoolError::Terminated`].
    ///
    /// ```
    /// # use phalanx::pool::{Pool, PoolError};
    /// let (pool, sleep) = Pool::fork(1, |s| std::thread::sleep(std::time::Duration::from_secs(s)))?;
    /// let task = pool.submit(sleep, 600)?;
    /// pool.terminate();
    /// assert!(matches!(task.wait(), Err(PoolError::Terminated)));
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn terminate(&self) {
        self.team.terminate();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Also after `join`: there is nothing left to end then.
        self.team.terminate();
    }
}
