//! What a future knows.

use std::sync::{Arc, Weak};

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::super::executor::Engine;
use super::gate::Gate;
use super::hold::Hold;
use super::phase::Phase;
use super::tally::Tally;

/// What a future knows. Its mutex is held for moments only, and nothing is made or dropped meanwhile
/// that could run Python code.
#[derive(Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) result: Option<Py<PyAny>>,
    pub(super) exception: Option<Py<PyAny>>,
    /// Of those who wait for several futures, once there was one.
    pub(super) waiters: Option<Py<PyList>>,
    pub(super) callbacks: Option<Py<PyList>>,
    pub(super) hold: Hold,
    /// Threads that wait for a notice, which the end of the call is too.
    pub(super) sleepers: Vec<Gate>,
    /// The executor that runs the call.
    pub(super) engine: Weak<Engine>,
    /// Where the end of the call is noted too.
    pub(super) tally: Option<Arc<Tally>>,
}

/// How a call ends, for its future.
pub(super) struct Outcome {
    pub(super) phase: Phase,
    pub(super) result: Option<Py<PyAny>>,
    pub(super) exception: Option<Py<PyAny>>,
}

impl Outcome {
    pub(super) fn value(value: Py<PyAny>) -> Self {
        Self { phase: Phase::Finished, result: Some(value), exception: None }
    }

    pub(super) fn error(error: Py<PyAny>) -> Self {
        Self { phase: Phase::Finished, result: None, exception: Some(error) }
    }

    pub(super) fn cancelled(phase: Phase) -> Self {
        Self { phase, result: None, exception: None }
    }
}

/// What has to be done when the mutex is free again.
pub(super) struct Settled {
    pub(super) sleepers: Vec<Gate>,
    pub(super) has_callbacks: bool,
    pub(super) tally: Option<Arc<Tally>>,
    _replaced: [Option<Py<PyAny>>; 2],
}

impl State {
    /// Takes in the outcome.
    pub(super) fn settle(&mut self, outcome: Outcome) -> Settled {
        self.phase = outcome.phase;
        let replaced = [
            std::mem::replace(&mut self.result, outcome.result),
            std::mem::replace(&mut self.exception, outcome.exception),
        ];
        Settled {
            sleepers: std::mem::take(&mut self.sleepers),
            has_callbacks: self.callbacks.is_some(),
            tally: self.tally.take(),
            _replaced: replaced,
        }
    }

    /// Whether nobody is in the way of an outcome, nor has to be told of it.
    pub(super) fn is_unwatched(&self, py: Python<'_>) -> bool {
        self.hold.is_free() && self.waiters.as_ref().is_none_or(|list| list.bind(py).is_empty())
    }

    /// Nobody sleeps at the gate any more. It is to be dropped when the mutex is free.
    pub(super) fn leave(&mut self, gate: &Gate) -> Option<Gate> {
        let place = self.sleepers.iter().position(|other| other.is(gate))?;
        Some(self.sleepers.remove(place))
    }
}
