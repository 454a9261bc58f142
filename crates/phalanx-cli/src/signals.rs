//! The signals that end a run.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use phalanx::jobs::Order;
use phalanx_os::signal::{SIGHUP, SIGINT, SIGTERM, SignalSet, is_ignored};
use phalanx_os::signalfd::SignalFd;

/// Reads the signals that end a run: the first asks the jobs to end, the next kills them.
pub(crate) struct Signals {
    fd: SignalFd,
    first: Option<i32>,
}

impl Signals {
    /// # Errors
    /// When the kernel refuses the descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        // What this process was told to ignore (`nohup`) does not end it.
        let heard: Vec<_> =
            [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal)).collect();
        Ok(Self { fd: SignalFd::new(&SignalSet::of(&heard))?, first: None })
    }

    /// What those that have come since the last call mean.
    pub(crate) fn order(&mut self) -> Order {
        let mut order = Order::GoOn;
        while let Some(signal) = self.fd.take() {
            order = if self.first.is_some() { Order::Kill } else { Order::Now };
            self.first.get_or_insert(signal);
        }
        order
    }

    /// The first that has come.
    pub(crate) fn first(&self) -> Option<i32> {
        self.first
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
