//! One wait for any of several things: queues, pipes, channels, and descriptors such as a process's
//! sentinel.
//!
//! ```
//! use std::os::fd::AsFd;
//! use phalanx::prelude::*;
//! use phalanx::wait::{Source, wait_any};
//!
//! let (results, messages) = (Queue::<u64>::unbounded()?, channel::<String>()?);
//! let worker = Process::fork(|| results.put(42).is_ok())?;
//! let all = [Source::from(&results), (&messages.1).into(), worker.as_fd().into()];
//! let ready = wait_any(&all, &Patience::forever())?;
//! assert!(ready[0] || ready[2], "a result, or the end of the worker");
//! assert!(!ready[1]);
//! assert!(worker.join()?);
//! # Ok::<(), phalanx::Error>(())
//! ```

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use phalanx_os::futex::{self, WAIT_ANY_MAX};
use phalanx_os::poll::{self, Interest};
use phalanx_shm::patience::{GaveUp, Patience, Slices};
use phalanx_shm::spin::Spin;

use crate::channel::Receiver;
use crate::pipe::{End, PipeEnd};
use crate::queue::{Queue, RawQueue};

static SPIN: Spin = Spin::new();

/// A descriptor of this process that is readable while something is ready; open as long as this lives.
///
/// ```
/// use std::os::fd::AsFd;
/// use phalanx::prelude::*;
/// use phalanx::wait::Doorbell;
///
/// let queue = Queue::<u64>::unbounded()?;
/// let bell: Doorbell = queue.doorbell()?;
/// queue.put(1)?;
/// phalanx::process::wait_readable(bell.as_fd(), Patience::forever()).expect("it rings");
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Doorbell(Box<dyn AsFd + Send + Sync>);

impl Doorbell {
    pub(crate) fn new(fd: impl AsFd + Send + Sync + 'static) -> Self {
        Self(Box::new(fd))
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Doorbell").field(&self.as_fd()).finish()
    }
}

/// Something to wait for.
///
/// ```
/// use phalanx::prelude::*;
/// use phalanx::wait::{Source, wait_any};
///
/// let (queue, (one, other)) = (Queue::<u64>::unbounded()?, pipe::<u64>()?);
/// other.send(7)?;
/// let ready = wait_any(&[Source::from(&queue), Source::from(&one)], &Patience::forever())?;
/// assert_eq!(ready, [false, true]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A message in a pipe, or its end of file.
    Pipe(&'a End),
    /// A message in a queue.
    Queue(&'a RawQueue),
    /// A descriptor that becomes readable.
    Fd(BorrowedFd<'a>),
}

impl<'a, T, C> From<&'a Queue<T, C>> for Source<'a> {
    fn from(queue: &'a Queue<T, C>) -> Self {
        Self::Queue(queue.raw())
    }
}

impl<'a, T, C> From<&'a Receiver<T, C>> for Source<'a> {
    fn from(receiver: &'a Receiver<T, C>) -> Self {
        Self::Pipe(receiver.raw())
    }
}

impl<'a, S, R, C> From<&'a PipeEnd<S, R, C>> for Source<'a> {
    fn from(end: &'a PipeEnd<S, R, C>) -> Self {
        Self::Pipe(end.raw())
    }
}

impl<'a> From<&'a RawQueue> for Source<'a> {
    fn from(queue: &'a RawQueue) -> Self {
        Self::Queue(queue)
    }
}

impl<'a> From<&'a End> for Source<'a> {
    fn from(end: &'a End) -> Self {
        Self::Pipe(end)
    }
}

impl<'a> From<BorrowedFd<'a>> for Source<'a> {
    fn from(fd: BorrowedFd<'a>) -> Self {
        Self::Fd(fd)
    }
}

/// Why a wait ended with nothing ready.
///
/// ```
/// use std::time::Duration;
/// use phalanx::prelude::*;
/// use phalanx::wait::{Source, WaitError, wait_any};
///
/// let queue = Queue::<u64>::unbounded()?;
/// let patience = Patience::timeout(Some(Duration::from_millis(1)));
/// let nothing = wait_any(&[Source::from(&queue)], &patience);
/// assert!(matches!(nothing, Err(WaitError::GaveUp(_))));
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum WaitError {
    /// The deadline passed, or the caller gave up.
    GaveUp(GaveUp),
    /// A descriptor cannot be waited for.
    Io(io::Error),
}

impl std::fmt::Display for WaitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GaveUp(why) => write!(f, "cannot wait any longer: {why}"),
            Self::Io(e) => write!(f, "cannot wait for a descriptor: {e}"),
        }
    }
}

impl std::error::Error for WaitError {}

impl From<io::Error> for WaitError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// Waits until at least one of the sources is ready; tells of each whether it is.
///
/// Queues and pipes with messages are found without a system call; a wait for queues alone sleeps on
/// all of them at once.
///
/// # Errors
/// [`WaitError`].
///
/// ```
/// use phalanx::prelude::*;
/// use phalanx::wait::{Source, wait_any};
///
/// let queues = [Queue::<u64>::unbounded()?, Queue::unbounded()?];
/// queues[1].put(7)?;
/// let ready = wait_any(&queues.each_ref().map(Source::from), &Patience::forever())?;
/// assert_eq!(ready, [false, true]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait_any(sources: &[Source<'_>], patience: &Patience<'_>) -> Result<Vec<bool>, WaitError> {
    let mut slices = Slices::for_users();
    loop {
        let ready = look(sources)?;
        if ready.contains(&true) {
            return Ok(ready);
        }
        if !patience.is_none() {
            let in_memory = || sources.iter().any(has_message).then_some(());
            if SPIN.until(in_memory).is_some() {
                continue;
            }
            sleep(sources, patience, &mut slices)?;
            let ready = look(sources)?;
            if ready.contains(&true) {
                return Ok(ready);
            }
        }
        patience.check().map_err(WaitError::GaveUp)?;
    }
}

fn has_message(source: &Source<'_>) -> bool {
    match source {
        Source::Pipe(end) => end.has_message(),
        Source::Queue(queue) => !queue.is_empty(),
        Source::Fd(_) => false,
    }
}

/// How the kernel is asked for a source; it does not know of queues.
fn interest<'a>(source: &Source<'a>) -> Option<Interest<'a>> {
    match *source {
        Source::Pipe(end) => Some(Interest::read(end.socket())),
        Source::Queue(_) => None,
        Source::Fd(fd) => Some(Interest::read(fd)),
    }
}

/// What is ready now.
fn look(sources: &[Source<'_>]) -> io::Result<Vec<bool>> {
    let mut ready: Vec<bool> = sources.iter().map(has_message).collect();
    let mut list: Vec<_> = sources.iter().filter_map(interest).collect();
    if list.is_empty() {
        return Ok(ready);
    }
    poll::wait(&mut list, Patience::none().deadline())?;
    let mut polled = list.iter();
    for (source, ready) in sources.iter().zip(&mut ready) {
        match source {
            Source::Queue(_) => {}
            // A pipe's socket may ring for what somebody else has received meanwhile.
            Source::Pipe(end) => {
                let state = polled.next();
                *ready |= end.has_message() || state.is_some_and(Interest::is_hung_up);
                if !*ready && state.is_some_and(Interest::is_ready) {
                    end.hush();
                }
            }
            Source::Fd(_) => *ready |= polled.next().is_some_and(Interest::is_ready),
        }
    }
    Ok(ready)
}

/// Sleeps until something may have become ready, or the end of a slice.
fn sleep(
    sources: &[Source<'_>],
    patience: &Patience<'_>,
    slices: &mut Slices,
) -> Result<(), WaitError> {
    let until = slices.next_deadline(patience);
    let queues: Option<Vec<&RawQueue>> = sources
        .iter()
        .map(|source| if let Source::Queue(queue) = source { Some(*queue) } else { None })
        .collect();
    if let Some(queues) = queues
        && !queues.is_empty()
        && queues.len() <= WAIT_ANY_MAX
    {
        let tickets: Vec<_> =
            queues.iter().map(|q| (q.arrivals(), q.arrivals().register())).collect();
        if sources.iter().any(has_message) {
            return Ok(());
        }
        let words: Vec<_> =
            tickets.iter().map(|(events, ticket)| events.as_futex(*ticket)).collect();
        let slept = futex::wait_any(&words, Some(until));
        // We take nothing yet: wake-ups go on to those who wait in a take.
        for queue in queues.iter().filter(|queue| !queue.is_empty()) {
            queue.arrivals().notify_one();
        }
        match slept {
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {}
            slept => return slept.map(drop).map_err(WaitError::Io),
        }
    }
    let mut doorbells = Vec::new();
    for source in sources {
        if let Source::Queue(queue) = source {
            doorbells.push(queue.doorbell()?);
        }
    }
    let mut bells = doorbells.iter();
    let mut list = Vec::with_capacity(sources.len());
    for source in sources {
        list.push(match *source {
            Source::Pipe(end) => {
                if end.prepare_to_sleep() {
                    return Ok(());
                }
                Interest::read(end.socket())
            }
            Source::Queue(_) => match bells.next() {
                Some(bell) => Interest::read(bell.as_fd()),
                None => continue,
            },
            Source::Fd(fd) => Interest::read(fd),
        });
    }
    poll::wait(&mut list, Some(until))?;
    Ok(())
}
