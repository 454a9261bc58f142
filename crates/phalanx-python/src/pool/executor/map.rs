//! The results of `Executor.map`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use phalanx_shm::sync::Deadline;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;

use super::super::stream::{Fetched, IMapIterator};
use super::engine::{Engine, cancelled};
use super::manners::module;

/// The results of `Executor.map`, in order. As with the standard library's generator before Python 3.16,
/// the first error is the end of it, and what has not begun by then is not run; unless `goes_on`: then
/// only a timeout is.
#[pyclass(frozen, weakref, module = "phalanx.futures")]
pub(crate) struct ExecutorMap {
    results: IMapIterator,
    engine: Arc<Engine>,
    deadline: Option<Deadline>,
    goes_on: bool,
    has_begun: AtomicBool,
    is_over: AtomicBool,
}

impl ExecutorMap {
    pub(super) fn new(
        results: IMapIterator,
        engine: Arc<Engine>,
        timeout: Option<f64>,
        goes_on: bool,
    ) -> Self {
        let deadline = crate::interrupt::timeout(timeout).map(Deadline::after);
        let (has_begun, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { results, engine, deadline, goes_on, has_begun, is_over }
    }

    fn end(&self, py: Python<'_>) {
        // A forked child has a copy of everything, its locks as they were.
        if !self.is_over.swap(true, Ordering::AcqRel) && self.engine.owner.is_mine() {
            self.results.stream.end_progress(py);
            self.results.stream.abandon(py, &self.engine.owner, &cancelled(py));
        }
    }

    fn fetch(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let timeout = self.deadline.map(Deadline::remaining);
        let fetched = self.results.fetch(py, timeout).inspect_err(|_| self.end(py))?;
        match fetched {
            Fetched::Result(piece) => piece.answer.decode(py).inspect_err(|_| {
                if !self.goes_on {
                    self.end(py);
                }
            }),
            Fetched::Over => {
                self.end(py);
                Err(PyStopIteration::new_err(()))
            }
            Fetched::TimedOut => {
                self.end(py);
                Err(PyErr::from_value(module(py)?.getattr("TimeoutError")?.call0()?))
            }
        }
    }
}

#[pymethods]
impl ExecutorMap {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.is_over.load(Ordering::Acquire) {
            return Err(PyStopIteration::new_err(()));
        }
        self.engine.check_mine()?;
        self.has_begun.store(true, Ordering::Relaxed);
        self.engine.attend();
        self.fetch(py)
    }

    /// Fetches no more results. What has not begun is not run.
    fn close(&self, py: Python<'_>) {
        self.end(py);
    }
}

impl Drop for ExecutorMap {
    fn drop(&mut self) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        if self.has_begun.load(Ordering::Relaxed) {
            Python::attach(|py| self.end(py));
        } else if self.engine.owner.is_mine() {
            // As with the standard library's generator, what nobody began to fetch is run to its end.
            self.results.stream.job.forgo_results();
        }
    }
}
