//! Lazy calls: tasks are sent as results are fetched.
//!
//! Two limits. *On their way* are as many tasks as keep the workers supplied (see
//! `pacer`): answered tasks do not count, so a long task at the head of the line does
//! not starve the other workers. *Ahead* of the results that were fetched the iterator is read only so
//! far, which is the back-pressure on it.

use std::iter::Fuse;
use std::marker::PhantomData;

use phalanx_shm::patience::Patience;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::{Arrivals, Batch, OpenJob};
use super::callee::Callable;
use super::error::PoolError;
use super::front::Pool;
use super::ledger::{Ledger, Piece};
use super::pacer;

/// Unless told otherwise an iterator is read so many batches a worker ahead, or this many items.
const BATCHES_AHEAD: usize = 64;
const ITEMS_AHEAD: usize = 256;

struct Stream<'p, R, I: Iterator> {
    pool: &'p Pool,
    job: Result<OpenJob, Option<PoolError>>,
    items: Option<Fuse<I>>,
    look_ahead: Option<usize>,
    arrivals: Option<Arrivals>,
    sent: u64,
    fetched: u64,
    result: PhantomData<fn() -> R>,
}

/// What to do next.
enum Step {
    Take(Piece),
    Feed(usize),
}

impl<'p, R, I: Iterator> Stream<'p, R, I> {
    fn new(pool: &'p Pool, function: impl Callable<I::Item, R>, items: I) -> Self {
        let job = pool.open(function, true).map_err(Some);
        Self {
            pool,
            job,
            items: Some(items.fuse()),
            look_ahead: None,
            arrivals: None,
            sent: 0,
            fetched: 0,
            result: PhantomData,
        }
    }

    /// Tasks that could be sent now in one batch, given how many have no answer.
    fn room(&self, unanswered: u64) -> usize {
        if self.items.is_none() {
            return 0;
        }
        let workers = self.pool.workers();
        let batch = self.pool.team.plan().batch.unwrap_or_else(|| {
            let (busy, tasks) = self.pool.team.work_done();
            pacer::stream_batch(busy, tasks)
        });
        let ahead = (BATCHES_AHEAD * workers * batch).max(ITEMS_AHEAD);
        let ahead =
            self.look_ahead.unwrap_or(ahead).saturating_sub((self.sent - self.fetched) as usize);
        let window = pacer::stream_window(batch, workers);
        if unanswered as usize + batch > window { 0 } else { batch.min(ahead) }
    }
}

impl<R: DeserializeOwned, I: Iterator<Item: Serialize>> Stream<'_, R, I> {
    /// Reads some items and sends them as one batch.
    fn feed(&mut self, job: u64, room: usize) -> Result<(), PoolError> {
        let Some(items) = &mut self.items else { return Ok(()) };
        let items: Vec<I::Item> = items.by_ref().take(room).collect();
        let batch = Batch::of(&items);
        let count = batch.count;
        if (count as usize) < room {
            self.items = None;
        }
        if count > 0 {
            self.pool.team.send(job, batch)?;
            self.sent += u64::from(count);
        }
        Ok(())
    }

    #[inline]
    fn advance(
        &mut self,
        fetch: impl Fn(&mut Ledger, u64, u64) -> Option<Piece>,
    ) -> Option<(u64, Result<R, PoolError>)> {
        if let Some(next) = self.arrivals.as_mut().and_then(Arrivals::next) {
            self.fetched += 1;
            return Some(next);
        }
        self.advance_slowly(fetch)
    }

    fn advance_slowly(
        &mut self,
        fetch: impl Fn(&mut Ledger, u64, u64) -> Option<Piece>,
    ) -> Option<(u64, Result<R, PoolError>)> {
        let id = match &mut self.job {
            Ok(job) => job.id,
            // Told once.
            Err(error) => return error.take().map(|error| (0, Err(error))),
        };
        loop {
            if self.items.is_none() && self.sent == self.fetched {
                return None;
            }
            let step = self.pool.team.wait_for(&Patience::forever(), |ledger| {
                let room = self.room(ledger.unanswered_of(id));
                if room > 0 {
                    return Some(Step::Feed(room));
                }
                fetch(ledger, id, self.fetched).map(Step::Take)
            });
            let failed = match step {
                Ok(Ok(Step::Take(piece))) => {
                    let arrivals = self.arrivals.insert(Arrivals::new(piece));
                    if let Some(next) = arrivals.next() {
                        self.fetched += 1;
                        return Some(next);
                    }
                    Ok(())
                }
                Ok(Ok(Step::Feed(room))) => self.feed(id, room),
                Ok(Err(_)) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = failed {
                // Nothing more can be sent: that is the last result.
                self.job = Err(None);
                return Some((self.sent, Err(error)));
            }
        }
    }
}

/// The results of [`Pool::imap`], in the order of the items. Dropping it cancels the tasks whose results
/// were not fetched.
///
/// ```
/// # use phalanx::pool::Pool;
/// let (pool, square) = Pool::fork(2, |x: u64| x * x)?;
/// // Of an endless iterator, so far as it is needed:
/// let mut squares = pool.imap(square, 0..).look_ahead(10);
/// assert_eq!(squares.nth(5).transpose()?, Some(25));
/// # Ok::<(), phalanx::pool::PoolError>(())
/// ```
#[must_use = "nothing is sent before the first result is asked for"]
pub struct Imap<'p, R, I: Iterator>(Stream<'p, R, I>);

/// The results of [`Pool::imap_unordered`] as they arrive, each with the index of its item. Dropping it
/// cancels the tasks whose results were not fetched.
///
/// ```
/// # use phalanx::pool::Pool;
/// let (pool, square) = Pool::fork(2, |x: u64| x * x)?;
/// for (index, result) in pool.imap_unordered(square, 10..14) {
///     assert_eq!(result?, (10 + index) * (10 + index));
/// }
/// # Ok::<(), phalanx::pool::PoolError>(())
/// ```
#[must_use = "nothing is sent before the first result is asked for"]
pub struct ImapUnordered<'p, R, I: Iterator>(Stream<'p, R, I>);

macro_rules! lazy {
    ($name:ident) => {
        impl<'p, R, I: Iterator> $name<'p, R, I> {
            pub(super) fn new(
                pool: &'p Pool,
                function: impl Callable<I::Item, R>,
                items: I,
            ) -> Self {
                Self(Stream::new(pool, function, items))
            }

            /// Reads the iterator at most so many items ahead of the results that were fetched: at
            /// least one.
            ///
            /// Unless this is called, that is as many as keep all workers busy while one task takes
            /// long: some hundreds for costly tasks, some thousands for tiny ones.
            ///
            /// ```
            /// # use phalanx::pool::Pool;
            /// use std::cell::Cell;
            ///
            /// let (read, items) = (Cell::new(0u64), 0u64..1_000_000);
            /// let items = items.inspect(|_| read.set(read.get() + 1)); // as from a slow or endless source
            /// let (pool, square) = Pool::fork(2, |x: u64| x * x)?;
            /// let results = pool.imap(square, items).look_ahead(10); // or `imap_unordered`
            /// assert_eq!(results.take(3).count(), 3);
            /// assert!(read.get() <= 13, "{} items have been read", read.get());
            /// # Ok::<(), phalanx::pool::PoolError>(())
            /// ```
            pub fn look_ahead(mut self, items: usize) -> Self {
                self.0.look_ahead = Some(items.max(1));
                self
            }
        }

        impl<R, I: Iterator> std::fmt::Debug for $name<'_, R, I> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("sent", &self.0.sent)
                    .field("fetched", &self.0.fetched)
                    .finish_non_exhaustive()
            }
        }
    };
}
lazy!(Imap);
lazy!(ImapUnordered);

impl<R: DeserializeOwned, I: Iterator<Item: Serialize>> Iterator for Imap<'_, R, I> {
    type Item = Result<R, PoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        let in_order = |ledger: &mut Ledger, job, next| ledger.fetch(job, next);
        self.0.advance(in_order).map(|(_, result)| result)
    }
}

impl<R: DeserializeOwned, I: Iterator<Item: Serialize>> Iterator for ImapUnordered<'_, R, I> {
    type Item = (u64, Result<R, PoolError>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.advance(|ledger, job, _| ledger.fetch_any(job))
    }
}
