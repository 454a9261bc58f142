//! What workers print, line by line.
//!
//! Lines are collected and written together, under a lock that the workers of a pool share: a pipe takes
//! a long write in pieces, and another worker's line would come between them. What a task has printed is
//! written before its result is on its way, so that nothing of it is lost when the pool ends.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phalanx::Patience;
use phalanx::sync::RawLock;
use phalanx_shm::sync::Deadline;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes};

use super::owner::locked;
use crate::error::os_error;
use crate::once::intern;

/// Collected bytes beyond which whole lines are written.
const ENOUGH: usize = 8192;
/// The longest line that is kept together.
const LONGEST: usize = 1 << 24;
/// How long to wait for another worker that does not finish its line: it may have been stopped.
const PATIENCE: Duration = Duration::from_secs(1);

/// A writer of this process has whole lines that are not written.
static HAS_LINES: AtomicBool = AtomicBool::new(false);
static WRITERS: Mutex<Vec<Py<LineWriter>>> = Mutex::new(Vec::new());

/// Writes to a descriptor, whole lines at a time.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct LineWriter {
    fd: RawFd,
    lock: Arc<RawLock>,
    pending: Mutex<Vec<u8>>,
}

/// Lets what this worker prints come out in whole lines, whoever else prints.
///
/// The streams stay the objects that they are: whoever has one, a log handler for instance, goes on with it.
pub(super) fn share_output(py: Python<'_>, lock: &Arc<RawLock>) -> PyResult<()> {
    let sys = py.import(intern!(py, "sys"))?;
    for (name, fd) in [(intern!(py, "stdout"), 1), (intern!(py, "stderr"), 2)] {
        let stream = sys.getattr(name)?;
        if !is_plain(&stream, &["TextIOWrapper"])? {
            // What a program has put in its place is its own affair.
            continue;
        }
        let buffer = stream.getattr(intern!(py, "buffer"))?;
        let number =
            buffer.call_method0(intern!(py, "fileno")).and_then(|fd| fd.extract::<RawFd>());
        // One that is closed has none.
        if number.is_ok_and(|number| number == fd)
            && is_plain(&buffer, &["BufferedWriter", "FileIO"])?
        {
            let writer = LineWriter::start(py, fd, Arc::clone(lock))?.into_bound(py).into_any();
            for name in [intern!(py, "write"), intern!(py, "flush")] {
                buffer.setattr(name, writer.getattr(name)?)?;
            }
            // The text goes to the writer at once, which is who collects it from now on.
            let options = [("write_through", true)].into_py_dict(py)?;
            stream.call_method(intern!(py, "reconfigure"), (), Some(&options))?;
        }
    }
    Ok(())
}

/// Whether an object is of one of these classes of `io`, and not of one that is derived from it.
fn is_plain(object: &Bound<'_, PyAny>, names: &[&str]) -> PyResult<bool> {
    let class = object.get_type();
    let is_named = names.contains(&class.name()?.to_str()?);
    Ok(is_named && class.module()?.to_str()? == "_io")
}

impl LineWriter {
    /// A writer of this worker's, whose lines are written before its results are.
    fn start(py: Python<'_>, fd: RawFd, lock: Arc<RawLock>) -> PyResult<Py<Self>> {
        let writer = Py::new(py, Self { fd, lock, pending: Mutex::default() })?;
        locked(&WRITERS).push(writer.clone_ref(py));
        Ok(writer)
    }

    fn write_lines(&self, py: Python<'_>) -> PyResult<()> {
        let lines = {
            let mut pending = locked(&self.pending);
            let end = pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let rest = pending.split_off(end);
            std::mem::replace(&mut *pending, rest)
        };
        self.put(py, &lines)
    }

    fn put(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        py.detach(|| {
            // Who dies with the lock has written a part of a line; who is stopped, holds up nobody.
            let patience = Patience::until(Some(Deadline::after(PATIENCE)));
            let is_held = self.lock.acquire(&patience).is_ok();
            let written = write_all(self.fd, bytes);
            if is_held {
                let _ = self.lock.release();
            }
            written
        })
    }
}

#[pymethods]
impl LineWriter {
    /// Takes bytes; lines are written when there are enough of them.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let (taken, has_line, collected) = match data.cast::<PyBytes>() {
            Ok(bytes) => self.take(bytes.as_bytes()),
            Err(_) => self.take(&PyBuffer::<u8>::get(data)?.to_vec(py)?),
        };
        if has_line {
            HAS_LINES.store(true, Ordering::Relaxed);
        }
        if collected > LONGEST {
            self.flush(py)?;
        } else if collected > ENOUGH {
            self.write_lines(py)?;
        }
        Ok(taken)
    }

    /// Writes everything, also the beginning of a line.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let pending = std::mem::take(&mut *locked(&self.pending));
        self.put(py, &pending)
    }
}

impl LineWriter {
    fn take(&self, bytes: &[u8]) -> (usize, bool, usize) {
        let mut pending = locked(&self.pending);
        pending.extend_from_slice(bytes);
        (bytes.len(), bytes.contains(&b'\n'), pending.len())
    }
}

/// Writes the whole lines that tasks have printed. What the descriptor refuses is the printer's affair:
/// the error is that of an interrupt.
#[inline]
pub(super) fn write_lines(py: Python<'_>) -> PyResult<()> {
    if !HAS_LINES.load(Ordering::Relaxed) {
        return Ok(());
    }
    HAS_LINES.store(false, Ordering::Relaxed);
    let writers: Vec<_> = locked(&WRITERS).iter().map(|writer| writer.clone_ref(py)).collect();
    for writer in writers {
        match writer.get().write_lines(py) {
            Err(error) if !error.is_instance_of::<pyo3::exceptions::PyOSError>(py) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_all(fd: RawFd, mut bytes: &[u8]) -> PyResult<()> {
    let numbers = [fd];
    let fds = crate::ffi::borrow_fds(&numbers);
    let Some(fd) = fds.first() else { return Err(os_error(io::ErrorKind::NotFound.into())) };
    while !bytes.is_empty() {
        match phalanx_os::stream::write_some(fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Python::attach(|py| py.check_signals())?;
            }
            Err(error) => return Err(os_error(error)),
        }
    }
    Ok(())
}
