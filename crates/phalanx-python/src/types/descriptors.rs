//! Passing descriptors over local sockets that Python owns.

use std::io::IoSlice;
use std::os::fd::{IntoRawFd, RawFd};

use phalanx::process::passing::TICKET;
use phalanx_os::socket;
use phalanx_shm::patience::Patience;
use pyo3::exceptions::{PyEOFError, PyOSError, PyRuntimeError};
use pyo3::prelude::*;

use super::connection::Connection;
use super::passing;
use crate::error::os_error;

/// Send descriptors over the local socket `socket`.
#[pyfunction]
pub(crate) fn send_fds(py: Python<'_>, socket: RawFd, fds: Vec<RawFd>) -> PyResult<()> {
    let count = [fds.len() as u8];
    py.detach(|| {
        let fds = crate::ffi::borrow_fds(&fds);
        for target in crate::ffi::borrow_fds(&[socket]) {
            socket::send(target, &[IoSlice::new(&count)], &fds, true).map_err(os_error)?;
        }
        Ok(())
    })
}

/// Receive at most `size` descriptors from the local socket `socket`.
#[pyfunction]
pub(crate) fn receive_fds(py: Python<'_>, socket: RawFd, size: usize) -> PyResult<Vec<RawFd>> {
    let message = crate::interrupt::waiting(py, None, |patience: Patience<'_>| {
        let numbers = [socket];
        let source = crate::ffi::borrow_fds(&numbers);
        let source = source.first().ok_or_else(|| PyOSError::new_err("bad file descriptor"))?;
        let waited = phalanx::process::wait_readable(*source, patience);
        waited.map_err(|_| PyOSError::new_err("the wait for descriptors was given up"))?;
        socket::receive(source, &mut [0], false).map_err(os_error)
    })??;
    if message.len == 0 && message.fds.is_empty() {
        return Err(PyEOFError::new_err(()));
    }
    if message.fds.is_empty() || message.fds.len() > size {
        let count = message.fds.len();
        return Err(PyRuntimeError::new_err(format!("received {count} descriptors, not {size}")));
    }
    Ok(message.fds.into_iter().map(IntoRawFd::into_raw_fd).collect())
}

/// Whether messages of a connection do not go through its descriptor.
fn is_of_pipe(connection: &Bound<'_, PyAny>) -> PyResult<bool> {
    connection.cast::<Connection>().map_or(Ok(false), |connection| connection.get().is_of_pipe())
}

fn number(connection: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    connection.call_method0("fileno")?.extract()
}

/// Send a descriptor over a local connection.
#[pyfunction]
pub(crate) fn send_handle(
    py: Python<'_>,
    connection: &Bound<'_, PyAny>,
    handle: RawFd,
) -> PyResult<()> {
    if is_of_pipe(connection)? {
        let ticket = passing::deposit_fd(py, handle)?;
        return connection.call_method1("send_bytes", (ticket,)).map(drop);
    }
    send_fds(py, number(connection)?, vec![handle])
}

/// Receive a descriptor from a local connection.
#[pyfunction]
pub(crate) fn receive_handle(py: Python<'_>, connection: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    if is_of_pipe(connection)? {
        let ticket = connection.call_method0("recv_bytes")?;
        let bad = || PyRuntimeError::new_err("received data that stands for no descriptor");
        let bytes: &[u8] = ticket.extract().map_err(|_| bad())?;
        if bytes.len() != TICKET {
            return Err(bad());
        }
        return passing::collect_fd(py, bytes);
    }
    Ok(receive_fds(py, number(connection)?, 1)?[0])
}
