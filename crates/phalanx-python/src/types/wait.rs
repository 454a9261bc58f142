//! `phalanx.connection.wait`.

use std::os::fd::RawFd;
use std::sync::Arc;

use phalanx::wait::{Source, WaitError, wait_any};
use phalanx_shm::patience::Patience;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::connection::{Channel, Connection};
use super::queue_ends::QueueReader;
use crate::ffi::borrow_fds;
use crate::interrupt;
use crate::once::intern;

/// One object of the list: what is waited for in its place.
enum Item {
    Channel(Arc<Channel>),
    Queue(Py<QueueReader>),
    Fd(RawFd),
}

impl Item {
    fn of(obj: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(connection) = obj.cast::<Connection>() {
            return connection.get().channel().map(Self::Channel);
        }
        if let Ok(reader) = obj.cast::<QueueReader>() {
            return Ok(Self::Queue(reader.clone().unbind()));
        }
        if let Ok(fd) = obj.extract::<RawFd>() {
            return Ok(Self::Fd(fd));
        }
        Ok(Self::Fd(obj.call_method0(intern!(obj.py(), "fileno"))?.extract()?))
    }
}

/// Wait until objects of the list are ready to be received from; return those that are.
///
/// The list may hold connections, readers of queues, sentinels of processes, sockets and anything
/// else with a descriptor.
#[pyfunction]
#[pyo3(signature = (object_list, timeout = None))]
pub(crate) fn wait<'py>(
    py: Python<'py>,
    object_list: &Bound<'py, PyAny>,
    timeout: Option<f64>,
) -> PyResult<Bound<'py, PyList>> {
    let objects: Vec<Bound<'py, PyAny>> = object_list.try_iter()?.collect::<PyResult<_>>()?;
    let items = objects.iter().map(Item::of).collect::<PyResult<Vec<_>>>()?;
    let numbers: Vec<RawFd> =
        items.iter().filter_map(|i| if let Item::Fd(fd) = i { Some(*fd) } else { None }).collect();
    if let Some(bad) = numbers.iter().find(|fd| **fd < 0) {
        let text = format!("Invalid file descriptor: {bad}");
        return Err(pyo3::exceptions::PyValueError::new_err(text));
    }
    let mut fds = borrow_fds(&numbers).into_iter();
    let mut sources = Vec::with_capacity(items.len());
    for item in &items {
        sources.push(match item {
            Item::Channel(channel) => match &**channel {
                Channel::Pipe(end) => Source::Pipe(end),
                Channel::Stream(stream) => Source::Fd(stream.fd()),
            },
            Item::Queue(reader) => Source::Queue(reader.get().engine()?),
            Item::Fd(_) => match fds.next() {
                Some(fd) => Source::Fd(fd),
                None => continue,
            },
        });
    }
    let mut result = wait_any(&sources, &Patience::none());
    if matches!(result, Err(WaitError::GaveUp(_))) && !timeout.is_some_and(|t| t <= 0.0) {
        let timeout = interrupt::timeout(timeout);
        result = interrupt::waiting(py, timeout, |patience| wait_any(&sources, &patience))?;
    }
    match result {
        Ok(ready) => {
            let ready = objects.into_iter().zip(ready).filter(|(_, ready)| *ready);
            PyList::new(py, ready.map(|(object, _)| object).collect::<Vec<_>>())
        }
        Err(WaitError::Io(e)) => Err(crate::error::os_error(e)),
        Err(_) => Ok(PyList::empty(py)),
    }
}
