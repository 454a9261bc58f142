//! Counting the calls that somebody waits for together.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use phalanx_shm::sync::Deadline;
use pyo3::prelude::*;

use super::super::owner::locked;
use super::base::FutureBase;
use super::gate::Gate;

/// What is to be done when the last call has come to its end.
type Last = Box<dyn FnOnce(Python<'_>) + Send>;

/// Calls that somebody waits for together: how many are in progress, and which have come to their end.
/// A future that has one notes its own end there.
pub(in super::super) struct Tally {
    state: Mutex<State>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All calls are there from the beginning.
    Whole,
    /// Calls come one by one.
    Stream,
    /// The same, and the futures are wanted in the order in which their calls end.
    StreamAsTheyEnd,
}

#[derive(Default)]
struct State {
    left: usize,
    ended: u64,
    /// Of these, calls without a result.
    failed: u64,
    arrived: VecDeque<Py<FutureBase>>,
    last: Option<Last>,
    is_over: bool,
    sleepers: Vec<Gate>,
}

impl Tally {
    /// Of so many calls. When all have ended `last` is called, and it is over after that.
    pub(in super::super) fn of(calls: usize, last: Option<Last>) -> Self {
        let state = State { left: calls, last, ..State::default() };
        Self { state: Mutex::new(state), kind: Kind::Whole }
    }

    /// Of calls that come one by one; keeps those that have ended, if they are wanted as they end.
    pub(in super::super) fn of_stream(as_they_end: bool) -> Self {
        let kind = if as_they_end { Kind::StreamAsTheyEnd } else { Kind::Stream };
        Self { state: Mutex::default(), kind }
    }

    /// One call more.
    pub(in super::super) fn add(&self) {
        locked(&self.state).left += 1;
    }

    /// How many calls have not ended, or not been fetched.
    pub(in super::super) fn outstanding(&self) -> usize {
        let state = locked(&self.state);
        state.left + state.arrived.len()
    }

    /// How many calls have ended, and how many of them have failed.
    pub(in super::super) fn counts(&self) -> (u64, u64) {
        let state = locked(&self.state);
        (state.ended, state.failed)
    }

    /// Whether all calls have ended, and what was to be done then has been done.
    pub(in super::super) fn is_over(&self) -> bool {
        locked(&self.state).is_over
    }

    /// There are no calls to wait for.
    pub(in super::super) fn end_if_empty(&self, py: Python<'_>) {
        if self.outstanding() == 0 {
            self.end(py);
        }
    }

    /// The next of those that have ended.
    pub(in super::super) fn take_arrived(&self) -> Option<Py<FutureBase>> {
        locked(&self.state).arrived.pop_front()
    }

    /// A call has come to its end.
    pub(super) fn note(&self, future: &Bound<'_, FutureBase>) {
        let py = future.py();
        let kept = (self.kind == Kind::StreamAsTheyEnd).then(|| future.clone().unbind());
        let has_failed = future.get().has_failed();
        let is_last = {
            let mut state = locked(&self.state);
            state.left = state.left.saturating_sub(1);
            state.ended += 1;
            state.failed += u64::from(has_failed);
            state.arrived.extend(kept);
            state.left == 0 && self.kind == Kind::Whole
        };
        if is_last {
            self.end(py);
        } else if self.kind != Kind::Whole {
            self.wake(py);
        }
    }

    fn end(&self, py: Python<'_>) {
        let last = locked(&self.state).last.take();
        if let Some(last) = last {
            last(py);
        }
        locked(&self.state).is_over = true;
        self.wake(py);
    }

    fn wake(&self, py: Python<'_>) {
        let sleepers = std::mem::take(&mut locked(&self.state).sleepers);
        for gate in sleepers {
            gate.open(py);
        }
    }

    /// Waits until `is_there`; false if `timeout` is over before. It is asked whenever a call has ended.
    pub(in super::super) fn wait(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
        mut is_there: impl FnMut() -> bool,
    ) -> PyResult<bool> {
        let deadline = timeout.map(Deadline::after);
        loop {
            if is_there() {
                return Ok(true);
            }
            let gate = Gate::closed(py)?;
            let handle = gate.handle(py);
            locked(&self.state).sleepers.push(handle);
            // What came in between has not opened the gate.
            if is_there() {
                self.forget(&gate);
                return Ok(true);
            }
            let woken = gate.wait(py, deadline.map(Deadline::remaining));
            self.forget(&gate);
            if !woken? && deadline.is_some_and(Deadline::has_passed) {
                return Ok(is_there());
            }
        }
    }

    fn forget(&self, gate: &Gate) {
        let left = {
            let mut state = locked(&self.state);
            let place = state.sleepers.iter().position(|other| other.is(gate));
            place.map(|place| state.sleepers.remove(place))
        };
        drop(left);
    }
}
