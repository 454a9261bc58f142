//! Calls with many items: all at once, lazily, and until a question is answered.

use phalanx_shm::patience::Patience;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::allowance::Allowance;
use super::call::{Arrivals, Batch};
use super::callee::Callable;
use super::error::PoolError;
use super::front::Pool;
use super::ledger::{Ledger, Piece};
use super::pacer;
use super::stream::{Imap, ImapUnordered};

/// Batches of a `map` that are on their way, for each worker.
const AHEAD: usize = 3;
/// Items of which nobody knows how many there are may take one half of the free memory.
const HALF: u64 = 2;

/// In which order results are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    OfItems,
    OfArrival,
}

impl Pool {
    /// Runs the function for each item, and returns the results in the order of the items.
    ///
    /// # Errors
    /// What became of the first task that has no result. The tasks that have not begun by then are
    /// cancelled; [`Pool::map_each`] runs all, and tells what became of each. [`PoolError::TooMany`] of an
    /// iterator that never ends: [`Pool::imap`] is for those.
    ///
    /// ```
    /// # use phalanx::pool::{Pool, PoolError};
    /// let (pool, half) = Pool::fork(2, |x: u64| { assert!(x % 2 == 0, "{x} is odd"); x / 2 })?;
    /// assert_eq!(pool.map(half, [2, 4, 6])?, [1, 2, 3]);
    /// let error = pool.map(half, [2, 3]).unwrap_err();
    /// assert_eq!(error.task(), Some(1));
    /// assert!(error.to_string().contains("3 is odd"));
    /// # Ok::<(), PoolError>(())
    /// ```
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
    ///
    /// ```
    /// # use phalanx::pool::{Pool, PoolError};
    /// let (pool, square) = Pool::fork(2, |x: u64| x * x)?;
    /// let mut squares = pool.map_unordered(square, 0..4)?;
    /// squares.sort();
    /// assert_eq!(squares, [0, 1, 4, 9]);
    /// # Ok::<(), PoolError>(())
    /// ```
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
    ///
    /// ```
    /// # use phalanx::pool::{Pool, PoolError};
    /// let (pool, parse) = Pool::fork(2, |text: String| text.parse::<u64>().expect("a number"))?;
    /// let results = pool.map_each(parse, ["7".to_owned(), "seven".to_owned()])?;
    /// assert!(matches!(&results[..], [Ok(7), Err(PoolError::Panicked(_))]));
    /// # Ok::<(), PoolError>(())
    /// ```
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
    /// let (pool, divides) = Pool::fork(2, |d: u64| 10_007 * 10_009 % d == 0)?;
    /// assert!(pool.any(divides, 2..)?);
    /// assert!(!pool.any(divides, 2..10_007)?);
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
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// let (pool, is_even) = Pool::fork(2, |x: u64| x % 2 == 0)?;
    /// assert!(pool.all(is_even, [2, 4, 6])?);
    /// assert!(!pool.all(is_even, 0..)?);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
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
        let items = read_all(items.into_iter())?;
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
                self.team.send(job.id, Batch::of(&items[first..first + count]))?;
                next = batches.next();
            }
        }
        Ok(())
    }
}

/// All items, unless they have no end.
fn read_all<A>(items: impl Iterator<Item = A>) -> Result<Vec<A>, PoolError> {
    if items.size_hint().1.is_some() {
        return Ok(items.collect());
    }
    let mut allowance = Allowance::part(HALF);
    let mut all = Vec::new();
    for item in items {
        all.push(item);
        if allowance.is_used_up() {
            return Err(PoolError::TooMany { items: all.len() as u64, memory: allowance.used() });
        }
    }
    Ok(all)
}
