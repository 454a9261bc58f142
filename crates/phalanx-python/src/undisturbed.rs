//! Letting Python's signal handlers wait.
//!
//! A handler runs between any two steps of the main thread, and what it raises, `KeyboardInterrupt`
//! above all, comes out wherever that is. In a function of `os.register_at_fork` the interpreter
//! prints and forgets it: Ctrl-C was pressed in vain. Between a worker's end and the note that its task is
//! lost it leaves a state that nobody repairs.
//!
//! Here a stand-in takes the place of each handler for a short while and notes the signals that
//! come; then the handlers are put back and called. Signals are not blocked: another thread might take
//! them, and the interpreter calls the handler on the main thread all the same.
//!
//! Only the main thread runs handlers, so on any other there is nothing to do.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use phalanx_os::signal::SIGINT;
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use crate::once::FoundOnce;

/// One more than the largest number of a signal.
const NSIG: i32 = 65;
/// Putting a handler back is tried again if another handler raises meanwhile.
const TRIES: usize = 10;

/// Calls `body` while handlers wait. If one raises afterwards, that is the error, and what `body` gave is dropped.
pub(crate) fn undisturbed<T>(
    py: Python<'_>,
    body: impl FnOnce(Python<'_>) -> PyResult<T>,
) -> PyResult<T> {
    let waiting = Waiting::begin(py)?;
    let result = body(py);
    waiting.end(py)?;
    result
}

/// Handlers that wait, until `end`.
pub(crate) struct Waiting(Py<Standin>);

/// What the interpreter calls in place of the handlers that wait.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct Standin {
    owner: ThreadId,
    replaced: Mutex<Vec<(i32, Py<PyAny>)>>,
    /// What came, and to which process: a fork duplicates the notes, but the signals came to the parent alone.
    noted: Mutex<Vec<(u32, i32)>>,
}

#[pymethods]
impl Standin {
    fn __call__(&self, py: Python<'_>, number: i32, frame: Py<PyAny>) -> PyResult<()> {
        if std::thread::current().id() == self.owner {
            locked(&self.noted).push((std::process::id(), number));
            return Ok(());
        }
        // Another thread forked, and is alone in this process: nobody here is going to put the handlers back.
        self.call_replaced(py, number, frame.into_bound(py))
    }
}

impl Standin {
    fn call_replaced<'py>(
        &self,
        py: Python<'py>,
        number: i32,
        frame: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let handler = {
            let replaced = locked(&self.replaced);
            let found = replaced.iter().find(|(replaced, _)| *replaced == number);
            found.map(|(_, handler)| handler.clone_ref(py))
        };
        handler.map_or(Ok(()), |handler| handler.call1(py, (number, frame)).map(drop))
    }
}

impl Waiting {
    /// From now on handlers wait. Signals that came before are handled first.
    pub(crate) fn begin(py: Python<'_>) -> PyResult<Self> {
        py.check_signals()?;
        let owner = std::thread::current().id();
        let standin = Standin { owner, replaced: Mutex::default(), noted: Mutex::default() };
        let waiting = Self(Py::new(py, standin)?);
        for number in 1..NSIG {
            let handler = handler_of(py, number)?;
            if !handler.is_callable() {
                continue;
            }
            // Noted first: from the moment that it is replaced it may be asked for.
            locked(&waiting.0.get().replaced).push((number, handler.unbind()));
            if let Err(error) = set_handler(py, number, waiting.0.bind(py)) {
                locked(&waiting.0.get().replaced).pop();
                if error.is_instance_of::<PyValueError>(py) {
                    // Not the main thread.
                    break;
                }
                waiting.end(py)?;
                return Err(error);
            }
        }
        Ok(waiting)
    }

    /// Puts the handlers back, and calls those whose signals came. Returns what the first of them raised.
    pub(crate) fn end(self, py: Python<'_>) -> PyResult<()> {
        let (noted, mut raised) = self.put_all_back(py);
        for number in noted {
            if let Err(error) = self.0.get().call_replaced(py, number, frame(py)) {
                raised.get_or_insert(error);
            }
        }
        raised.map_or(Ok(()), Err)
    }

    /// Puts the handlers back, and has the interpreter call those whose signals came when it goes on.
    fn end_later(self, py: Python<'_>) -> PyResult<()> {
        let (noted, raised) = self.put_all_back(py);
        for number in noted {
            interrupt_main(py, number)?;
        }
        raised.map_or(Ok(()), Err)
    }

    /// Puts the handlers back. Returns the signals that came to this process, and what was raised if another came
    /// while they were put back.
    fn put_all_back(&self, py: Python<'_>) -> (Vec<i32>, Option<PyErr>) {
        let standin = self.0.get();
        // They stay known to the stand-in, which is asked for each of them until it is put back.
        let replaced: Vec<_> = locked(&standin.replaced)
            .iter()
            .map(|(number, handler)| (*number, handler.clone_ref(py)))
            .collect();
        let mut raised = None;
        for (number, handler) in replaced {
            // One that was put back before may be called meanwhile, and raise.
            for _ in 0..TRIES {
                let Err(error) = self.put_back(py, number, handler.bind(py)) else { break };
                raised.get_or_insert(error);
            }
        }
        let noted = std::mem::take(&mut *locked(&standin.noted));
        let ours = noted.into_iter().filter(|(process, _)| *process == std::process::id());
        (ours.map(|(_, number)| number).collect(), raised)
    }

    fn put_back(&self, py: Python<'_>, number: i32, handler: &Bound<'_, PyAny>) -> PyResult<()> {
        // Something that ran meanwhile may have set one of its own.
        if handler_of(py, number)?.is(&self.0) { set_handler(py, number, handler) } else { Ok(()) }
    }
}

/// Calls a function while handlers wait; they are called afterwards.
#[pyfunction(name = "undisturbed")]
#[pyo3(signature = (function, *args))]
pub(crate) fn call_undisturbed<'py>(
    py: Python<'py>,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Py<PyAny>> {
    undisturbed(py, |_| Ok(function.call1(args)?.unbind()))
}

/// What a weak reference calls when its object is gone: a function, with the reference. What is raised there the
/// interpreter prints and forgets; so signal handlers wait until the function has returned.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct WeakCallback(Py<PyAny>);

#[pymethods]
impl WeakCallback {
    #[new]
    fn new(function: Py<PyAny>) -> Self {
        Self(function)
    }

    fn __call__(&self, py: Python<'_>, reference: &Bound<'_, PyAny>) -> PyResult<()> {
        let begun = Waiting::begin(py);
        let called = self.0.bind(py).call1((reference,)).map(drop);
        match begun {
            Ok(waiting) => waiting.end_later(py)?,
            // It came right before.
            Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => {
                interrupt_main(py, SIGINT)?;
            }
            Err(error) => return Err(error),
        }
        called
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// After a panic, which no `end` follows.
impl Drop for Waiting {
    fn drop(&mut self) {
        if std::thread::panicking() {
            Python::attach(|py| self.put_all_back(py));
        }
    }
}

static GETSIGNAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static SIGNAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The handler of a signal; a number or `None` where there is none of Python's. (`signal` wraps the functions of
/// `_signal`, and makes members of an enumeration of such numbers.)
fn handler_of(py: Python<'_>, number: i32) -> PyResult<Bound<'_, PyAny>> {
    GETSIGNAL.found(py, "_signal", "getsignal")?.call1((number,))
}

fn set_handler(py: Python<'_>, number: i32, handler: &Bound<'_, PyAny>) -> PyResult<()> {
    SIGNAL.found(py, "_signal", "signal")?.call1((number, handler)).map(drop)
}

/// Has the interpreter call the handler of a signal when the main thread goes on.
fn interrupt_main(py: Python<'_>, number: i32) -> PyResult<()> {
    py.import("_thread")?.call_method1("interrupt_main", (number,)).map(drop)
}

/// What the thread is doing, which handlers are told; `None` where no code of Python runs.
fn frame(py: Python<'_>) -> Bound<'_, PyAny> {
    let frame = py.import("sys").and_then(|sys| sys.call_method0("_getframe"));
    frame.unwrap_or_else(|_| py.None().into_bound(py))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
