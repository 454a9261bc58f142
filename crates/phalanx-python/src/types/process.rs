//! Child processes, and forks.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Arc, PoisonError, RwLock};

use phalanx::process::{self, WaitError, fork as engine};
use phalanx_os::death;
use phalanx_os::fork::exit_now;
use phalanx_os::surroundings::{Stream, replace_stream};
use phalanx_shm::patience::GaveUp;
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;

use crate::error::os_error;
use crate::interrupt::{timeout, waiting};
use crate::undisturbed::Waiting;

/// A started process: what `Popen` objects hold.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct Child {
    pid: u32,
    sentinel: i32,
    child: RwLock<Option<Arc<process::Child>>>,
}

impl Child {
    fn new(child: process::Child) -> Self {
        let (pid, sentinel) = (child.pid(), child.sentinel().as_raw_fd());
        Self { pid, sentinel, child: RwLock::new(Some(Arc::new(child))) }
    }

    /// Hands a new child to `started`, which notes it. A signal that comes meanwhile is handled when it has been
    /// noted. If one came before and its handler raises, the child is killed: nobody would know of it.
    pub(crate) fn hand_over(
        py: Python<'_>,
        child: process::Child,
        started: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let waiting = Waiting::begin(py).inspect_err(|_| {
            // It fails for one that has ended already.
            let _ = child.kill();
        })?;
        let noted = started.call1((Self::new(child),));
        waiting.end(py)?;
        noted.map(drop)
    }

    fn child(&self) -> PyResult<Arc<process::Child>> {
        let child = self.child.read().unwrap_or_else(PoisonError::into_inner);
        child.as_ref().map(Arc::clone).ok_or_else(|| PyValueError::new_err("process is closed"))
    }
}

#[pymethods]
impl Child {
    /// The process id.
    #[getter]
    fn pid(&self) -> u32 {
        self.pid
    }

    /// A descriptor that is readable once the process has ended.
    #[getter]
    fn sentinel(&self) -> i32 {
        self.sentinel
    }

    /// The most memory that the process had resident at a time, in bytes; `None` before its end is
    /// known, and where nobody knows.
    #[getter]
    fn peak_memory(&self) -> PyResult<Option<u64>> {
        Ok(self.child()?.footprint().peak)
    }

    /// What an error may add on the memory of a process that has ended: nothing, or words that begin with
    /// a semicolon.
    fn describe_memory(&self) -> PyResult<String> {
        Ok(self.child()?.footprint().to_string())
    }

    /// Return the exit code if the process has ended, otherwise `None`.
    fn poll(&self) -> PyResult<Option<i32>> {
        Ok(self.child()?.try_status().map_err(os_error)?.map(process::ExitStatus::as_exitcode))
    }

    /// Wait for the end of the process and return its exit code; `None` if `timeout` is over.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<i32>> {
        let child = self.child()?;
        let limit = crate::interrupt::timeout(timeout);
        match waiting(py, limit, |patience| child.wait(patience))? {
            Ok(status) => Ok(Some(status.as_exitcode())),
            Err(WaitError::GaveUp(GaveUp::TimedOut | GaveUp::Interrupted)) => Ok(None),
            Err(WaitError::Io(e)) => Err(os_error(e)),
        }
    }

    /// Send a signal to the process; do nothing if it has ended.
    fn send_signal(&self, signal: i32) -> PyResult<()> {
        self.child()?.send_signal(signal).map_err(os_error)
    }

    /// Give up the descriptor. Do this after the process has ended.
    fn close(&self) {
        *self.child.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Fork; call `live()` in the child, which ends with the code it returns, and `started(child)` in the parent.
///
/// The interpreter's handlers run as for `os.fork`. The child dies with its parent. Beside threads that
/// import modules the fork waits for them (see `crate::fork`). A signal that comes meanwhile is
/// handled in the parent when the child has been noted, and in the child before it lives.
#[pyfunction]
pub(crate) fn fork(
    py: Python<'_>,
    live: &Bound<'_, PyAny>,
    started: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let forking = engine::Forking::prepare().map_err(os_error)?;
    match crate::fork::fork(py)? {
        Ok((None, waiting)) => {
            forking.in_child();
            let code = waiting.end(py).and_then(|()| live.call0()).and_then(|code| code.extract());
            exit_now(code.unwrap_or_else(|error: PyErr| {
                // An interrupted child leaves it to its parent, which was interrupted too, to say so.
                if !error.is_instance_of::<PyKeyboardInterrupt>(py) {
                    error.display(py);
                }
                1
            }))
        }
        Ok((Some(pid), waiting)) => {
            let child = forking.in_parent(pid).map_err(os_error);
            let noted = child.and_then(|child| started.call1((Child::new(child),)));
            waiting.end(py)?;
            noted.map(drop)
        }
        Err(e) => {
            forking.failed();
            Err(os_error(e))
        }
    }
}

/// Return a descriptor that is readable once the parent process has ended, or `None` if this
/// process was not started by phalanx.
#[pyfunction]
pub(crate) fn parent_sentinel() -> Option<i32> {
    death::parent_pidfd().map(|fd| fd.as_raw_fd())
}

/// Let this process read nothing from its standard input, which its parent may be reading.
#[pyfunction]
pub(crate) fn read_nothing() -> PyResult<()> {
    let null = std::fs::File::open("/dev/null").map_err(os_error)?;
    replace_stream(Stream::Input, null.as_fd()).map_err(os_error)
}

/// Wait until the parent process has ended; return whether it has before `timeout` is over.
#[pyfunction]
#[pyo3(signature = (seconds = None))]
pub(crate) fn wait_for_parent(py: Python<'_>, seconds: Option<f64>) -> PyResult<bool> {
    let Some(parent): Option<BorrowedFd<'static>> = death::parent_pidfd() else {
        return Ok(true);
    };
    let ended = waiting(py, timeout(seconds), |patience| process::wait_readable(parent, patience))?;
    match ended {
        Ok(()) => Ok(true),
        Err(WaitError::GaveUp(_)) => Ok(false),
        Err(WaitError::Io(e)) => Err(os_error(e)),
    }
}
