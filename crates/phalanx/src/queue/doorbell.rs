//! A queue's doorbell in this process: made when somebody first asks for a descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use phalanx_os::eventfd::Doorbell;
use phalanx_os::per_process::PerProcess;
use phalanx_shm::object::Shared;
use phalanx_shm::ring::Ring;

use super::RawQueue;
use super::bridge::Bridge;

static BRIDGE: PerProcess<Bridge> = PerProcess::new();
static NEXT: AtomicU64 = AtomicU64::new(1);

const QUIET: u32 = 0;
const RINGING: u32 = 1;

/// What the bridge watches: a ring and the descriptor that stands for it.
pub(super) struct Watched {
    pub(super) id: u64,
    pub(super) ring: Shared<Ring>,
    bell: Doorbell,
    state: AtomicU32,
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Watched {
    pub(super) fn is_ringing(&self) -> bool {
        self.state.load(Ordering::SeqCst) == RINGING
    }

    /// There is a message: the descriptor becomes readable.
    pub(super) fn ring_bell(&self) {
        self.state.store(RINGING, Ordering::SeqCst);
        self.bell.ring();
    }
}

/// A queue's place for a doorbell. A forked child does not have its parent's: it makes its own.
pub(super) struct Bell {
    id: u64,
    ring: Shared<Ring>,
    /// The process in which the queue is watched, or 0.
    watched_in: AtomicU32,
}

impl Bell {
    pub(super) fn new(ring: Shared<Ring>) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, ring, watched_in: AtomicU32::new(0) }
    }

    pub(super) fn watch(&self) -> io::Result<Arc<Watched>> {
        let bridge = BRIDGE.get_or_make(Bridge::default);
        if let Some(watched) = bridge.find(self.id) {
            return Ok(watched);
        }
        let bell = Doorbell::new()?;
        let watched =
            Watched { id: self.id, ring: self.ring.clone(), bell, state: AtomicU32::new(QUIET) };
        let watched = bridge.watch(Arc::new(watched))?;
        self.watched_in.store(std::process::id(), Ordering::Release);
        Ok(watched)
    }

    /// Whether the descriptor may be readable. Costs one load where nobody asked for one.
    #[inline]
    pub(super) fn is_ringing(&self) -> bool {
        self.watched_in.load(Ordering::Acquire) != 0
            && self.watched().is_some_and(|watched| watched.is_ringing())
    }

    /// The queue was seen empty: the descriptor becomes unreadable, and the bridge looks again.
    pub(super) fn silence(&self) {
        if self.watched_in.load(Ordering::Acquire) == 0 {
            return;
        }
        let Some(watched) = self.watched() else { return };
        if watched.state.swap(QUIET, Ordering::SeqCst) == RINGING {
            watched.bell.silence();
            // What came between is found by the bridge, which registers before it looks.
            if let Some(bridge) = BRIDGE.get() {
                bridge.look_again();
            }
        }
    }

    #[cold]
    fn watched(&self) -> Option<Arc<Watched>> {
        if self.watched_in.load(Ordering::Acquire) != std::process::id() {
            // Inherited from a parent, whose descriptor is the parent's business.
            self.watched_in.store(0, Ordering::Release);
            return None;
        }
        BRIDGE.get()?.find(self.id)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if self.watched().is_some()
            && let Some(bridge) = BRIDGE.get()
        {
            bridge.forget(self.id);
        }
    }
}

impl RawQueue {
    /// A descriptor of this process that is readable while there is something to take, for `select`
    /// and the like. It may be readable although somebody else has taken the last message, until
    /// this process looks at the queue; it is never unreadable for longer than a moment while there is
    /// a message. It belongs to the queue's handles in this process and is closed with the last.
    ///
    /// The first call starts a thread that watches the queues of this process that were asked for
    /// descriptors; it ends with the last of them.
    ///
    /// # Errors
    /// When the kernel refuses the descriptor or the thread.
    ///
    /// ```
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// let number = queue.fileno()?; // for what takes numbers, as C libraries do
    /// assert!(number > 2);
    /// assert_eq!(queue.clone().fileno()?, number, "one for all handles of this process");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fileno(&self) -> io::Result<RawFd> {
        Ok(self.bell.watch()?.as_fd().as_raw_fd())
    }

    /// The descriptor of [`RawQueue::fileno`], kept open as long as the result lives.
    ///
    /// # Errors
    /// As for [`RawQueue::fileno`].
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// use phalanx::Patience;
    /// use phalanx::message::Outgoing;
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// let bell = queue.doorbell()?;
    /// queue.try_put(&mut Some(Outgoing::Inline(b"hello")))?;
    /// phalanx::process::wait_readable(bell.as_fd(), Patience::forever())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn doorbell(&self) -> io::Result<impl AsFd + Send + Sync + use<>> {
        self.bell.watch()
    }
}
