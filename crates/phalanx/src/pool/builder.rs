//! How a pool is started.

use phalanx_shm::leases::MAX_SEATS;

use super::error::PoolError;
use super::front::Pool;
use super::function::Callable;
use super::payload::Payload;
use super::serve::Recipe;

/// How a pool is to be made.
///
/// ```no_run
/// use phalanx::pool::Builder;
///
/// let pool = Builder::new()
///     .workers(4)
///     .max_tasks(1_000)
///     .setup(|worker| eprintln!("worker {worker} is here"))
///     .start(|x: u64| x * x)?;
/// # Ok::<(), phalanx::pool::PoolError>(())
/// ```
#[must_use = "`start` makes the pool"]
pub struct Builder {
    workers: Option<usize>,
    max_tasks: u64,
    setup: Option<Box<dyn Fn(usize) + Send + Sync>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// One worker for each processor that this process may use.
    pub fn new() -> Self {
        Self { workers: None, max_tasks: u64::MAX, setup: None }
    }

    /// So many workers: at least one, at most [`MAX_SEATS`].
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Each worker leaves after about so many tasks (it finishes the batch that it has), and another
    /// one takes its place: for functions that leak.
    pub fn max_tasks(mut self, tasks: u64) -> Self {
        self.max_tasks = tasks.max(1);
        self
    }

    /// What each worker does first, given its number. A panic there ends the worker; a pool whose
    /// workers all end like that gives up with [`PoolError::WorkersKeepDying`].
    pub fn setup(mut self, setup: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.setup = Some(Box::new(setup));
        self
    }

    /// Starts the workers: forks of this process, which call `function` for each task.
    ///
    /// A worker has what this process has at this moment, memory and descriptors, but only one
    /// thread: `function` must not need a lock that another thread may be holding now.
    ///
    /// # Errors
    /// [`PoolError::NoWorkers`] or [`PoolError::OutOfMemory`].
    pub fn start<A, R, F>(self, function: F) -> Result<Pool<A, R>, PoolError>
    where
        A: Payload,
        R: Payload,
        F: Callable<A, R> + Send + Sync + 'static,
    {
        let name = function.name();
        self.start_with(name, move |bytes, out| {
            let mut rest = bytes;
            let argument = A::decode(&mut rest).filter(|_| rest.is_empty());
            let Some(argument) = argument else { return false };
            function.call(argument).encode(out);
            true
        })
    }

    /// The same for a function from bytes to bytes, which takes the task's bytes where they lie.
    ///
    /// # Errors
    /// As for [`Builder::start`].
    pub fn start_bytes<F>(self, function: F) -> Result<Pool<Vec<u8>, Vec<u8>>, PoolError>
    where
        F: Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    {
        self.start_with(std::any::type_name::<F>(), move |bytes, out| {
            // What `Vec::encode` writes: the length, then the bytes.
            let Some((len, rest)) = bytes.split_first_chunk::<8>() else { return false };
            if u64::from_le_bytes(*len) != rest.len() as u64 {
                return false;
            }
            function(rest).encode(out);
            true
        })
    }

    fn start_with<A, R>(
        self,
        function: &'static str,
        work: impl Fn(&[u8], &mut Vec<u8>) -> bool + Send + Sync + 'static,
    ) -> Result<Pool<A, R>, PoolError> {
        let workers = self.workers.unwrap_or_else(phalanx_os::cpu::usable).clamp(1, MAX_SEATS);
        let (setup, max_tasks) = (self.setup, self.max_tasks);
        let recipe = Recipe { work: Box::new(work), function, setup, max_tasks };
        Pool::start(workers, recipe)
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("max_tasks", &self.max_tasks)
            .finish_non_exhaustive()
    }
}
