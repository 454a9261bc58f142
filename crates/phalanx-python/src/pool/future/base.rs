//! The class below `phalanx.futures.Future`: its state and how that changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::once::{FoundOnce, intern};
use phalanx_shm::sync::Deadline;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyVisit};

use super::super::executor::Engine;
use super::condition::FutureCondition;
use super::gate::Gate;
use super::phase::Phase;
use super::settling::call_back;
use super::state::{Outcome, State};
use super::tally::Tally;

/// A future's state with everything that changes it; `phalanx.futures.Future` adds that it is a
/// `concurrent.futures.Future`.
#[pyclass(frozen, subclass, module = "phalanx._core")]
pub(crate) struct FutureBase(Mutex<State>);

impl FutureBase {
    /// A new `phalanx.futures.Future`, of a call that an executor runs.
    pub(in super::super) fn of_call(py: Python<'_>, engine: &Arc<Engine>) -> PyResult<Py<Self>> {
        static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let class = CLASS.found(py, "phalanx.futures", "Future")?;
        let future = class.call0()?.cast_into::<Self>()?;
        future.get().state().engine = Arc::downgrade(engine);
        Ok(future.unbind())
    }

    /// A future without the face of the standard library's, whose end is noted.
    pub(in super::super) fn noted(
        py: Python<'_>,
        engine: &Arc<Engine>,
        tally: &Arc<Tally>,
    ) -> PyResult<Py<Self>> {
        let (engine, tally) = (Arc::downgrade(engine), Some(Arc::clone(tally)));
        let state = State { engine, tally, ..State::default() };
        Py::new(py, Self(Mutex::new(state)))
    }

    /// Whether its call has come to no good end.
    pub(super) fn has_failed(&self) -> bool {
        let state = self.state();
        state.exception.is_some() || state.phase.is_cancelled()
    }

    /// Whether there is an outcome.
    pub(in super::super) fn is_done(&self) -> bool {
        self.state().phase.is_done()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is an outcome; false if `timeout` is over before.
    pub(in super::super) fn wait_until_done(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
    ) -> PyResult<bool> {
        if self.state().phase.is_done() {
            return Ok(true);
        }
        let deadline = timeout.map(Deadline::after);
        loop {
            let gate = Gate::closed(py)?;
            let handle = gate.handle(py);
            {
                let mut state = self.state();
                if state.phase.is_done() {
                    return Ok(true);
                }
                state.sleepers.push(handle);
            }
            let woken = gate.wait(py, deadline.map(Deadline::remaining));
            let (left, is_done) = {
                let mut state = self.state();
                (state.leave(&gate), state.phase.is_done())
            };
            drop(left);
            woken?;
            if is_done {
                return Ok(true);
            }
            if deadline.is_some_and(Deadline::has_passed) {
                return Ok(false);
            }
        }
    }

    /// The outcome, once it is there.
    pub(in super::super) fn outcome(
        &self,
        py: Python<'_>,
    ) -> PyResult<Result<Py<PyAny>, Py<PyAny>>> {
        let state = self.state();
        if state.phase.is_cancelled() {
            drop(state);
            return Err(PyErr::from_value(base(py, "CancelledError")?.call0()?));
        }
        let Some(error) = state.exception.as_ref().map(|error| error.clone_ref(py)) else {
            let result = state.result.as_ref().map(|value| value.clone_ref(py));
            return Ok(Ok(result.unwrap_or_else(|| py.None())));
        };
        drop(state);
        // Ctrl-C reaches the workers too, and one may have answered with it before this thread had its turn:
        // this process's own interrupt is the one to tell of.
        py.check_signals()?;
        Ok(Err(error))
    }

    fn wait_for_outcome(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
    ) -> PyResult<Result<Py<PyAny>, Py<PyAny>>> {
        if !self.wait_until_done(py, crate::interrupt::timeout(timeout))? {
            return Err(PyErr::from_value(base(py, "TimeoutError")?.call0()?));
        }
        self.outcome(py)
    }
}

/// What the standard library's module for futures has under that name.
pub(super) fn base<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "concurrent.futures._base"))?.getattr(name)
}

#[pymethods]
impl FutureBase {
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    /// Cancels the call if it has not begun; returns whether it is cancelled.
    ///
    /// With `running=True` a call that runs is ended too: its worker process is asked to end, and
    /// killed if it has not a second later. Other calls are not affected.
    #[pyo3(signature = (*, running=false))]
    pub(in super::super) fn cancel(slf: &Bound<'_, Self>, running: bool) -> PyResult<bool> {
        let this = slf.get();
        if Self::cancel_if_pending(slf)? {
            return Ok(true);
        }
        let (phase, engine) = {
            let state = this.state();
            (state.phase, state.engine.clone())
        };
        if phase.is_cancelled() || !running {
            return Ok(phase.is_cancelled());
        }
        let Some(engine) = engine.upgrade() else { return Ok(false) };
        if !engine.stop(slf)? {
            return Ok(false);
        }
        let cancelled = Outcome::cancelled(Phase::CancelledAndNotified);
        Self::settle(slf, |phase| phase == Phase::Running, cancelled)
    }

    /// Whether the call was cancelled.
    fn cancelled(&self) -> bool {
        self.state().phase.is_cancelled()
    }

    /// Whether the call is on its way to a worker, or run by one.
    fn running(&self) -> bool {
        self.state().phase == Phase::Running
    }

    /// Whether the call was cancelled or has come to its end.
    fn done(&self) -> bool {
        self.is_done()
    }

    /// Lets `function(future)` be called when the call has come to its end or was cancelled; at once, if
    /// it has already. What it raises is logged.
    #[pyo3(name = "add_done_callback", signature = (r#fn))]
    fn add_done_callback(slf: &Bound<'_, Self>, r#fn: Py<PyAny>) -> PyResult<()> {
        let list = slf.get()._done_callbacks(slf.py());
        let is_done = {
            let state = slf.get().state();
            let is_done = state.phase.is_done();
            if !is_done {
                list.bind(slf.py()).append(&r#fn)?;
            }
            is_done
        };
        if is_done { call_back(slf, r#fn.bind(slf.py())) } else { Ok(()) }
    }

    /// What the call returned, waiting for it; raises what the call raised.
    ///
    /// Raises `CancelledError` if it was cancelled, and `TimeoutError` if there is no outcome within
    /// `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn result(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.wait_for_outcome(py, timeout)?.map_err(|error| PyErr::from_value(error.into_bound(py)))
    }

    /// What the call raised, waiting for its end; `None` if it returned.
    ///
    /// Raises `CancelledError` if it was cancelled, and `TimeoutError` if there is no outcome within
    /// `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn exception(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.wait_for_outcome(py, timeout)?.err())
    }

    /// Marks the future as running; false if it was cancelled. For those who make executors.
    fn set_running_or_notify_cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::begin(slf)
    }

    /// Sets what the call returned. For those who make executors.
    fn set_result(slf: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        Self::finish(slf, Ok(result))
    }

    /// Sets what the call raised. For those who make executors.
    fn set_exception(slf: &Bound<'_, Self>, exception: Py<PyAny>) -> PyResult<()> {
        Self::finish(slf, Err(exception))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (py, this) = (slf.py(), slf.get());
        let class = slf.get_type().name()?;
        let phase = this.state().phase;
        let (result, exception) = (this._result(py), this._exception(py));
        let came_to = match (phase, exception) {
            (Phase::Finished, Some(error)) => {
                format!(" raised {}", error.bind(py).get_type().name()?)
            }
            (Phase::Finished, None) => format!(" returned {}", result.bind(py).get_type().name()?),
            _ => String::new(),
        };
        Ok(format!("<{class} at {:#x} state={}{came_to}>", slf.as_ptr().addr(), phase.in_words()))
    }

    // What the functions of `concurrent.futures` look at, and programs that know its inside.

    fn _invoke_callbacks(slf: &Bound<'_, Self>) -> PyResult<()> {
        let list = slf.get()._done_callbacks(slf.py());
        for callback in list.bind(slf.py()).iter() {
            call_back(slf, &callback)?;
        }
        Ok(())
    }

    #[getter]
    fn _condition(slf: Py<Self>) -> FutureCondition {
        FutureCondition::new(slf)
    }

    #[getter]
    fn _state<'py>(&self, py: Python<'py>) -> &Bound<'py, pyo3::types::PyString> {
        let phase = self.state().phase;
        phase.name(py)
    }

    #[setter(_state)]
    fn set_state_as_is(&self, name: &str) -> PyResult<()> {
        self.state().phase = Phase::of_name(name)?;
        Ok(())
    }

    #[getter]
    fn _result(&self, py: Python<'_>) -> Py<PyAny> {
        self.state().result.as_ref().map_or_else(|| py.None(), |value| value.clone_ref(py))
    }

    #[setter(_result)]
    fn set_result_as_is(&self, value: Py<PyAny>) {
        let replaced = self.state().result.replace(value);
        drop(replaced);
    }

    #[getter]
    fn _exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state().exception.as_ref().map(|error| error.clone_ref(py))
    }

    #[setter(_exception)]
    fn set_exception_as_is(&self, error: Option<Py<PyAny>>) {
        let replaced = std::mem::replace(&mut self.state().exception, error);
        drop(replaced);
    }

    #[getter]
    fn _waiters(&self, py: Python<'_>) -> Py<PyList> {
        if let Some(known) = &self.state().waiters {
            return known.clone_ref(py);
        }
        // Made while the mutex is free: it can set the collector off.
        let made = PyList::empty(py).unbind();
        self.state().waiters.get_or_insert_with(|| made.clone_ref(py)).clone_ref(py)
    }

    #[getter]
    fn _done_callbacks(&self, py: Python<'_>) -> Py<PyList> {
        if let Some(known) = &self.state().callbacks {
            return known.clone_ref(py);
        }
        let made = PyList::empty(py).unbind();
        self.state().callbacks.get_or_insert_with(|| made.clone_ref(py)).clone_ref(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Held by the very thread that collects, or changed at this moment: then it is in use.
        let Ok(state) = self.0.try_lock() else { return Ok(()) };
        visit.call(&state.result)?;
        visit.call(&state.exception)?;
        visit.call(&state.waiters)?;
        visit.call(&state.callbacks)
    }

    fn __clear__(&self) {
        let held = {
            let mut state = self.state();
            (
                (state.result.take(), state.exception.take()),
                (state.waiters.take(), state.callbacks.take()),
            )
        };
        drop(held);
    }
}
