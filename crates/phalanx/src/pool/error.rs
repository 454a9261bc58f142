//! What can go wrong with a pool or with one of its tasks.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use phalanx_os::wait::ExitStatus;
use phalanx_shm::arena::AllocError;

use crate::process::{Footprint, How, Size, StartMethod};
use crate::task::Panic;
use crate::wire::{DecodeError, EncodeError};

/// Why a task has no result, or why a pool did not do what it was asked for.
///
/// ```
/// use phalanx::pool::{Pool, PoolError};
///
/// let (pool, task) = Pool::fork(1, |x: u64| match x {
///     0 => panic!("nothing to do"),
///     1 => std::process::abort(),
///     _ => x,
/// })?;
/// for result in pool.map_each(task, 0..3)? {
///     match result {
///         Ok(value) => println!("{value}"),
///         Err(PoolError::Panicked(it)) => println!("{}: {}", it.task, it.panic.message()),
///         Err(PoolError::WorkerDied(it)) => println!("worker {} ended: {:?}", it.pid, it.status),
///         Err(other) => return Err(other),
///     }
/// }
/// # Ok::<(), PoolError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PoolError {
    /// The task panicked. Its worker goes on.
    Panicked(Panicked),
    /// The worker ended while it ran the task. No other task is affected.
    WorkerDied(WorkerDied),
    /// The task took longer than the pool allows; its worker was killed. No other task is affected.
    TimedOut(TimedOut),
    /// The task was cancelled before it was answered.
    Cancelled,
    /// The argument cannot be encoded; the task was not sent.
    Argument {
        /// The task's index in its call.
        task: u64,
        /// Why.
        error: EncodeError,
    },
    /// The worker could not decode the argument; the function was not called.
    Unreadable {
        /// The task's index in its call.
        task: u64,
        /// What the worker says of it.
        reason: String,
    },
    /// The task has run, but its result cannot be encoded, or there was no room for it in shared memory.
    Unsendable {
        /// The task's index in its call.
        task: u64,
        /// What the worker says of it.
        reason: String,
    },
    /// The result has arrived, but is no value of its type.
    Undecodable {
        /// The task's index in its call.
        task: u64,
        /// Why; gives the bytes back.
        error: DecodeError,
    },
    /// The result has arrived damaged: a process has written where it had no business.
    Damaged {
        /// The task's index in its call.
        task: u64,
    },
    /// There was no room in shared memory for the task.
    OutOfMemory(AllocError),
    /// The items had not ended when they had taken half of the memory that was free; no task was sent. If there
    /// is no end of them, use [`Pool::imap`](super::Pool::imap); if there is, collect them before.
    TooMany {
        /// How many items there were by then.
        items: u64,
        /// Bytes of memory taken meanwhile.
        memory: u64,
    },
    /// As many tasks wait as the pool takes; see [`Builder::queue`](super::Builder::queue).
    Full,
    /// The pool takes no more tasks: it was closed.
    Closed,
    /// The pool was terminated, or dropped, before the task was done.
    Terminated,
    /// The pool belongs to the process that made it, and this is a child of it.
    OtherProcess,
    /// The workers do not know the function: two of one name, or the closure of another pool.
    UnknownFunction(String),
    /// Only forked workers know closures.
    Closures(StartMethod),
    /// The kernel refuses another worker process, and there is none left.
    NoWorkers(Arc<io::Error>),
    /// The initializer panicked; no worker can begin.
    Initializer(Box<Panic>),
    /// Workers end as soon as they start, one after another.
    WorkersKeepDying(WorkerDied),
}

/// A task that panicked.
///
/// ```
/// # use phalanx::pool::{Pool, PoolError};
/// let (pool, fail) = Pool::fork(1, |()| -> u64 { panic!("nothing to do") })?;
/// let Err(PoolError::Panicked(panicked)) = pool.submit(fail, ())?.wait() else { panic!() };
/// assert_eq!(panicked.panic.message(), "nothing to do");
/// assert!(panicked.panic.location().is_some());
/// # Ok::<(), PoolError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    /// The task's index in its call.
    pub task: u64,
    /// The function that was called.
    pub function: &'static str,
    /// The process id of its worker.
    pub pid: u32,
    /// What the panic said, and where.
    pub panic: Box<Panic>,
}

/// A worker process that ended in the middle of a task.
///
/// ```
/// # use phalanx::pool::{Pool, PoolError};
/// use phalanx::process::ExitStatus;
/// let (pool, leave) = Pool::fork(1, |code: i32| -> u64 { std::process::exit(code) })?;
/// let Err(PoolError::WorkerDied(died)) = pool.submit(leave, 3)?.wait() else { panic!() };
/// assert_eq!(died.status, ExitStatus::Code(3));
/// # Ok::<(), PoolError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerDied {
    /// The index, in its call, of the task that it was running; `None` if it was idle.
    pub task: Option<u64>,
    /// The function that was called.
    pub function: &'static str,
    /// The worker's number.
    pub worker: usize,
    /// The worker's process id.
    pub pid: u32,
    /// How it ended.
    pub status: ExitStatus,
    /// What is known of its memory.
    pub memory: Footprint,
}

/// A task that took too long.
///
/// ```
/// # use phalanx::pool::{Pool, PoolError};
/// use std::time::Duration;
/// let limit = Duration::from_millis(50);
/// let mut builder = Pool::builder().workers(1).task_timeout(limit);
/// let stuck = builder.closure(|()| loop { std::thread::sleep(Duration::from_secs(1)) });
/// let pool = builder.start()?;
/// let stuck: Result<(), _> = pool.submit(stuck, ())?.wait();
/// assert!(matches!(stuck, Err(PoolError::TimedOut(it)) if it.limit == limit));
/// # Ok::<(), PoolError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedOut {
    /// The task's index in its call.
    pub task: u64,
    /// The function that was called.
    pub function: &'static str,
    /// The process id of its worker, which was killed.
    pub pid: u32,
    /// How long a task may take.
    pub limit: Duration,
}

impl PoolError {
    /// The index, in its call, of the task that failed, where one task is to blame.
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// let (pool, half) = Pool::fork(2, |x: u64| if x % 2 == 0 { x / 2 } else { panic!("odd") })?;
    /// let error = pool.map(half, [2, 4, 5]).unwrap_err();
    /// assert_eq!(error.task(), Some(2)); // that of the 5
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    #[must_use]
    pub fn task(&self) -> Option<u64> {
        match self {
            Self::Panicked(panicked) => Some(panicked.task),
            Self::WorkerDied(died) => died.task,
            Self::TimedOut(late) => Some(late.task),
            Self::Argument { task, .. }
            | Self::Unreadable { task, .. }
            | Self::Unsendable { task, .. }
            | Self::Undecodable { task, .. }
            | Self::Damaged { task } => Some(*task),
            _ => None,
        }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panicked) => panicked.fmt(f),
            Self::WorkerDied(died) => write!(f, "{died}; no other task is affected"),
            Self::TimedOut(late) => late.fmt(f),
            Self::Cancelled => f.write_str("the task was cancelled before it was done"),
            Self::Argument { task, error } => write!(f, "task {task} cannot be sent: {error}"),
            Self::Unreadable { task, reason } => {
                write!(f, "a worker cannot read the argument of task {task}: {reason}")
            }
            Self::Unsendable { task, reason } => {
                write!(f, "the result of task {task} cannot be sent back: {reason}")
            }
            Self::Undecodable { task, error } => {
                write!(f, "the result of task {task} cannot be read: {error}")
            }
            Self::Damaged { task } => write!(
                f,
                "the result of task {task} was damaged by another process before it was received"
            ),
            Self::OutOfMemory(e) => e.fmt(f),
            Self::TooMany { items, memory } => write!(
                f,
                "cannot send all items: {items} had not been the last, while {} of memory were taken, half of \
                 what was free; if there is no end of them, use imap, and if there is, collect them before",
                Size(*memory)
            ),
            Self::Full => f.write_str(
                "the pool has as many tasks waiting as it takes: wait for some, use `submit`, which \
                 waits for room, or make the pool with a longer queue",
            ),
            Self::Closed => f.write_str("the pool was closed: it takes no more tasks"),
            Self::Terminated => f.write_str("the pool was terminated before the task was done"),
            Self::OtherProcess => f.write_str(
                "the pool belongs to the parent process: make a pool of its own in the child",
            ),
            Self::UnknownFunction(why) => write!(f, "the workers do not know the function: {why}"),
            Self::Closures(method) => write!(
                f,
                "workers that start by {method} know no closures: start them by fork, or make the \
                 closures functions with `#[phalanx::task]`"
            ),
            Self::NoWorkers(e) => write!(f, "no worker process can be started: {e}"),
            Self::Initializer(panic) => {
                write!(f, "no worker can begin, because the initializer panicked: {panic}")
            }
            Self::WorkersKeepDying(died) => write!(
                f,
                "workers end before they have done anything, one after another; the last: {died}"
            ),
        }
    }
}

impl std::error::Error for PoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::OutOfMemory(e) => Some(e),
            Self::NoWorkers(e) => Some(e.as_ref()),
            Self::Argument { error, .. } => Some(error),
            Self::Undecodable { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<AllocError> for PoolError {
    fn from(error: AllocError) -> Self {
        Self::OutOfMemory(error)
    }
}

/// With `{:#}` the backtrace too.
impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, function, pid, panic } = self;
        write!(f, "task {task} of {function} panicked in worker process {pid}: ")?;
        panic.fmt(f)
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, function, pid, limit } = self;
        write!(
            f,
            "task {task} of {function} took longer than {limit:?}, so its worker (pid {pid}) was \
             killed; no other task is affected"
        )
    }
}

impl fmt::Display for WorkerDied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} (pid {}) {}", self.worker, self.pid, How(self.status))?;
        if let Some(task) = self.task {
            write!(f, " while it ran task {task} of {}", self.function)?;
        }
        self.memory.fmt(f)
    }
}

/// A task was not sent: gives its argument back.
///
/// ```
/// # use phalanx::pool::Pool;
/// let (pool, length) = Pool::fork(1, |text: String| text.len())?;
/// pool.terminate();
/// let error = pool.submit(length, "precious".to_owned()).unwrap_err();
/// println!("{}", error.error());
/// assert_eq!(error.into_argument(), "precious");
/// # Ok::<(), phalanx::pool::PoolError>(())
/// ```
pub struct SubmitError<A> {
    argument: A,
    error: PoolError,
}

impl<A> SubmitError<A> {
    pub(super) const fn new(argument: A, error: PoolError) -> Self {
        Self { argument, error }
    }

    /// Whether there was only no room for the task.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let gate = Event::new()?;
    /// let mut builder = Pool::builder().workers(1).queue(1);
    /// let opened = gate.clone();
    /// let wait = builder.closure(move |()| opened.wait());
    /// let pool = builder.start()?;
    /// let task = pool.submit(wait, ())?;
    /// match pool.try_submit(wait, ()) {
    ///     Err(error) => assert!(error.is_full(), "one may try again later"),
    ///     Ok(_) => panic!("there is room for one"),
    /// }
    /// gate.set();
    /// task.wait()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self.error, PoolError::Full)
    }

    /// Why it was not sent.
    ///
    /// ```
    /// # use phalanx::pool::{Pool, PoolError};
    /// let (pool, square) = Pool::fork(1, |x: u64| x * x)?;
    /// pool.close();
    /// assert!(matches!(pool.submit(square, 7).unwrap_err().error(), PoolError::Closed));
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    #[must_use]
    pub const fn error(&self) -> &PoolError {
        &self.error
    }

    /// The task's argument.
    ///
    /// ```
    /// # use phalanx::pool::Pool;
    /// let (pool, length) = Pool::fork(1, |text: String| text.len())?;
    /// pool.close();
    /// let text = pool.submit(length, "precious".to_owned()).unwrap_err().into_argument();
    /// assert_eq!(text, "precious");
    /// # Ok::<(), phalanx::pool::PoolError>(())
    /// ```
    #[must_use]
    pub fn into_argument(self) -> A {
        self.argument
    }
}

impl<A> fmt::Debug for SubmitError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SubmitError").field(&self.error).finish()
    }
}

impl<A> fmt::Display for SubmitError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<A> std::error::Error for SubmitError<A> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl<A> From<SubmitError<A>> for PoolError {
    fn from(error: SubmitError<A>) -> Self {
        error.error
    }
}
