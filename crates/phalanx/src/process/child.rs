//! A started process, from its first instruction to the collection of its exit status.
//!
//! ```text
//!             the process ends            its status is collected
//!   running -------------------> ended ------------------------------> exited(status)
//!              (pidfd readable)          (by us, or told by the zygote)
//! ```
//!
//! The sentinel is a pidfd, so a wait is a `poll`, a signal never reaches a later process of the
//! same pid, and anybody may watch it together with other descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_os::poll::{self, Readiness};
use phalanx_os::signal::{SIGKILL, SIGTERM};
use phalanx_os::wait::{Ended, ExitStatus};
use phalanx_os::{pidfd, wait};
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::SlotId;

use super::zygote::Connection;
use super::{Footprint, Reservation, table};
use crate::trace::event;

/// A child process of the calling process, or of the zygote that started it for us.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::process::{ExitStatus, fork};
///
/// let child = fork::run(|| loop { std::thread::sleep(std::time::Duration::from_secs(1)) })?;
/// assert_eq!(child.try_status()?, None);
/// child.terminate()?;
/// assert_eq!(child.wait(Patience::forever())?, ExitStatus::Signal(15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Child {
    pid: u32,
    pidfd: OwnedFd,
    slot: SlotId,
    collector: Collector,
    /// What it may have got from its parent of a peak of memory, and not used itself.
    inherited_peak: u64,
    /// We have sent it SIGKILL.
    was_killed: AtomicBool,
    /// In a box, since a handle to a process is given back in errors.
    end: Box<Mutex<Option<(ExitStatus, Footprint)>>>,
}

/// Who collects the exit status.
#[derive(Debug)]
enum Collector {
    /// The calling process is the parent.
    Parent,
    /// The zygote is the parent and tells us; the number is our name for the child.
    Zygote(Arc<Connection>, u64),
}

/// Why [`Child::wait`] returned without a status.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::process::{WaitError, fork};
///
/// let child = fork::run(|| loop { std::thread::sleep(std::time::Duration::from_secs(1)) })?;
/// assert!(matches!(child.wait(Patience::none()), Err(WaitError::GaveUp(_))));
/// child.kill()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum WaitError {
    /// The deadline passed, or the caller gave up.
    GaveUp(GaveUp),
    /// The kernel refused.
    Io(io::Error),
}

impl std::fmt::Display for WaitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GaveUp(why) => write!(f, "cannot wait any longer: {why}"),
            Self::Io(e) => write!(f, "cannot wait for a process or a descriptor: {e}"),
        }
    }
}

impl std::error::Error for WaitError {}

/// How long the zygote may take to tell the status of a process that is known to have ended.
const TELLING: Duration = Duration::from_secs(2);

impl Child {
    /// A child that was just started, for which a place in the process table had been reserved.
    pub(super) fn started(pid: u32, reservation: Reservation) -> io::Result<Self> {
        let child = Self::own(pid, reservation.hand_over()?)?;
        // The kernel counts for a program what the process had before it was executed.
        Ok(Self { inherited_peak: wait::own_peak_memory(), ..child })
    }

    /// A child that was just forked, at the place that the fork found for it.
    pub(super) fn forked(pid: u32, slot: Option<SlotId>) -> io::Result<Self> {
        match slot {
            Some(slot) => Self::own(pid, slot),
            None => {
                kill_and_reap(pid);
                Err(io::Error::other("there is no place for another process in the process table"))
            }
        }
    }

    /// A child whose descriptor cannot be had is killed, since nobody could wait for it.
    fn own(pid: u32, slot: SlotId) -> io::Result<Self> {
        table::name(slot, pid);
        let pidfd = pidfd::open(pid).inspect_err(|_| {
            kill_and_reap(pid);
            table::abandon(slot);
        })?;
        Ok(Self::new(pid, pidfd, slot, Collector::Parent))
    }

    /// A child that the zygote behind `connection` started for us.
    pub(super) fn of_zygote(
        pid: u32,
        pidfd: OwnedFd,
        slot: SlotId,
        connection: Arc<Connection>,
        id: u64,
    ) -> Self {
        Self::new(pid, pidfd, slot, Collector::Zygote(connection, id))
    }

    fn new(pid: u32, pidfd: OwnedFd, slot: SlotId, collector: Collector) -> Self {
        phalanx_os::oom::begin_watching();
        Self {
            pid,
            pidfd,
            slot,
            collector,
            inherited_peak: 0,
            was_killed: AtomicBool::new(false),
            end: Box::default(),
        }
    }

    /// The process id.
    ///
    /// ```
    /// # use phalanx::Patience;
    /// let child = phalanx::process::fork::run(|| 0)?;
    /// assert_ne!(child.pid(), std::process::id());
    /// # child.wait(Patience::forever())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The process's place in the process table; somebody else's once it has exited.
    #[doc(hidden)]
    #[must_use]
    pub const fn slot(&self) -> SlotId {
        self.slot
    }

    /// A descriptor that is readable once the process has ended.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::process::{fork, wait_readable};
    ///
    /// let child = fork::run(|| 0)?;
    /// wait_readable(child.sentinel(), Patience::forever())?; // or in an event loop, with others
    /// assert!(child.try_status()?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sentinel(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The exit status if the process has ended; collecting it ends its life as a zombie and
    /// repairs what it left in shared memory.
    ///
    /// # Errors
    /// The kernel's refusal.
    ///
    /// ```
    /// use phalanx::process::{ExitStatus, fork};
    ///
    /// let child = fork::run(|| 7)?;
    /// let status = loop {
    ///     match child.try_status()? {
    ///         Some(status) => break status,
    ///         None => std::thread::yield_now(), // or do something useful
    ///     }
    /// };
    /// assert_eq!(status, ExitStatus::Code(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_status(&self) -> io::Result<Option<ExitStatus>> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.is_none() {
            let ended = match &self.collector {
                Collector::Parent => wait::reap(&self.pidfd)?,
                Collector::Zygote(connection, id) => {
                    if !pidfd::has_ended(&self.pidfd) {
                        return Ok(None);
                    }
                    connection.status_of(*id, Deadline::after(TELLING))?
                }
            };
            if let Some(Ended { status, peak_memory }) = ended {
                event!(DEBUG, "process ended", pid = self.pid, status = status);
                table::ended(self.slot, status);
                let peak = peak_memory.filter(|&peak| peak > self.inherited_peak);
                let was_ours = self.was_killed.load(Ordering::Relaxed);
                *end = Some((status, Footprint::of(status, peak, was_ours)));
            }
        }
        Ok(end.map(|(status, _)| status))
    }

    /// What is known of the memory of the process, once its end has been learnt of by
    /// [`Child::try_status`] or [`Child::wait`]; nothing before. Its peak is not known if somebody else has
    /// collected its status, or if it is a fresh program that used less than its parent did.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::process::{Shortage, fork};
    ///
    /// let child = fork::run(|| i32::from(vec![1u8; 8 << 20].contains(&2)))?;
    /// child.wait(Patience::forever())?;
    /// assert!(child.footprint().peak.is_some_and(|bytes| bytes > 8 << 20));
    /// assert_eq!(child.footprint().shortage, Shortage::Unlikely);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.map_or_else(Footprint::default, |(_, footprint)| footprint)
    }

    /// Waits for the process to end and returns its exit status.
    ///
    /// # Errors
    /// [`WaitError::GaveUp`] when the patience is at its end, [`WaitError::Io`] when the kernel
    /// refuses.
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::Patience;
    /// use phalanx::process::{ExitStatus, fork};
    ///
    /// let child = fork::run(|| 7)?;
    /// let a_minute = Patience::timeout(Some(Duration::from_secs(60)));
    /// assert_eq!(child.wait(a_minute)?, ExitStatus::Code(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait(&self, patience: Patience<'_>) -> Result<ExitStatus, WaitError> {
        loop {
            if let Some(status) = self.try_status().map_err(WaitError::Io)? {
                return Ok(status);
            }
            wait_readable(self.sentinel(), patience)?;
        }
    }

    /// Sends a signal to the process; does nothing if it has ended.
    ///
    /// # Errors
    /// `PermissionDenied` when it runs as another user by now, `InvalidInput` for a number that
    /// is no signal.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::process::{ExitStatus, fork};
    ///
    /// let child = fork::run(|| loop { std::thread::park() })?;
    /// child.send_signal(1)?; // SIGHUP
    /// assert_eq!(child.wait(Patience::forever())?, ExitStatus::Signal(1));
    /// child.send_signal(1)?; // it has ended, which is no error
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        if signal == SIGKILL {
            self.was_killed.store(true, Ordering::Relaxed);
        }
        match pidfd::send_signal(&self.pidfd, signal) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Asks the process to end: `SIGTERM`.
    ///
    /// # Errors
    /// As for [`Child::send_signal`].
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::process::{ExitStatus, fork};
    ///
    /// let child = fork::run(|| loop { std::thread::park() })?;
    /// child.terminate()?;
    /// assert_eq!(child.wait(Patience::forever())?, ExitStatus::Signal(15));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(SIGTERM)
    }

    /// Ends the process: `SIGKILL`.
    ///
    /// # Errors
    /// As for [`Child::send_signal`].
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::process::{ExitStatus, fork};
    ///
    /// let child = fork::run(|| loop { std::thread::park() })?;
    /// child.kill()?;
    /// assert_eq!(child.wait(Patience::forever())?, ExitStatus::Signal(9));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill(&self) -> io::Result<()> {
        self.send_signal(SIGKILL)
    }
}

/// Waits until a descriptor is readable, for instance somebody's sentinel.
///
/// # Errors
/// [`WaitError::GaveUp`] when the patience is at its end, [`WaitError::Io`] when the kernel
/// refuses.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::process::{fork, wait_readable};
///
/// let child = fork::run(|| 0)?;
/// wait_readable(child.sentinel(), Patience::forever())?;
/// assert!(child.try_status()?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait_readable(fd: BorrowedFd<'_>, patience: Patience<'_>) -> Result<(), WaitError> {
    loop {
        match poll::readable(fd, patience.deadline()).map_err(WaitError::Io)? {
            Readiness::Ready => return Ok(()),
            Readiness::TimedOut | Readiness::Interrupted => {
                patience.check().map_err(WaitError::GaveUp)?;
            }
        }
    }
}

/// Ends a child that nobody could watch.
pub(super) fn kill_and_reap(pid: u32) {
    phalanx_os::proc::kill(pid, SIGKILL);
    let _ = wait::reap_blocking(pid);
}
