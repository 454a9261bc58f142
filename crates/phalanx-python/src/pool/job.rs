//! One call of a pool's method: its tasks, and what has come back of them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use phalanx::message::Arrived;
use phalanx_shm::object::{Bytes, Shared};
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::answer::{Answer, Piece};
use super::executor::Work;
use super::job_state::{Graveyard, State};
use super::progress::Progress;
use super::random::SeedOfCall;
use super::sending::name_of;
use super::shared::SharedArguments;
use super::sharing::Table;
use super::wire::{CANCELLABLE, CONDEMNABLE, Kind, Mode, ResultLabel, SEED_AT};
use crate::ffi::call_in_thread;

/// A call in progress.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) mode: Mode,
    /// Results of a batch travel together.
    pub(super) together: bool,
    /// What the user calls the function; nothing, if it is an executor's call.
    pub(super) name: String,
    /// What its tasks call, unless each batch says so itself.
    pub(super) function: Option<Arc<Shared<Bytes>>>,
    has_callbacks: bool,
    callbacks: Mutex<Callbacks>,
    /// The call of an executor that it is an attempt at.
    pub(super) work: Option<Arc<Work>>,
    /// What the random numbers of its tasks come from.
    pub(super) seed: Option<SeedOfCall>,
    /// Who wants to see how far it is.
    pub(super) progress: OnceLock<Progress>,
    /// Nobody will fetch results of it, which is a stream: they are not kept.
    is_unwanted: AtomicBool,
    /// Tasks that have not begun are passed over once it is cancelled.
    pub(super) is_search: AtomicBool,
    /// The callbacks, if there are any, have been called.
    is_called_back: AtomicBool,
    state: Mutex<State>,
    outcome: Mutex<Option<Outcome>>,
    /// What the items of a `map` have in common.
    pub(super) shared: Mutex<SharedArguments>,
    /// Where large arguments are stored once for all tasks.
    pub(super) sharing: Option<Arc<Table>>,
    /// The values of a `map` as far as they have been decoded.
    values: Mutex<Option<Py<PyList>>>,
}

/// What a job came to, once decoded.
enum Outcome {
    Value(Py<PyAny>),
    Error(Py<PyAny>),
}

/// Functions of the user's to be called with the outcome.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) value: Option<Py<PyAny>>,
    pub(crate) error: Option<Py<PyAny>>,
}

impl Callbacks {
    pub(super) fn is_empty(&self) -> bool {
        self.value.is_none() && self.error.is_none()
    }

    /// Calls the one that fits the outcome: a value, or an exception. What it raises is reported and
    /// changes nothing.
    pub(crate) fn tell(&self, py: Python<'_>, outcome: Result<Py<PyAny>, Py<PyAny>>) {
        let (callback, argument) = match outcome {
            Ok(value) => (&self.value, value),
            Err(error) => (&self.error, error),
        };
        let Some(callback) = callback.as_ref().map(|callback| callback.bind(py)) else { return };
        let told = PyTuple::new(py, [argument])
            .and_then(|argument| call_in_thread(callback, &argument, None));
        if let Err(error) = told {
            error.write_unraisable(py, Some(callback));
        }
    }

    /// For the collector of garbage.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.value)?;
        visit.call(&self.error)
    }
}

impl Job {
    pub(super) fn new(
        id: u64,
        mode: Mode,
        together: bool,
        name: String,
        function: Option<Arc<Shared<Bytes>>>,
        callbacks: Callbacks,
    ) -> Self {
        let has_callbacks = !callbacks.is_empty();
        let is_called_back = AtomicBool::new(!has_callbacks);
        Self {
            id,
            mode,
            together,
            name,
            function,
            has_callbacks,
            callbacks: Mutex::new(callbacks),
            work: None,
            seed: None,
            progress: OnceLock::new(),
            is_unwanted: AtomicBool::new(false),
            is_search: AtomicBool::new(false),
            is_called_back,
            state: Mutex::default(),
            outcome: Mutex::default(),
            shared: Mutex::default(),
            sharing: None,
            values: Mutex::default(),
        }
    }

    /// The job with a place for large arguments.
    pub(super) fn with_sharing(self, sharing: Option<Arc<Table>>) -> Self {
        Self { sharing, ..self }
    }

    /// The job as an attempt at an executor's call.
    pub(super) fn of(self, work: Arc<Work>) -> Self {
        Self { work: Some(work), ..self }
    }

    /// What the user calls the function, for messages.
    pub(super) fn name_of_function(&self, py: Python<'_>) -> Cow<'_, str> {
        match &self.work {
            Some(work) => Cow::Owned(name_of(work.function.bind(py))),
            None => Cow::Borrowed(&self.name),
        }
    }

    /// A task that has been sent and not answered.
    pub(super) fn task<'py>(&self, py: Python<'py>, task: u64) -> Option<Bound<'py, PyAny>> {
        if let Some(work) = &self.work {
            return Some(work.task.bind(py).clone());
        }
        let place = self.state().place_of(py, task)?;
        place.tasks.bind(py).get_item(place.at).ok()
    }

    /// Whether somebody is to be told when it is done.
    pub(super) fn is_reported(&self) -> bool {
        self.work.is_some() || self.has_callbacks
    }

    /// What tells a worker how to go about its tasks.
    pub(super) fn flags(&self, mode: Mode) -> u64 {
        let condemnable = if self.work.is_some() { CONDEMNABLE } else { 0 };
        let is_search = self.is_search.load(Ordering::Relaxed);
        let cancellable = if is_search { CANCELLABLE } else { 0 };
        let seed = self.seed.as_ref().map_or(0, |seed| seed.offset() << SEED_AT);
        mode.flags(self.together) | condemnable | cancellable | seed
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every task has been answered and the callbacks have been called.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.total == Some(state.answered) && self.is_called_back.load(Ordering::Acquire)
    }

    /// The callbacks, which are called once. They may refer to the result: nobody else keeps them.
    pub(super) fn take_callbacks(&self) -> Callbacks {
        std::mem::take(&mut self.callbacks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn called_back(&self) {
        self.is_called_back.store(true, Ordering::Release);
    }

    /// What an answered job came to: always the same object, or the same exception.
    pub(super) fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(known) = self.known_outcome(py) {
            return known;
        }
        let decoded = match self.decode(py) {
            Ok(value) => Outcome::Value(value),
            Err(error) => Outcome::Error(error.into_value(py).into_any()),
        };
        // Another thread may have been quicker; its outcome stands.
        let late = {
            let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            if outcome.is_none() {
                *outcome = Some(decoded);
                None
            } else {
                Some(decoded)
            }
        };
        drop(late);
        self.known_outcome(py).unwrap_or_else(|| Err(lost()))
    }

    fn known_outcome(&self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.as_ref().map(|outcome| match outcome {
            Outcome::Value(value) => Ok(value.clone_ref(py)),
            Outcome::Error(error) => Err(PyErr::from_value(error.clone_ref(py).into_bound(py))),
        })
    }

    /// Ends a stream: the answers that have not come never will, and `last` comes in their place. False if it
    /// is none.
    pub(super) fn end_stream(&self, last: impl FnOnce() -> Answer) -> bool {
        if !self.state().is_stream {
            return false;
        }
        let last = last();
        let mut state = self.state();
        // Nothing more is read or sent; the number of results is known when the last is fetched.
        state.total = Some(u64::MAX);
        let rubbish = (std::mem::take(&mut state.sent), state.last.replace(last));
        drop(state);
        drop(rubbish);
        true
    }

    /// For the collector of garbage: what the job refers to and may be referred to by. A lock that is
    /// held makes it look on; what it does not hear of is kept.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(outcome) = self.outcome.try_lock() {
            match &*outcome {
                Some(Outcome::Value(object) | Outcome::Error(object)) => visit.call(object)?,
                None => {}
            }
        }
        match self.callbacks.try_lock() {
            Ok(callbacks) => callbacks.traverse(visit),
            Err(_) => Ok(()),
        }
    }

    /// Forgets what it came to.
    pub(super) fn forget(&self) {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop((outcome, self.take_callbacks()));
    }

    fn decode(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (failure, mut pieces) = {
            let mut state = self.state();
            (state.failure.take(), std::mem::take(&mut state.pieces))
        };
        if let Some(failure) = failure {
            return failure.answer.decode(py);
        }
        if !self.together {
            return pieces.pop_front().ok_or_else(lost)?.answer.decode(py);
        }
        self.decode_pieces(py, pieces)?;
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(values.unwrap_or_else(|| PyList::empty(py).unbind()).into_any())
    }

    /// Decodes what has arrived of a job whose results travel together, so that it does not pile
    /// up. Only for the thread that waits for the job: no other decodes its values.
    pub(super) fn decode_early(&self, py: Python<'_>) -> PyResult<()> {
        let pieces = {
            let mut state = self.state();
            if state.failure.is_some() || self.has_callbacks {
                return Ok(());
            }
            std::mem::take(&mut state.pieces)
        };
        self.decode_pieces(py, pieces)
    }

    /// Makes the list for the values of a job whose results travel together.
    pub(super) fn prepare_values(&self, py: Python<'_>) -> PyResult<()> {
        self.list_of_values(py).map(drop)
    }

    fn decode_pieces(&self, py: Python<'_>, pieces: VecDeque<Piece>) -> PyResult<()> {
        if pieces.is_empty() {
            return Ok(());
        }
        let values = self.list_of_values(py)?;
        for piece in pieces {
            let (first, count) = (piece.first as usize, piece.count as usize);
            let part = piece.answer.decode(py)?;
            values.bind(py).set_slice(first, first + count, part.bind(py))?;
        }
        Ok(())
    }

    /// The list that the values go to, as long as there are tasks.
    fn list_of_values(&self, py: Python<'_>) -> PyResult<Py<PyList>> {
        if let Some(values) = &*self.values.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(values.clone_ref(py));
        }
        let total = self.state().total.unwrap_or(0) as usize;
        let values = PyList::new(py, [py.None()])?.as_sequence().repeat(total)?;
        let values = values.cast_into::<PyList>()?.unbind();
        let mut place = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(place.get_or_insert(values).clone_ref(py))
    }

    /// Takes in an answer; returns whether the job is done by it.
    pub(super) fn answer(
        &self,
        label: ResultLabel,
        bytes: &[u8],
        parcel: Option<Arrived>,
        graveyard: &mut Graveyard,
    ) -> bool {
        let bytes = bytes.to_vec();
        let answer = match label.kind {
            Kind::Value => Answer::Value(bytes, parcel),
            Kind::Values => Answer::Values(bytes, parcel),
            _ => Answer::Error(bytes, parcel),
        };
        let (first, count) = (label.first, u64::from(label.count));
        self.settle(Piece { first, count, answer }, graveyard)
    }

    /// Takes in an answer, wherever it came from; returns whether the job is done by it.
    pub(super) fn settle(&self, piece: Piece, graveyard: &mut Graveyard) -> bool {
        let mut state = self.state();
        state.forget_sent(piece.first, piece.count, graveyard);
        state.answered += piece.count;
        state.failed += u64::from(piece.answer.is_error());
        let mut rubbish = None;
        if self.together && piece.answer.is_error() {
            state.failure.get_or_insert(piece);
        } else if self.is_unwanted.load(Ordering::Relaxed) {
            state.fetched += piece.count;
            rubbish = Some(piece);
        } else {
            state.pieces.push_back(piece);
        }
        let is_done = state.total == Some(state.answered);
        drop(state);
        drop(rubbish);
        is_done
    }

    /// Nobody will fetch its results, those that are there included; its tasks are run all the same.
    pub(super) fn forgo_results(&self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
        let mut state = self.state();
        let rubbish = std::mem::take(&mut state.pieces);
        state.fetched += rubbish.iter().map(|piece| piece.count).sum::<u64>();
        drop(state);
        drop(rubbish);
    }
}

fn lost() -> PyErr {
    PyRuntimeError::new_err("the result is gone: another thread is decoding it")
}
