//! One call of a pool's method: where its results gather.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyBaseException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::hub::Hub;
use crate::ffi::call_in_thread;
use crate::pool::{Callbacks, Counts, Mode, Pending, arguments};

pub(super) struct Job {
    pub(super) hub: Arc<Hub>,
    pub(super) mode: Mode,
    name: String,
    function: Py<PyAny>,
    callbacks: Mutex<Callbacks>,
    shape: Shape,
    state: Mutex<State>,
    is_done: AtomicBool,
    /// Nobody wants the results any more.
    is_cancelled: AtomicBool,
}

/// What becomes of the results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// There is one.
    Single,
    /// They are a list; the first error of a batch ends the batch.
    List,
    /// They are fetched one by one.
    Stream,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) total: Option<usize>,
    pub(super) answered: usize,
    failed: usize,
    pub(super) submitted: usize,
    pub(super) fetched: usize,
    values: Vec<Option<Py<PyAny>>>,
    failure: Option<PyErr>,
    /// Of a stream: results that have not been fetched.
    pub(super) pieces: VecDeque<(usize, PyResult<Py<PyAny>>)>,
    /// Somebody makes the outcome.
    is_ending: bool,
    outcome: Option<Result<Py<PyAny>, Py<PyBaseException>>>,
}

impl Job {
    pub(super) fn new(
        hub: Arc<Hub>,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        shape: Shape,
        callbacks: Callbacks,
        total: Option<usize>,
    ) -> Arc<Self> {
        let values = match (shape, total) {
            (Shape::Stream, _) | (_, None) => Vec::new(),
            (_, Some(total)) => (0..total).map(|_| None).collect(),
        };
        let state = State { total, values, ..State::default() };
        Arc::new(Self {
            hub,
            mode,
            name: crate::pool::name_of(function),
            function: function.clone().unbind(),
            callbacks: Mutex::new(callbacks),
            shape,
            state: Mutex::new(state),
            is_done: AtomicBool::new(false),
            is_cancelled: AtomicBool::new(false),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every task has been answered.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state();
        self.is_done.load(Ordering::Acquire) || state.total.is_some_and(|t| state.answered >= t)
    }

    /// Nobody wants the results any more: tasks that have not begun are not run.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    /// How far it is.
    pub(super) fn counts(&self) -> Counts {
        let state = self.state();
        (state.answered as u64, state.failed as u64, state.total.map(|total| total as u64))
    }

    /// Runs tasks, in the thread of a worker.
    pub(super) fn run(&self, py: Python<'_>, first: usize, tasks: Vec<Py<PyAny>>) {
        let function = self.function.bind(py);
        let count = tasks.len();
        for (index, task) in tasks.into_iter().enumerate() {
            if self.is_cancelled() {
                return;
            }
            let result = arguments(self.mode, task.bind(py))
                .and_then(|(args, kwds)| call_in_thread(function, &args, kwds.as_ref()))
                .map(Bound::unbind);
            drop(task);
            if self.shape == Shape::List && result.is_err() {
                self.settle(py, first + index, count - index, result);
                return;
            }
            self.settle(py, first + index, 1, result);
        }
    }

    /// Takes in a result that stands for `count` tasks.
    pub(super) fn settle(
        &self,
        py: Python<'_>,
        first: usize,
        count: usize,
        result: PyResult<Py<PyAny>>,
    ) {
        let mut rubbish = None;
        let is_last = {
            let mut state = self.state();
            state.answered += count;
            state.failed += usize::from(result.is_err());
            match result {
                result if self.shape == Shape::Stream => state.pieces.push_back((first, result)),
                Ok(value) => match state.values.get_mut(first) {
                    Some(place) => *place = Some(value),
                    None => rubbish = Some(Ok(value)),
                },
                Err(error) if state.failure.is_none() => state.failure = Some(error),
                Err(error) => rubbish = Some(Err(error)),
            }
            state.total == Some(state.answered)
        };
        drop(rubbish);
        if self.shape == Shape::Stream {
            self.hub.wake();
        } else if is_last {
            self.finish(py);
        }
    }

    /// Ends a job whose tasks will not be run.
    pub(super) fn fail(&self, py: Python<'_>, error: &PyErr) {
        if self.is_done.load(Ordering::Acquire) {
            return;
        }
        // Copying an error may let go of the interpreter: not while a lock is held.
        let error = error.clone_ref(py);
        if self.shape == Shape::Stream {
            let mut state = self.state();
            let first = state.fetched + state.pieces.len();
            if state.total.is_none_or(|total| first < total) {
                state.pieces.push_back((first, Err(error)));
                state.total = Some(first + 1);
            }
            drop(state);
            self.hub.wake();
            return;
        }
        let spare = {
            let mut state = self.state();
            if state.failure.is_none() { state.failure.replace(error) } else { Some(error) }
        };
        drop(spare);
        self.finish(py);
    }

    fn take_callbacks(&self) -> Callbacks {
        std::mem::take(&mut self.callbacks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the outcome of the results and calls the callback that fits it.
    pub(super) fn finish(&self, py: Python<'_>) {
        let (failure, values) = {
            let mut state = self.state();
            if std::mem::replace(&mut state.is_ending, true) {
                return;
            }
            (state.failure.take(), std::mem::take(&mut state.values))
        };
        let values = values.into_iter().map(|value| value.unwrap_or_else(|| py.None()));
        let outcome = match (failure, self.shape) {
            (Some(error), _) => Err(error),
            (None, Shape::Single) => Ok(values.last().unwrap_or_else(|| py.None())),
            (None, _) => PyList::new(py, values.collect::<Vec<_>>()).map(|l| l.into_any().unbind()),
        };
        let outcome = outcome.map_err(|error| error.into_value(py));
        let callbacks = self.take_callbacks();
        let told = match &outcome {
            Ok(value) => Ok(value.clone_ref(py)),
            Err(error) => Err(error.clone_ref(py).into_any()),
        };
        self.state().outcome = Some(outcome);
        callbacks.tell(py, told);
        self.is_done.store(true, Ordering::Release);
        self.hub.wake();
    }
}

impl Pending for Arc<Job> {
    fn is_ready(&self, _py: Python<'_>) -> PyResult<bool> {
        Ok(self.is_done.load(Ordering::Acquire))
    }

    fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<bool> {
        self.hub.wait_until(py, timeout, || self.is_done.load(Ordering::Acquire))
    }

    fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let outcome = match &self.state().outcome {
            Some(Ok(value)) => Ok(value.clone_ref(py)),
            Some(Err(error)) => Err(error.clone_ref(py)),
            None => return Ok(py.None()),
        };
        outcome.map_err(|error| PyErr::from_value(error.into_bound(py).into_any()))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if Self::strong_count(self) > 1 {
            return Ok(());
        }
        if let Ok(state) = self.state.try_lock() {
            match &state.outcome {
                Some(Ok(value)) => visit.call(value)?,
                Some(Err(error)) => visit.call(error)?,
                None => {}
            }
        }
        match self.callbacks.try_lock() {
            Ok(callbacks) => callbacks.traverse(visit),
            Err(_) => Ok(()),
        }
    }

    fn clear(&self) {
        let outcome = self.state().outcome.take();
        drop((outcome, self.take_callbacks()));
    }
}
