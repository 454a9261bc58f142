//! A task that was submitted, and its result some time.

use std::marker::PhantomData;
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::patience::Patience;
use serde::de::DeserializeOwned;

use super::call::{Arrivals, OpenJob};
use super::error::PoolError;

/// A task that was sent by [`Pool::submit`](super::Pool::submit).
///
/// Dropping it does not stop the task: it is run, and nobody gets its result. [`Task::cancel`] does.
/// If the worker dies in the middle of it, the result is [`PoolError::WorkerDied`], at once; a task that no
/// worker has begun is run by another.
///
/// ```
/// use phalanx::pool::{Pool, Task};
///
/// let (pool, square) = Pool::fork(2, |x: u64| x * x)?;
/// let tasks: Vec<Task<u64>> = (0..4).map(|x| pool.submit(square, x)).collect::<Result<_, _>>()?;
/// let sum: u64 = tasks.into_iter().map(Task::wait).sum::<Result<_, _>>()?;
/// assert_eq!(sum, 14);
/// # Ok::<(), phalanx::pool::PoolError>(())
/// ```
#[derive(Debug)]
pub struct Task<R> {
    job: OpenJob,
    result: PhantomData<fn() -> R>,
}

impl<R> Task<R> {
    pub(super) const fn new(job: OpenJob) -> Self {
        Self { job, result: PhantomData }
    }

    /// Whether the task has been answered: by a result, by an error, or because it was cancelled. Takes
    /// in what has arrived; does not wait.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let gate = Event::new()?;
    /// let opened = gate.clone();
    /// let (pool, wait) = Pool::fork(1, move |()| opened.wait())?;
    /// let task = pool.submit(wait, ())?;
    /// assert!(!task.is_done());
    /// gate.set();
    /// while !task.is_done() {
    ///     std::thread::yield_now(); // or do something useful
    /// }
    /// task.wait()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_done(&self) -> bool {
        let id = self.job.id;
        let look =
            self.job.team.wait_for(&Patience::none(), |ledger| ledger.has(id, 0).then_some(()));
        // A pool that is gone answers nothing more.
        !matches!(look, Ok(Err(_)))
    }

    /// Gives the task up: unless it has been answered already, its answer is [`PoolError::Cancelled`]
    /// from now on. If no worker has begun it, none will; one that runs it goes on, but the function can
    /// see by [`phalanx::cancelled`](crate::cancelled) that nobody wants its result. Returns whether the
    /// task was given up.
    ///
    /// ```
    /// use phalanx::pool::{Pool, PoolError};
    ///
    /// let (pool, wait) = Pool::fork(1, |()| while !phalanx::cancelled() {})?;
    /// let (running, queued) = (pool.submit(wait, ())?, pool.submit(wait, ())?);
    /// assert!(running.cancel() && queued.cancel());
    /// assert!(matches!(running.wait(), Err(PoolError::Cancelled)));
    /// pool.join()?;
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn cancel(&self) -> bool {
        let id = self.job.id;
        let here =
            self.job.team.wait_for(&Patience::none(), |ledger| ledger.has(id, 0).then_some(()));
        matches!(here, Ok(Err(_))) && self.job.team.cancel(id)
    }
}

impl<R: DeserializeOwned> Task<R> {
    /// Waits for the result.
    ///
    /// # Errors
    /// Why there is none: see [`PoolError`].
    ///
    /// ```
    /// # use phalanx::pool::{Pool, PoolError};
    /// let (pool, abort) = Pool::fork(1, |()| -> u64 { std::process::abort() })?;
    /// match pool.submit(abort, ())?.wait() {
    ///     Err(PoolError::WorkerDied(died)) => println!("{died}"),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn wait(self) -> Result<R, PoolError> {
        loop {
            // Without a deadline nobody gives up.
            if let Ok(result) = self.wait_with(&Patience::forever()) {
                return result;
            }
        }
    }

    /// Waits for the result for so long at most.
    ///
    /// # Errors
    /// The task itself, if it has not been answered by then; inside, why there is no result.
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// use std::time::Duration;
    /// let (pool, sleep) = Pool::fork(1, |ms| std::thread::sleep(Duration::from_millis(ms)))?;
    /// let task = pool.submit(sleep, 60_000)?;
    /// let task = task.wait_timeout(Duration::from_millis(10)).expect_err("it takes a minute");
    /// assert!(!task.is_done());
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<R, PoolError>, Self> {
        let waited = self.wait_with(&Patience::timeout(Some(timeout)));
        waited.map_err(|()| self)
    }

    /// Waits for the result until `deadline`.
    ///
    /// # Errors
    /// As for [`Task::wait_timeout`].
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// use std::time::{Duration, Instant};
    /// let (pool, square) = Pool::fork(1, |x: u64| x * x)?;
    /// let deadline = Instant::now() + Duration::from_secs(60);
    /// let tasks = [pool.submit(square, 2)?, pool.submit(square, 3)?];
    /// for task in tasks {
    ///     let result = task.wait_deadline(deadline).expect("it is done within the minute");
    ///     assert!(result? < 10);
    /// }
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn wait_deadline(
        self,
        deadline: impl Into<Deadline>,
    ) -> Result<Result<R, PoolError>, Self> {
        self.wait_timeout(deadline.into().remaining())
    }

    fn wait_with(&self, patience: &Patience<'_>) -> Result<Result<R, PoolError>, ()> {
        let id = self.job.id;
        match self.job.team.wait_for(patience, |ledger| ledger.fetch(id, 0)) {
            Ok(Ok(piece)) => {
                let answer = Arrivals::new(piece).next();
                Ok(answer.map_or(Err(PoolError::Damaged { task: 0 }), |(_, result)| result))
            }
            Ok(Err(_)) => Err(()),
            Err(error) => Ok(Err(error)),
        }
    }
}
