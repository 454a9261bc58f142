//! The client's end: one request and its reply at a time.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use phalanx::serve::{Stream, StreamError};
use phalanx_shm::patience::{GaveUp, Patience};
use pyo3::exceptions::{PyEOFError, PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::codec;
use crate::error::os_error;
use crate::ffi::borrow_fds;
use crate::interrupt;
use crate::once::intern;
use crate::types::connection::Connection;

/// A connection to a manager's server, for one thread.
///
/// A call that was interrupted closes it, since its reply may still come. A relative of the server
/// exchanges the socket for a pipe in shared memory after some calls. There a request without
/// keywords has three items, and a result comes in a tuple of its own.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct ManagerChannel {
    /// Not there while a call uses it, and for good once it is closed.
    stream: Mutex<Option<Stream>>,
    /// Messages without a reply that came up while a call used the stream.
    later: Mutex<Vec<Py<PyBytes>>>,
    pipe: OnceLock<Py<Connection>>,
    /// Whether the pipe is in use, or its next reply belongs to nobody.
    is_busy: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pymethods]
impl ManagerChannel {
    /// Use a duplicate of a connected socket, over which both sides have proved who they are.
    #[new]
    fn new(fd: RawFd) -> PyResult<Self> {
        let socket = borrow_fds(&[fd]).first().map(BorrowedExt::duplicate).transpose()?;
        let socket = socket.ok_or_else(|| PyOSError::new_err("a connected socket is needed"))?;
        Ok(Self {
            stream: Mutex::new(Some(Stream::new(socket))),
            later: Mutex::default(),
            pipe: OnceLock::new(),
            is_busy: AtomicBool::new(false),
        })
    }

    /// Send a request and return the reply. Raises `EOFError` if the server has gone, and `OSError` if
    /// there is no reply after `timeout` seconds: then the connection is of no more use.
    #[pyo3(signature = (request, timeout = None))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        request: &Bound<'py, PyTuple>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(pipe) = self.pipe.get() {
            return self.call_relative(pipe.bind(py).get(), request, timeout);
        }
        let request = codec::encode_whole(py, request.as_any(), None)?;
        let reply = self.exchange(py, &request, timeout)?;
        codec::load_whole(py, reply.as_any())
    }

    /// Send a request that has no reply, now or before the next call. Says nothing of errors.
    fn post(&self, py: Python<'_>, request: &Bound<'_, PyTuple>) -> PyResult<()> {
        if let Some(pipe) = self.pipe.get() {
            return pipe.get().send(py, request.as_any());
        }
        let request = codec::encode_whole(py, request.as_any(), None)?;
        let taken = locked(&self.stream).take();
        let Some(stream) = taken else {
            locked(&self.later).push(request.unbind());
            return Ok(());
        };
        let body = request.as_bytes();
        let sent = py.detach(|| stream.send(body, &Patience::forever()));
        if sent.is_ok() {
            *locked(&self.stream) = Some(stream);
        }
        Ok(())
    }

    /// Send and receive pickles.
    #[pyo3(signature = (request, timeout = None))]
    fn exchange<'py>(
        &self,
        py: Python<'py>,
        request: &Bound<'py, PyBytes>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let taken = locked(&self.stream).take();
        let mut stream = taken.ok_or_else(in_use)?;
        let postponed = std::mem::take(&mut *locked(&self.later));
        let postponed: Vec<&[u8]> = postponed.iter().map(|bytes| bytes.as_bytes(py)).collect();
        let body = request.as_bytes();
        let result = interrupt::waiting(py, interrupt::timeout(timeout), |patience| {
            for message in postponed {
                stream.send(message, &patience)?;
            }
            stream.send(body, &patience)?;
            stream.receive(usize::MAX, &patience).map(<[u8]>::len)
        });
        match result? {
            Ok(len) => {
                let reply = PyBytes::new(py, &stream.last()[..len]);
                *locked(&self.stream) = Some(stream);
                Ok(reply)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Go on over a pipe, whose other end the server has got by the last call.
    fn go_on_with(&self, pipe: Py<Connection>) {
        let _ = self.pipe.set(pipe);
        *locked(&self.stream) = None;
    }

    /// Whether calls can be made.
    fn is_open(&self) -> bool {
        match self.pipe.get() {
            Some(_) => !self.is_busy.load(Ordering::Relaxed),
            None => locked(&self.stream).is_some(),
        }
    }

    /// The socket's number, or -1.
    fn fileno(&self) -> RawFd {
        locked(&self.stream).as_ref().map_or(-1, |stream| stream.as_fd().as_raw_fd())
    }

    /// Close the connection.
    fn close(&self) {
        *locked(&self.stream) = None;
        if let Some(pipe) = self.pipe.get() {
            self.is_busy.store(true, Ordering::Relaxed);
            pipe.get().close();
        }
    }
}

impl ManagerChannel {
    fn call_relative<'py>(
        &self,
        pipe: &Connection,
        request: &Bound<'py, PyTuple>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = request.py();
        if self.is_busy.swap(true, Ordering::Relaxed) {
            return Err(in_use());
        }
        let short = match request.get_item(3).and_then(|kwds| kwds.is_truthy()) {
            Ok(false) => Some(request.get_slice(0, 3)),
            _ => None,
        };
        let sent = pipe.send(py, short.as_ref().unwrap_or(request).as_any());
        if let Err(error) = sent {
            // Nothing has gone, unless the pipe is broken.
            self.is_busy.store(error.is_instance_of::<PyOSError>(py), Ordering::Relaxed);
            return Err(error);
        }
        if timeout.is_some() && !pipe.poll(py, timeout)? {
            return Err(failed(StreamError::GaveUp(GaveUp::TimedOut)));
        }
        let reply = pipe.recv(py)?.into_bound(py);
        self.is_busy.store(false, Ordering::Relaxed);
        match reply.cast::<PyTuple>() {
            Ok(result) if result.len() == 1 => {
                let result = result.get_item(0)?;
                Ok((intern!(py, "#RETURN"), result).into_pyobject(py)?.into_any())
            }
            _ => Ok(reply),
        }
    }
}

trait BorrowedExt {
    fn duplicate(&self) -> PyResult<std::os::fd::OwnedFd>;
}

impl BorrowedExt for std::os::fd::BorrowedFd<'_> {
    fn duplicate(&self) -> PyResult<std::os::fd::OwnedFd> {
        self.try_clone_to_owned().map_err(os_error)
    }
}

#[cold]
fn in_use() -> PyErr {
    PyRuntimeError::new_err(
        "the connection to the manager was closed, or a call of this thread is using it: do not \
         call a proxy from a signal handler",
    )
}

#[cold]
fn failed(error: StreamError) -> PyErr {
    match error {
        StreamError::Closed => {
            PyEOFError::new_err("the manager's server has closed the connection, or has ended")
        }
        StreamError::GaveUp(GaveUp::TimedOut) => {
            PyOSError::new_err("the manager's server does not answer in the time it was given")
        }
        StreamError::GaveUp(GaveUp::Interrupted) => {
            PyOSError::new_err("the call of a manager's object was interrupted")
        }
        StreamError::Os(error) => os_error(error),
        other => PyOSError::new_err(other.to_string()),
    }
}
