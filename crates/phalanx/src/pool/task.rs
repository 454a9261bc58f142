//! A task that was submitted, and its result some time.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use phalanx_shm::patience::Patience;

use super::call::{OpenJob, open_answer};
use super::error::PoolError;
use super::payload::Payload;

/// A task that was sent by [`Pool::submit`](super::Pool::submit).
#[derive(Debug)]
pub struct Task<R> {
    job: OpenJob,
    result: PhantomData<fn() -> R>,
}

impl<R: Payload> Task<R> {
    pub(super) fn new(job: OpenJob) -> Self {
        Self { job, result: PhantomData }
    }

    /// Whether the task has been answered. Takes in what has arrived.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let id = self.job.id;
        let look =
            self.job.team.wait_for(&Patience::none(), |ledger| ledger.has(id, 0).then_some(()));
        matches!(look, Ok(Ok(())))
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// Why there is none: see [`PoolError`].
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
    /// let pool = Pool::fork(1, |ms| std::thread::sleep(Duration::from_millis(ms)))?;
    /// let task = pool.submit(60_000)?;
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
    pub fn wait_deadline(self, deadline: Instant) -> Result<Result<R, PoolError>, Self> {
        self.wait_timeout(deadline.saturating_duration_since(Instant::now()))
    }

    fn wait_with(&self, patience: &Patience<'_>) -> Result<Result<R, PoolError>, ()> {
        let id = self.job.id;
        match self.job.team.wait_for(patience, |ledger| ledger.fetch(id, 0)) {
            Ok(Ok(answer)) => Ok(open_answer(answer, 0)),
            Ok(Err(_)) => Err(()),
            Err(error) => Ok(Err(error)),
        }
    }
}
