//! A future's lock and bell, as its `_condition` shows them.

use std::thread;
use std::time::Duration;

use phalanx_shm::sync::Deadline;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::base::FutureBase;
use super::gate::Gate;

impl FutureBase {
    /// Holds the future for this thread; false if it could not within `timeout`.
    pub(super) fn hold(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<bool> {
        let me = thread::current().id();
        if self.state().hold.try_take(me) {
            return Ok(true);
        }
        let deadline = timeout.map(Deadline::after);
        loop {
            let gate = Gate::closed(py)?;
            let handle = gate.handle(py);
            {
                let mut state = self.state();
                if state.hold.try_take(me) {
                    return Ok(true);
                }
                state.hold.queue(handle);
            }
            let opened = gate.wait(py, deadline.map(Deadline::remaining));
            if !matches!(opened, Ok(true)) {
                self.queue_no_more(py, &gate);
                return opened;
            }
        }
    }

    /// This thread does not want to hold it any more. If it was let through just now, that is handed on.
    fn queue_no_more(&self, py: Python<'_>, gate: &Gate) {
        let (mine, next) = {
            let mut state = self.state();
            let mine = state.hold.give_up(gate);
            let next = if mine.is_none() { state.hold.next() } else { None };
            (mine, next)
        };
        drop(mine);
        if let Some(next) = next {
            next.open(py);
        }
    }

    /// Gives back one `hold`.
    pub(super) fn let_go(&self, py: Python<'_>) -> PyResult<()> {
        let next = {
            let mut state = self.state();
            if !state.hold.is_held_by(thread::current().id()) {
                return Err(PyRuntimeError::new_err(
                    "cannot release the condition of a future that this thread has not acquired",
                ));
            }
            state.hold.give_back()
        };
        if let Some(next) = next {
            next.open(py);
        }
        Ok(())
    }

    /// Lets go of the future until there is a notice, and holds it again.
    pub(super) fn wait_for_notice(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
    ) -> PyResult<bool> {
        let me = thread::current().id();
        let gate = Gate::closed(py)?;
        let handle = gate.handle(py);
        let (depth, next) = {
            let mut state = self.state();
            if !state.hold.is_held_by(me) {
                return Err(PyRuntimeError::new_err(
                    "cannot wait for a future whose condition this thread has not acquired",
                ));
            }
            state.sleepers.push(handle);
            state.hold.give_all_back()
        };
        if let Some(next) = next {
            next.open(py);
        }
        let woken = gate.wait(py, timeout);
        // Whatever came of it, the caller holds it when this returns.
        let mut interrupt = None;
        while let Err(error) = self.hold(py, None) {
            interrupt = Some(error);
        }
        let left = {
            let mut state = self.state();
            state.hold.deepen(depth.saturating_sub(1));
            state.leave(&gate)
        };
        drop(left);
        interrupt.map_or(woken, Err)
    }

    /// Wakes so many of the threads that wait for a notice.
    pub(super) fn notify(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        let woken: Vec<Gate> = {
            let mut state = self.state();
            if !state.hold.is_held_by(thread::current().id()) {
                return Err(PyRuntimeError::new_err(
                    "cannot notify on a future whose condition this thread has not acquired",
                ));
            }
            let count = count.min(state.sleepers.len());
            state.sleepers.drain(..count).collect()
        };
        for gate in woken {
            gate.open(py);
        }
        Ok(())
    }
}
