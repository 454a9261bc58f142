//! Log records of workers, on their way to the handlers of the process that owns the pool.
//!
//! Several threads may take in what workers publish. Records are handed over by one at a time, in the order
//! in which they arrived, and before the results that came after them are anybody's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use phalanx::message::Arrived;
use phalanx_shm::sync::Deadline;
use pyo3::prelude::*;

use super::owner::locked;
use crate::message::object;

/// How long a result waits for a handler that another thread is in: it may never return.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often somebody who waits looks for signals.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Records that have arrived.
#[derive(Default)]
pub(super) struct Records {
    state: Mutex<State>,
    handled: Condvar,
    /// How many have not been handled.
    outstanding: AtomicUsize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Vec<u8>, Option<Arrived>)>,
    /// The thread that is handing one over.
    handler: Option<ThreadId>,
}

impl Records {
    /// Takes one in.
    pub(super) fn push(&self, frame: Vec<u8>, parcel: Option<Arrived>) {
        self.outstanding.fetch_add(1, Ordering::Release);
        locked(&self.state).waiting.push_back((frame, parcel));
    }

    /// Hands over what has arrived, unless another thread does, or a handler of this one has led here.
    pub(super) fn hand_over(&self, py: Python<'_>) {
        while self.outstanding.load(Ordering::Acquire) > 0 {
            let (frame, parcel) = {
                let mut state = locked(&self.state);
                if state.handler.is_some() {
                    return;
                }
                let Some(record) = state.waiting.pop_front() else { return };
                state.handler = Some(thread::current().id());
                record
            };
            handle(py, &frame, parcel);
            locked(&self.state).handler = None;
            self.outstanding.fetch_sub(1, Ordering::Release);
            self.handled.notify_all();
        }
    }

    /// Waits until what has arrived has been handled.
    #[inline]
    pub(super) fn settle(&self, py: Python<'_>) -> PyResult<()> {
        if self.outstanding.load(Ordering::Acquire) == 0 { Ok(()) } else { self.wait(py) }
    }

    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        let (me, deadline) = (thread::current().id(), Deadline::after(PATIENCE));
        loop {
            self.hand_over(py);
            let is_settled = || {
                let state = locked(&self.state);
                let is_mine = state.handler == Some(me);
                is_mine || (state.handler.is_none() && state.waiting.is_empty())
            };
            if is_settled() || deadline.has_passed() {
                return Ok(());
            }
            py.detach(|| {
                let state = locked(&self.state);
                if state.handler.is_some() {
                    let woken = self.handled.wait_timeout(state, LOOK_EVERY);
                    drop(woken.unwrap_or_else(PoisonError::into_inner));
                }
            });
            py.check_signals()?;
        }
    }
}

/// Hands a record over. What handlers raise is reported, and changes nothing.
fn handle(py: Python<'_>, frame: &[u8], parcel: Option<Arrived>) {
    let hand_over = || -> PyResult<()> {
        let record = object(py, frame, parcel)?;
        py.import("phalanx._logs")?.call_method1("handle", (record,))?;
        Ok(())
    };
    if let Err(error) = hand_over() {
        error.write_unraisable(py, None);
    }
}
