//! How a pool is started.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use phalanx_shm::leases::MAX_SEATS;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::callee::Closure;
use super::error::PoolError;
use super::front::Pool;
use super::serve::{First, Initializer, Recipe};
use super::team::{Plan, Team};
use crate::process::StartMethod;
use crate::task::{self, Function, Out};
use crate::wire::{self, EncodeError};

/// Tasks that may be submitted and not answered, if the builder is not told otherwise.
const QUEUE: usize = 16_384;

/// How a pool is to be made.
///
/// ```
/// use std::time::Duration;
/// use phalanx::pool::Pool;
///
/// #[phalanx::task]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// let pool = Pool::builder()
///     .workers(2)
///     .recycle_after(1_000)
///     .task_timeout(Duration::from_secs(60))
///     .retries(1)
///     .start()?;
/// assert_eq!(pool.map(square::task(), 0..4)?, [0, 1, 4, 9]);
/// # Ok::<(), phalanx::pool::PoolError>(())
/// ```
#[must_use = "`start` makes the pool"]
pub struct Builder {
    workers: Option<usize>,
    method: Option<StartMethod>,
    recipe: Recipe,
    /// What is wrong with the initializer.
    unknown: Option<String>,
    plan: Plan,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// One worker for each processor that this process may use, started by the
    /// [default method](StartMethod).
    ///
    /// ```
    /// use phalanx::pool::Builder;
    ///
    /// let mut builder = Builder::new();
    /// let double = builder.closure(|n: u64| 2 * n);
    /// let pool = builder.start()?;
    /// println!("{} workers", pool.workers()); // as many as there are processors for us
    /// assert_eq!(pool.map(double, [1, 2])?, [2, 4]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new() -> Self {
        static BUILDERS: AtomicU64 = AtomicU64::new(1);
        let builder = BUILDERS.fetch_add(1, Ordering::Relaxed);
        let plan = Plan { batch: None, queue: QUEUE, timeout: None, retries: 0 };
        let recipe = Recipe { builder, max_tasks: u64::MAX, ..Recipe::default() };
        Self { workers: None, method: None, recipe, unknown: None, plan }
    }

    /// So many workers: at least one, at most [`MAX_SEATS`].
    ///
    /// ```
    /// use phalanx::pool::Pool;
    ///
    /// assert_eq!(Pool::builder().workers(3).start()?.workers(), 3);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// How workers begin. If this is not called: by fork if the builder was given closures, otherwise
    /// by the [default method](StartMethod).
    ///
    /// ```
    /// use phalanx::pool::Pool;
    /// use phalanx::process::StartMethod;
    ///
    /// #[phalanx::task]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// let pool = Pool::builder().workers(1).method(StartMethod::Fork).start()?;
    /// assert_eq!(pool.map(square::task(), [3])?, [9]);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn method(mut self, method: StartMethod) -> Self {
        self.method = Some(method);
        self
    }

    /// Each worker leaves after about so many tasks (it finishes the batch that it has), and another
    /// one takes its place: for functions that leak.
    ///
    /// ```
    /// use phalanx::pool::Pool;
    ///
    /// let mut builder = Pool::builder().workers(1).batch(1).recycle_after(5);
    /// let pid = builder.closure(|_: u64| std::process::id());
    /// let mut pids = builder.start()?.map(pid, 0..20)?;
    /// pids.dedup();
    /// assert!(pids.len() > 1, "others have taken over");
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn recycle_after(mut self, tasks: u64) -> Self {
        self.recipe.max_tasks = tasks.max(1);
        self
    }

    /// So many tasks travel together, in all calls but [`Pool::submit`]: at least one, at most 4,294,967,295,
    /// which an endless iterator would be read for. If this is not called, that
    /// depends on how many there are and how long they take: see [`pacer`](super::pacer).
    ///
    /// ```
    /// use phalanx::pool::Pool;
    ///
    /// // Tasks of very different length: each by itself, so that no worker gets two long ones.
    /// let mut builder = Pool::builder().workers(2).batch(1);
    /// let work = builder.closure(|n: u64| (0..n).sum::<u64>());
    /// assert_eq!(builder.start()?.map(work, [10, 1_000_000])?[0], 45);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn batch(mut self, tasks: usize) -> Self {
        self.plan.batch = Some(tasks.clamp(1, u32::MAX as usize));
        self
    }

    /// So many submitted tasks may wait for their answers; [`Pool::submit`] waits for room beyond, and
    /// [`Pool::try_submit`] refuses. 16,384 if this is not called.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let gate = Event::new()?;
    /// let mut builder = Pool::builder().workers(1).queue(1);
    /// let wait = {
    ///     let gate = gate.clone();
    ///     builder.closure(move |()| gate.wait())
    /// };
    /// let pool = builder.start()?;
    /// let task = pool.submit(wait, ())?;
    /// assert!(pool.try_submit(wait, ()).is_err_and(|error| error.is_full()));
    /// gate.set();
    /// task.wait()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn queue(mut self, tasks: usize) -> Self {
        self.plan.queue = tasks.max(1);
        self
    }

    /// The longest that a task may take. The worker of one that takes longer is killed and replaced; the
    /// task fails with [`PoolError::TimedOut`], and no other task is affected.
    ///
    /// It is enforced to about 25 ms, also while no thread waits for the pool: a thread that exists while
    /// there are unanswered tasks looks after it. (Where workers are forked, a killed one is replaced when
    /// somebody next waits.)
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::pool::{Pool, PoolError};
    ///
    /// let mut builder = Pool::builder().workers(1).task_timeout(Duration::from_millis(50));
    /// let nap = builder.closure(|ms| std::thread::sleep(Duration::from_millis(ms)));
    /// let pool = builder.start()?;
    /// let results = pool.map_each(nap, [0, 600_000])?;
    /// assert!(matches!(&results[..], [Ok(()), Err(PoolError::TimedOut(_))]));
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn task_timeout(mut self, limit: Duration) -> Self {
        self.plan.timeout = Some(limit);
        self.recipe.timed = true;
        self
    }

    /// So many times more is a task tried that panicked, took too long, or whose worker died. One that
    /// has cost two workers is not tried again.
    ///
    /// Only for functions that may be run twice. None if this is not called.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let tries = Value::new(0u64)?;
    /// let mut builder = Pool::builder().workers(1).retries(2);
    /// let flaky = {
    ///     let tries = tries.clone();
    ///     builder.closure(move |()| assert!(tries.fetch_add(1) == 2, "not yet"))
    /// };
    /// builder.start()?.submit(flaky, ())?.wait()?;
    /// assert_eq!(tries.load(), 3);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn retries(mut self, times: u32) -> Self {
        self.plan.retries = times;
        self
    }

    /// What each worker calls first. A panic there is an error of the pool, which then gives up:
    /// [`PoolError::Initializer`]. The argument may contain handles of shared objects (queues, locks,
    /// values), of which each worker becomes a holder.
    ///
    /// ```
    /// use phalanx::pool::Pool;
    /// use std::sync::OnceLock;
    ///
    /// static FACTOR: OnceLock<u64> = OnceLock::new();
    ///
    /// #[phalanx::task]
    /// fn prepare(factor: u64) {
    ///     FACTOR.get_or_init(|| factor);
    /// }
    ///
    /// #[phalanx::task]
    /// fn times(x: u64) -> u64 {
    ///     FACTOR.get().copied().unwrap_or(0) * x
    /// }
    ///
    /// let pool = Pool::builder().workers(2).initializer(prepare::task(), 7).start()?;
    /// assert_eq!(pool.map(times::task(), [1, 2])?, [7, 14]);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn initializer<A, R>(mut self, function: Function<A, R>, argument: A) -> Self
    where
        A: Serialize + Send + 'static,
        R: 'static,
    {
        self.unknown = function.registered().check().err().map(|unknown| unknown.to_string());
        let first = Initial { function, argument: Mutex::new(Some(argument)) };
        self.recipe.initializer = Some(Initializer::Here(Box::new(first)));
        self
    }

    /// The same as a closure, which gets the worker's number: only forked workers know it.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use phalanx::pool::Pool;
    ///
    /// thread_local!(static WORKER: Cell<usize> = const { Cell::new(usize::MAX) });
    ///
    /// let mut builder = Pool::builder().workers(2).setup(|worker| WORKER.set(worker));
    /// let number = builder.closure(|()| WORKER.get());
    /// assert!(builder.start()?.submit(number, ())?.wait()? < 2);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn setup(mut self, setup: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.recipe.setup = Some(Box::new(setup));
        self
    }

    /// Gives the workers a closure, which they are forked with; returns its name for the pool's calls.
    ///
    /// A worker has what this process has when it is forked, memory and descriptors, but only one
    /// thread: the closure must not need a lock that another thread may be holding then.
    ///
    /// ```
    /// use phalanx::pool::Builder;
    ///
    /// let words = vec!["some", "words"];
    /// let mut builder = Builder::new().workers(2);
    /// let length = builder.closure(move |at: usize| words[at].len());
    /// let twice = builder.closure(|x: u64| 2 * x);
    /// let pool = builder.start()?;
    /// assert_eq!(pool.map(length, [0, 1])?, [4, 5]);
    /// assert_eq!(pool.map(twice, [3])?, [6]);
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    pub fn closure<A, R, F>(&mut self, function: F) -> Closure<A, R>
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Fn(A) -> R + Send + Sync + 'static,
    {
        let work = move |argument: &[u8], out: &mut Out| task::run(&function, argument, out);
        self.recipe.closures.push(Box::new(work));
        let index = self.recipe.closures.len() - 1;
        Closure::new(self.recipe.builder, index, std::any::type_name::<F>())
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// [`PoolError::NoWorkers`] when the kernel refuses a process, or the method needs
    /// [`phalanx::init`](crate::init); [`PoolError::Closures`] when there are closures and the method is
    /// not `Fork`; [`PoolError::OutOfMemory`].
    ///
    /// ```
    /// use phalanx::pool::{Pool, PoolError};
    /// use phalanx::process::StartMethod;
    ///
    /// let mut builder = Pool::builder().method(StartMethod::Spawn);
    /// let _closure = builder.closure(|x: u64| x);
    /// assert!(matches!(builder.start(), Err(PoolError::Closures(StartMethod::Spawn))));
    /// ```
    pub fn start(self) -> Result<Pool, PoolError> {
        if let Some(unknown) = self.unknown {
            return Err(PoolError::UnknownFunction(unknown));
        }
        let workers = self.workers.unwrap_or_else(phalanx_os::cpu::usable).clamp(1, MAX_SEATS);
        let knows_closures = !self.recipe.closures.is_empty() || self.recipe.setup.is_some();
        let default = if knows_closures { StartMethod::Fork } else { StartMethod::default() };
        let method = self.method.unwrap_or(default);
        if knows_closures && method != StartMethod::Fork {
            return Err(PoolError::Closures(method));
        }
        Team::start(workers, method, self.recipe, self.plan).map(Pool::from_team)
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("method", &self.method)
            .field("recycle_after", &self.recipe.max_tasks)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// An initializer with its argument.
struct Initial<A, R> {
    function: Function<A, R>,
    /// Taken by a forked worker, of its own copy.
    argument: Mutex<Option<A>>,
}

impl<A: Serialize + Send, R> First for Initial<A, R> {
    fn id(&self) -> u64 {
        self.function.registered().id()
    }

    fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::new();
        let argument = self.argument.lock().unwrap_or_else(PoisonError::into_inner);
        argument.as_ref().map_or(Ok(()), |argument| wire::encode(argument, &mut bytes))?;
        Ok(bytes)
    }

    fn call(&self) {
        let argument = self.argument.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(argument) = argument {
            self.function.call(argument);
        }
    }
}
