//! How a future comes to its outcome, and who is told.

use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::base::{FutureBase, base};
use super::phase::Phase;
use super::state::{Outcome, Settled};
use super::waiters::tell_all;
use crate::ffi::call_in_thread;
use crate::once::intern;

impl FutureBase {
    /// Its outcome from now on, and everybody who waits for it is told; false if its state is not one
    /// that `from` is true for.
    pub(super) fn settle(
        slf: &Bound<'_, Self>,
        from: fn(Phase) -> bool,
        outcome: Outcome,
    ) -> PyResult<bool> {
        let (py, this) = (slf.py(), slf.get());
        let settled = {
            let mut state = this.state();
            if !from(state.phase) {
                // The outcome is dropped when the mutex is free.
                drop(state);
                return Ok(false);
            }
            if !state.is_unwatched(py) {
                drop(state);
                return Self::settle_watched(slf, from, outcome);
            }
            state.settle(outcome)
        };
        Self::spread(slf, settled);
        Ok(true)
    }

    /// The same where others may hold it, or wait for several futures.
    fn settle_watched(
        slf: &Bound<'_, Self>,
        from: fn(Phase) -> bool,
        outcome: Outcome,
    ) -> PyResult<bool> {
        let (py, this) = (slf.py(), slf.get());
        this.hold(py, None)?;
        let method = match (outcome.phase, &outcome.exception) {
            (Phase::Finished, None) => Some(intern!(py, "add_result")),
            (Phase::Finished, Some(_)) => Some(intern!(py, "add_exception")),
            (Phase::CancelledAndNotified, _) => Some(intern!(py, "add_cancelled")),
            _ => None,
        };
        let settled = {
            let mut state = this.state();
            from(state.phase).then(|| {
                let waiters = state.waiters.as_ref().map(|list| list.clone_ref(py));
                (state.settle(outcome), waiters)
            })
        };
        let Some((settled, waiters)) = settled else {
            this.let_go(py)?;
            return Ok(false);
        };
        let told = match (waiters, method) {
            (Some(waiters), Some(method)) => tell_all(waiters.bind(py), slf.as_any(), method),
            _ => Ok(()),
        };
        this.let_go(py)?;
        Self::spread(slf, settled);
        told.map(|()| true)
    }

    /// Wakes those that wait for the outcome, and calls the callbacks.
    fn spread(slf: &Bound<'_, Self>, settled: Settled) {
        for gate in &settled.sleepers {
            gate.open(slf.py());
        }
        if let Some(tally) = &settled.tally {
            tally.note(slf);
        }
        if settled.has_callbacks
            && let Err(error) = slf.call_method0(intern!(slf.py(), "_invoke_callbacks"))
        {
            error.write_unraisable(slf.py(), Some(slf));
        }
    }

    /// Its call is being run, and nobody but its maker has seen it so far.
    pub(in super::super) fn begin_unseen(&self) {
        self.state().phase = Phase::Running;
    }

    /// Its call is about to be run. False if it was cancelled, which everybody is told then.
    pub(in super::super) fn begin(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let this = slf.get();
        {
            let mut state = this.state();
            if state.phase == Phase::Pending && state.hold.is_free() {
                state.phase = Phase::Running;
                return Ok(true);
            }
        }
        let cancelled = Outcome::cancelled(Phase::CancelledAndNotified);
        if Self::settle(slf, |phase| phase == Phase::Cancelled, cancelled)? {
            return Ok(false);
        }
        this.hold(slf.py(), None)?;
        let phase = {
            let mut state = this.state();
            let phase = state.phase;
            if phase == Phase::Pending {
                state.phase = Phase::Running;
            }
            phase
        };
        this.let_go(slf.py())?;
        match phase {
            Phase::Pending => Ok(true),
            // It was cancelled just now.
            Phase::Cancelled => Self::begin(slf),
            _ => Err(unexpected(slf, phase)),
        }
    }

    /// Cancels it if its call has not begun; returns whether that was so.
    pub(in super::super) fn cancel_if_pending(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let cancelled = Outcome::cancelled(Phase::Cancelled);
        Self::settle(slf, |phase| phase == Phase::Pending, cancelled)
    }

    /// Its call has come to an end.
    pub(in super::super) fn finish(
        slf: &Bound<'_, Self>,
        outcome: Result<Py<PyAny>, Py<PyAny>>,
    ) -> PyResult<()> {
        let outcome = outcome.map_or_else(Outcome::error, Outcome::value);
        if Self::settle(slf, |phase| !phase.is_done(), outcome)? {
            return Ok(());
        }
        Err(Self::invalid(slf))
    }

    fn invalid(slf: &Bound<'_, Self>) -> PyErr {
        let make = || {
            let name = slf.get().state().phase.name(slf.py()).clone();
            let text = format!("{name}: {}", slf.repr()?);
            base(slf.py(), "InvalidStateError")?.call1((text,))
        };
        make().map_or_else(|error| error, PyErr::from_value)
    }
}

fn unexpected(slf: &Bound<'_, FutureBase>, phase: Phase) -> PyErr {
    let py = slf.py();
    let address = slf.as_ptr().addr();
    let text = "Future %s in unexpected state: %s";
    let told = base(py, "LOGGER")
        .and_then(|log| log.call_method1("critical", (text, address, phase.name(py))));
    told.err().unwrap_or_else(|| PyRuntimeError::new_err("Future in unexpected state"))
}

/// Calls a callback. Errors are logged; what is meant to end more than a callback is not held up.
pub(super) fn call_back(slf: &Bound<'_, FutureBase>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let args = PyTuple::new(py, [slf])?;
    let Err(error) = call_in_thread(callback, &args, None) else { return Ok(()) };
    if !error.is_instance_of::<PyException>(py) {
        return Err(error);
    }
    let details = PyDict::new(py);
    details.set_item("exc_info", error.into_value(py))?;
    let text = "exception calling callback for %r";
    base(py, "LOGGER")?.call_method("error", (text, slf), Some(&details))?;
    Ok(())
}
