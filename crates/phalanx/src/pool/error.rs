//! What can go wrong with a pool or with one of its tasks.

use std::fmt;
use std::io;
use std::sync::Arc;

use phalanx_os::wait::ExitStatus;
use phalanx_shm::arena::AllocError;

/// Why a task has no result, or why a pool did not do what it was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PoolError {
    /// The task panicked. Its worker goes on.
    Panicked(Panicked),
    /// The worker ended while it ran the task. No other task is affected.
    WorkerDied(WorkerDied),
    /// The task's argument or result was not what its type says: its
    /// [`Payload`](super::Payload) reads something else than it writes.
    Undecodable {
        /// The task's index in its call.
        task: u64,
    },
    /// There was no room in shared memory for the task or its result.
    OutOfMemory(AllocError),
    /// The worker had no room in shared memory for the result.
    ResultTooLarge {
        /// The task's index in its call.
        task: u64,
        /// What the worker says of it.
        message: String,
    },
    /// The pool takes no more tasks: it was closed.
    Closed,
    /// The pool was terminated, or dropped, before the task was done.
    Terminated,
    /// The pool belongs to the process that made it, and this is a child of it.
    OtherProcess,
    /// The kernel refuses another worker process, and there is none left.
    NoWorkers(Arc<io::Error>),
    /// Workers end as soon as they start, one after another.
    WorkersKeepDying(WorkerDied),
}

/// A task that panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    /// The task's index in its call.
    pub task: u64,
    /// The function that was called.
    pub function: &'static str,
    /// The process id of its worker.
    pub pid: u32,
    /// What the panic said.
    pub message: String,
}

/// A worker process that ended in the middle of a task.
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
}

impl PoolError {
    /// The index, in its call, of the task that failed, where one task is to blame.
    #[must_use]
    pub fn task(&self) -> Option<u64> {
        match self {
            Self::Panicked(panicked) => Some(panicked.task),
            Self::WorkerDied(died) => died.task,
            Self::Undecodable { task } | Self::ResultTooLarge { task, .. } => Some(*task),
            _ => None,
        }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panicked) => panicked.fmt(f),
            Self::WorkerDied(died) => write!(f, "{died}; no other task is affected"),
            Self::Undecodable { task } => write!(
                f,
                "the bytes of task {task} are no value of its type: does its implementation of \
                 `Payload` read in the order in which it writes?"
            ),
            Self::OutOfMemory(e) => e.fmt(f),
            Self::ResultTooLarge { task, message } => {
                write!(f, "the result of task {task} cannot be sent back: {message}")
            }
            Self::Closed => f.write_str("the pool was closed: it takes no more tasks"),
            Self::Terminated => f.write_str("the pool was terminated before the task was done"),
            Self::OtherProcess => f.write_str(
                "the pool belongs to the parent process: make a pool of its own in the child",
            ),
            Self::NoWorkers(e) => write!(f, "no worker process can be started: {e}"),
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
            _ => None,
        }
    }
}

impl From<AllocError> for PoolError {
    fn from(error: AllocError) -> Self {
        Self::OutOfMemory(error)
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, function, pid, message } = self;
        write!(f, "task {task} of {function} panicked in worker process {pid}: {message}")
    }
}

impl fmt::Display for WorkerDied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} (pid {}) ", self.worker, self.pid)?;
        match self.status {
            ExitStatus::Code(code) => write!(f, "left with exit code {code}")?,
            ExitStatus::Signal(signal) => write!(f, "was ended by signal {signal}")?,
            ExitStatus::Unknown => f.write_str("ended, somebody else knows how,")?,
        }
        if let Some(task) = self.task {
            write!(f, " while it ran task {task} of {}", self.function)?;
        }
        if self.status == ExitStatus::Signal(9) {
            f.write_str(
                " (if nobody killed it, the system may have for want of memory: use fewer workers)",
            )?;
        }
        Ok(())
    }
}
