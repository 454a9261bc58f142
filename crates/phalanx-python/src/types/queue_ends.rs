//! The ends of a queue, for those who know queues that are made of a pipe.

use std::os::fd::RawFd;

use phalanx::queue::RawQueue as Engine;
use phalanx_shm::patience::Patience;
use pyo3::prelude::*;

use super::queue::Queue;
use crate::interrupt;

/// The receiving end of a queue, for those who wait for several things at once.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct QueueReader(Py<Queue>);

impl QueueReader {
    pub(crate) fn engine(&self) -> PyResult<&Engine> {
        self.0.get().engine()
    }
}

#[pymethods]
impl QueueReader {
    #[new]
    fn new(queue: Py<Queue>) -> Self {
        Self(queue)
    }

    /// A descriptor that is readable while there is something to get.
    fn fileno(&self) -> PyResult<RawFd> {
        Ok(self.engine()?.fileno()?)
    }

    /// Whether there is something to get, waiting for it up to `timeout` seconds (`None`: for ever).
    #[pyo3(signature = (timeout = Some(0.0)))]
    fn poll(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let engine = self.engine()?;
        if engine.wait_for_message(&Patience::none()).is_ok() {
            return Ok(true);
        }
        if timeout.is_some_and(|seconds| seconds <= 0.0) {
            return Ok(false);
        }
        let timeout = interrupt::timeout(timeout);
        Ok(interrupt::waiting(py, timeout, |p| engine.wait_for_message(&p))?.is_ok())
    }

    /// The next object, waiting for it.
    fn recv(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Queue::get(self.0.bind(py), true, None)
    }

    /// The pickle of the next object, waiting for it.
    fn recv_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let pickler = py.import("phalanx.reduction")?.getattr("ForkingPickler")?;
        let pickle = pickler.call_method1("dumps", (self.recv(py)?,))?;
        pickle.call_method0("tobytes")
    }

    /// Gives up this process's end of the queue.
    fn close(&self) {
        self.0.get().close();
    }

    #[getter]
    fn closed(&self) -> bool {
        self.0.get()._closed()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0.is(&self.0))
    }

    fn __hash__(&self) -> usize {
        self.0.as_ptr() as usize >> 4
    }

    /// The queue travels, to a child that is being started.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (Py<Queue>,)) {
        (slf.get_type().into_any(), (slf.get().0.clone_ref(slf.py()),))
    }
}

/// The sending end of a queue.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct QueueWriter(Py<Queue>);

impl QueueWriter {
    pub(super) fn engine(&self) -> PyResult<&Engine> {
        self.0.get().engine()
    }
}

#[pymethods]
impl QueueWriter {
    #[new]
    fn new(queue: Py<Queue>) -> Self {
        Self(queue)
    }

    /// Puts an object into the queue.
    fn send(&self, py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        Queue::put(self.0.bind(py), obj, true, None)
    }

    /// Puts an object into the queue that has been pickled already.
    fn send_bytes(&self, py: Python<'_>, buf: &Bound<'_, PyAny>) -> PyResult<()> {
        let wrapped = py.import("phalanx._queue_names")?.getattr("Pickled")?.call1((buf,))?;
        self.send(py, &wrapped)
    }

    /// Gives up this process's end of the queue.
    fn close(&self) {
        self.0.get().close();
    }

    #[getter]
    fn closed(&self) -> bool {
        self.0.get()._closed()
    }

    /// The queue travels, to a child that is being started.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (Py<Queue>,)) {
        (slf.get_type().into_any(), (slf.get().0.clone_ref(slf.py()),))
    }
}

/// Where the engine's queue lies that an end belongs to.
pub(super) fn offset_behind(end: &Bound<'_, PyAny>) -> PyResult<u64> {
    if let Ok(reader) = end.cast::<QueueReader>() {
        return Ok(reader.get().engine()?.offset());
    }
    Ok(end.cast::<QueueWriter>()?.get().engine()?.offset())
}
