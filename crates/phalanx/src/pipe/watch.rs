//! A descriptor for `select` that stands for the receiving end of a pipe in this process.
//!
//! The socket is readable when the other end is closed or has rung, but a receiver cannot make its own
//! socket readable for messages that came before anybody asked for a descriptor. So the descriptor is
//! an epoll set of the socket and of an eventfd that the receiver rings itself.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phalanx_os::eventfd::Doorbell;
use phalanx_os::per_process::PerProcess;
use phalanx_os::poll;

type Watches = Mutex<HashMap<u64, Arc<Watch>>>;

/// All watches of the process; a forked child begins with none.
static WATCHES: PerProcess<Watches> = PerProcess::new();
static NEXT: AtomicU64 = AtomicU64::new(1);

fn watches() -> MutexGuard<'static, HashMap<u64, Arc<Watch>>> {
    WATCHES.get_or_make(Watches::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// An end's place for a watch.
pub(super) struct Place {
    id: u64,
    /// The process in which there is a watch, or 0.
    watched_in: AtomicU32,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), watched_in: AtomicU32::new(0) }
    }

    /// The watch, if this process has made one.
    pub(super) fn get(&self) -> Option<Arc<Watch>> {
        match self.watched_in.load(Ordering::Acquire) {
            0 => None,
            process if process == std::process::id() => watches().get(&self.id).cloned(),
            _ => {
                self.watched_in.store(0, Ordering::Release);
                None
            }
        }
    }

    /// The watch, made if there is none yet.
    pub(super) fn get_or_make(&self, socket: BorrowedFd<'_>) -> io::Result<Arc<Watch>> {
        if let Some(watch) = self.get() {
            return Ok(watch);
        }
        let new = Arc::new(Watch::new(socket)?);
        let watch = Arc::clone(watches().entry(self.id).or_insert(new));
        self.watched_in.store(std::process::id(), Ordering::Release);
        Ok(watch)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.get().is_some() {
            watches().remove(&self.id);
        }
    }
}

/// The descriptor and the bell inside it.
pub(super) struct Watch {
    set: OwnedFd,
    bell: Doorbell,
    ringing: AtomicBool,
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

impl Watch {
    fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let bell = Doorbell::new()?;
        let set = poll::set_of(&[socket, bell.as_fd()])?;
        Ok(Self { set, bell, ringing: AtomicBool::new(false) })
    }

    /// There are messages.
    pub(super) fn ring(&self) {
        if !self.ringing.swap(true, Ordering::SeqCst) {
            self.bell.ring();
        }
    }

    /// There were no messages a moment ago; the caller looks again.
    pub(super) fn silence(&self) {
        if self.ringing.swap(false, Ordering::SeqCst) {
            self.bell.silence();
        }
    }
}
