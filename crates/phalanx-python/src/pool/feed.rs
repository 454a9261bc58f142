//! Calls on terms of their own that are begun as input is read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::executor::{Engine, Work};
use super::future::{FutureBase, Tally};
use super::options::Terms;
use super::owner::locked;
use super::progress::Counts;
use super::random::SeedsOfTasks;
use super::sharing::Table;
use super::termed::arguments;
use super::wire::Mode;
use crate::reading::{Reader, Watch, has_length};

/// What the items that are read have to do with calls.
pub(super) enum Callee {
    /// Each is the argument of this function.
    Function(Py<PyAny>),
    /// Each is the tuple of its arguments.
    Starred(Py<PyAny>),
    /// Each says itself what it calls: `(function, args, kwargs)`. Large arguments may be shared.
    OfEach(Option<Arc<Table>>),
}

impl Callee {
    /// The function that an item calls, what it is given, and how.
    fn call<'py>(
        &self,
        item: Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>, Mode)> {
        let py = item.py();
        let (function, star) = match self {
            Self::Function(function) => (function, false),
            Self::Starred(function) => (function, true),
            Self::OfEach(_) => {
                let (function, args, kwargs): (
                    Bound<'py, PyAny>,
                    Bound<'py, PyAny>,
                    Bound<'py, PyAny>,
                ) = item.extract()?;
                let args = arguments(args, true)?.into_any();
                if kwargs.is_truthy()? {
                    let task = PyTuple::new(py, [args, kwargs])?.into_any();
                    return Ok((function, task, Mode::ApplyKeywords));
                }
                return Ok((function, args, Mode::Apply));
            }
        };
        Ok((function.bind(py).clone(), arguments(item, star)?.into_any(), Mode::Apply))
    }

    /// A call as those travel that are described so.
    fn finished(&self, work: Work) -> Work {
        match self {
            Self::OfEach(sharing) => work.with_sharing(sharing.clone()),
            _ => work,
        }
    }
}

/// What is read, and the calls that were begun for it.
pub(super) struct Feed {
    pub(super) engine: Arc<Engine>,
    terms: Terms,
    calls: Callee,
    input: Mutex<Option<Py<PyAny>>>,
    pub(super) is_feeding: AtomicBool,
    /// How many calls may be ahead of the results that were fetched; all, if it does not say.
    window: Option<usize>,
    reads_all: AtomicBool,
    /// The input does not say how long it is.
    pub(super) may_be_endless: bool,
    /// Watches over such an input while all of it is read.
    watch: Mutex<Option<Watch>>,
    pub(super) tally: Arc<Tally>,
    seeds: SeedsOfTasks,
    /// How many calls were begun.
    begun: AtomicU64,
    /// In the order of the input, if that is the order of the results.
    pending: Option<Mutex<VecDeque<Py<FutureBase>>>>,
}

impl Feed {
    /// The results are wanted in the order of the input, or as they come.
    pub(super) fn new(
        engine: &Arc<Engine>,
        terms: Terms,
        calls: Callee,
        seeds: SeedsOfTasks,
        input: &Bound<'_, PyAny>,
        ordered: bool,
        window: Option<usize>,
    ) -> PyResult<Self> {
        Ok(Self {
            engine: Arc::clone(engine),
            terms,
            calls,
            may_be_endless: !has_length(input)?,
            watch: Mutex::default(),
            input: Mutex::new(Some(input.try_iter()?.unbind().into_any())),
            is_feeding: AtomicBool::new(false),
            window,
            reads_all: AtomicBool::new(false),
            tally: Arc::new(Tally::of_stream(!ordered)),
            seeds,
            begun: AtomicU64::new(0),
            pending: ordered.then(Mutex::default),
        })
    }

    /// How many calls were begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// How far it is.
    pub(super) fn counts(&self) -> Counts {
        let (ended, failed) = self.tally.counts();
        (ended, failed, self.has_ended().then(|| self.begun()))
    }

    pub(super) fn ahead(&self) -> usize {
        match &self.pending {
            Some(pending) => locked(pending).len(),
            None => self.tally.outstanding(),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        locked(&self.input).is_none()
    }

    /// Reads all input that is left: the pool is about to close.
    pub(super) fn read_all(&self, py: Python<'_>) {
        self.reads_all.store(true, Ordering::SeqCst);
        self.feed(py);
    }

    fn has_room(&self) -> bool {
        self.reads_all.load(Ordering::SeqCst)
            || self.window.is_none_or(|window| self.ahead() < window)
    }

    /// Reads input and begins calls until there are enough.
    pub(super) fn feed(&self, py: Python<'_>) {
        if self.is_feeding.swap(true, Ordering::AcqRel) {
            return;
        }
        // From here on the pool does not come to its end; whether it has is looked at after that.
        let _moving = self.engine.moving();
        let input = locked(&self.input).as_ref().map(|input| input.clone_ref(py));
        if let Some(input) = input {
            let goes_on = self.read(input.bind(py));
            if !goes_on {
                self.end();
            }
        }
        self.is_feeding.store(false, Ordering::Release);
    }

    fn end(&self) {
        let ended = locked(&self.input).take();
        drop(ended);
    }

    /// An error if all is read of an input that does not end.
    fn check_length(&self, py: Python<'_>) -> PyResult<()> {
        if !self.reads_all.load(Ordering::SeqCst) || !self.may_be_endless {
            return Ok(());
        }
        let reader = Reader::Closed("a stream of calls with options");
        locked(&self.watch).get_or_insert_with(Watch::new).check(py, self.begun(), reader)
    }

    /// Returns whether there may be more input.
    fn read(&self, input: &Bound<'_, PyAny>) -> bool {
        let py = input.py();
        let Ok(mut input) = input.try_iter() else { return false };
        while self.has_room() {
            let next = match self.engine.check_takes_more(py).and_then(|()| self.check_length(py)) {
                Err(error) => Err(error),
                Ok(()) => match input.next() {
                    None => return false,
                    Some(item) => item.and_then(|item| self.calls.call(item)),
                },
            };
            let Ok(future) = FutureBase::noted(py, &self.engine, &self.tally) else { return false };
            self.tally.add();
            self.begun.fetch_add(1, Ordering::Relaxed);
            if let Some(pending) = &self.pending {
                locked(pending).push_back(future.clone_ref(py));
            }
            let next = next.and_then(|call| {
                let seed = self.seeds.next_task(&self.engine.owner.crew)?;
                Ok((call, seed))
            });
            match next {
                Ok(((function, task, mode), seed)) => {
                    let (function, task) = (function.unbind(), task.unbind());
                    let work = Work::new(function, task, mode, self.terms, future);
                    self.engine.submit(py, self.calls.finished(work.seeded(seed)));
                }
                Err(error) => {
                    // What the input raises, or the end of the pool, is the last result.
                    let error = Err(error.into_value(py).into_any());
                    let _ = FutureBase::finish(future.bind(py), error);
                    return false;
                }
            }
        }
        true
    }

    /// The next future whose result is there.
    pub(super) fn take_next(&self) -> Option<Py<FutureBase>> {
        let Some(pending) = &self.pending else { return self.tally.take_arrived() };
        let mut pending = locked(pending);
        if pending.front()?.get().is_done() { pending.pop_front() } else { None }
    }

    /// Nobody wants the rest: what has not begun is not run.
    pub(super) fn abandon(&self, py: Python<'_>) {
        self.end();
        let Some(pending) = &self.pending else { return };
        let rest = std::mem::take(&mut *locked(pending));
        for future in rest {
            let _ = FutureBase::cancel_if_pending(future.bind(py));
        }
    }
}
