//! How an executor comes to its end, and what becomes of the calls that wait then.

use std::sync::Weak;
use std::sync::atomic::Ordering;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::super::death::was_terminated;
use super::super::input::Drive;
use super::super::owner::locked;
use super::engine::{Engine, Stage, cancelled};

impl Engine {
    /// Whether the pool was terminated whose workers they are.
    pub(super) fn is_terminated(&self) -> bool {
        self.owner.terminated.load(Ordering::SeqCst)
    }

    /// No more calls of a pool's. What waits is done, and what streams have not read.
    pub(in super::super) fn close_of_pool(&self, py: Python<'_>) {
        let feeds = std::mem::take(&mut *locked(&self.feeds));
        for feed in feeds.iter().filter_map(Weak::upgrade) {
            feed.read_all(py);
        }
        self.end_of_pool();
    }

    /// No more calls of a pool's. Its thread is told.
    pub(in super::super) fn end_of_pool(&self) {
        {
            let mut stage = locked(&self.stage);
            *stage = (*stage).max(Stage::Closing);
            self.bell.notify_all();
        }
        self.owner.crew.pass_on();
    }

    /// Whether no call waits, is on its way or about to be.
    pub(super) fn has_settled(&self) -> bool {
        self.moving.load(Ordering::SeqCst) == 0
            && locked(&self.line).len() == 0
            && self.owner.works.load(Ordering::SeqCst) == 0
    }

    /// No more calls. What waits is done, or cancelled if that is wanted.
    pub(super) fn close(&self, py: Python<'_>, cancels: bool) {
        if !self.owner.is_mine() {
            return;
        }
        let kept = std::mem::take(&mut *locked(&self.kept));
        for feed in kept {
            if cancels { feed.abandon(py) } else { feed.read_all(py) }
        }
        {
            let mut stage = locked(&self.stage);
            *stage = (*stage).max(Stage::Closing);
        }
        if cancels {
            let waiting = locked(&self.line).clear();
            for work in waiting {
                self.forget(&work);
                work.cancel(py);
            }
        }
        let streams: Vec<_> = locked(&self.owner.streams).clone();
        for stream in streams {
            if cancels {
                stream.cut(py, &self.owner, &cancelled(py));
            } else if matches!(stream.drive, Drive::Fetching) {
                let why = "the executor was shut down before all calls of the map were sent";
                stream.cut(py, &self.owner, &PyRuntimeError::new_err(why));
            } else {
                stream.is_closing.store(true, Ordering::Relaxed);
            }
        }
        let is_unused = !self.has_hired();
        if is_unused && self.moving.load(Ordering::SeqCst) == 0 {
            *locked(&self.stage) = Stage::Over;
        }
        {
            let _stage = locked(&self.stage);
            self.bell.notify_all();
        }
        self.owner.crew.pass_on();
    }

    /// Fails the calls that wait, with the error that every call gets from now on.
    pub(super) fn fail_waiting(&self, py: Python<'_>) {
        let waiting = locked(&self.line).clear();
        for work in waiting {
            self.forget(&work);
            let error = match self.owner.check_broken(py) {
                Err(error) => error,
                Ok(()) if self.is_terminated() => was_terminated(),
                Ok(()) => cancelled(py),
            };
            work.fail(py, error);
        }
    }
}
