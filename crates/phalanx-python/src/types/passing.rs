//! Descriptors and connections on their way to processes that run already.

use std::os::fd::{IntoRawFd, RawFd};

use phalanx::process::WaitError;
use phalanx::process::passing::{self, TICKET};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::connection::Connection;
use crate::error::os_error;
use crate::interrupt::waiting;

/// Lay out a duplicate of a descriptor for whoever shows the returned ticket.
#[pyfunction]
pub(crate) fn deposit_fd(py: Python<'_>, fd: RawFd) -> PyResult<Bound<'_, PyBytes>> {
    let ticket = passing::deposit(duplicate(fd)?, |_| ()).map_err(os_error)?;
    Ok(PyBytes::new(py, &ticket))
}

/// Lay out an end of a pipe for whoever shows the returned ticket.
#[pyfunction]
pub(crate) fn deposit_connection<'py>(
    py: Python<'py>,
    connection: &Bound<'py, Connection>,
) -> PyResult<Bound<'py, PyBytes>> {
    let channel = connection.get().channel()?;
    // The end stays open here until it has been collected there, as its parts do.
    let granted = {
        let channel = std::sync::Arc::clone(&channel);
        move |slot| channel.hold_for(slot)
    };
    let ticket = passing::deposit(duplicate(channel.raw_fd())?, granted).map_err(os_error)?;
    Ok(PyBytes::new(py, &ticket))
}

/// Return the descriptor that a ticket is for.
#[pyfunction]
pub(crate) fn collect_fd(py: Python<'_>, ticket: &[u8]) -> PyResult<RawFd> {
    let ticket: &[u8; TICKET] =
        ticket.try_into().map_err(|_| PyValueError::new_err("this is no ticket"))?;
    match waiting(py, None, |patience| passing::collect(ticket, patience))? {
        Ok(fd) => Ok(fd.into_raw_fd()),
        Err(WaitError::Io(e)) => Err(os_error(e)),
        Err(WaitError::GaveUp(_)) => Err(PyOSError::new_err("the wait was given up")),
    }
}

fn duplicate(fd: RawFd) -> PyResult<std::os::fd::OwnedFd> {
    match crate::ffi::borrow_fds(&[fd]).first() {
        Some(fd) => fd.try_clone_to_owned().map_err(os_error),
        None => Err(PyOSError::new_err("bad file descriptor")),
    }
}

/// Close all descriptors that were laid out and not collected.
#[pyfunction]
pub(crate) fn clear_deposits() {
    passing::clear();
}
