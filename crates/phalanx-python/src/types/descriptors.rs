//! Passing descriptors over local sockets that Python owns.

use std::io::IoSlice;
use std::os::fd::{IntoRawFd, RawFd};

use phalanx_os::socket;
use phalanx_shm::patience::Patience;
use pyo3::exceptions::{PyEOFError, PyOSError, PyRuntimeError};
use pyo3::prelude::*;

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
