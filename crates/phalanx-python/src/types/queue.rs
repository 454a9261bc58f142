//! `_core.Queue`: what the queues of `phalanx.queues` are made of.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::once::FoundOnce;
use phalanx::message::{Incoming, Outgoing};
use phalanx::queue::{NewQueueError, RawQueue as Engine};
use phalanx_shm::family::Family;
use phalanx_shm::patience::GaveUp;
use phalanx_shm::ring::PutError;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyGenericAlias, PyTuple, PyType};

use crate::codec;
use crate::interrupt;
use crate::message::{self, object_of, outgoing, with_scratch};

/// A queue of objects that processes share. `phalanx.queues` gives it its names and classes.
#[pyclass(subclass, frozen, weakref, module = "phalanx._core")]
pub(crate) struct Queue {
    engine: OnceLock<Engine>,
    closed: AtomicBool,
}

impl Queue {
    #[inline]
    pub(super) fn engine(&self) -> PyResult<&Engine> {
        self.engine.get().ok_or_else(not_initialized)
    }

    /// The engine's queue, unless this process has closed its end.
    #[inline]
    fn open<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a Engine> {
        let this = slf.get();
        if this.closed.load(Ordering::Relaxed) {
            return Err(closed(slf));
        }
        this.engine()
    }
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, pyo3::types::PyDict>>) -> Self {
        Self { engine: OnceLock::new(), closed: AtomicBool::new(false) }
    }

    /// The class with a parameter, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyGenericAlias>> {
        PyGenericAlias::new(cls.py(), cls.as_any(), item)
    }

    /// Make the queue itself, for at most `maxsize` objects; 0 or less is no limit.
    fn _create(&self, maxsize: i64) -> PyResult<()> {
        let limit = u32::try_from(maxsize).ok().and_then(NonZeroU32::new);
        let engine = Engine::new(limit).map_err(cannot_make)?;
        self.engine.set(engine).map_err(|_| PyRuntimeError::new_err("the queue exists already"))
    }

    /// Become a handle to the queue at `offset`, which this process was given.
    fn _attach(&self, offset: u64) -> PyResult<()> {
        let engine = Engine::from_offset(Family::get().map_err(crate::error::os_error)?, offset)
            .map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
        self.engine.set(engine).map_err(|_| PyRuntimeError::new_err("the queue exists already"))
    }

    /// Become a handle to the queue that `end` is an end of, unless this is one already.
    fn _adopt(&self, end: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.engine.get().is_some() {
            return Ok(());
        }
        self._attach(super::queue_ends::offset_behind(end)?)
    }

    /// Let the child that is being started have the queue; return where it lies.
    fn _share(&self) -> PyResult<u64> {
        let engine = self.engine()?;
        if let Some(slot) = phalanx::process::spawning_slot() {
            engine.hold_for(slot);
        }
        Ok(engine.offset())
    }

    /// Put an object into the queue.
    ///
    /// The object is pickled now: later changes of it are not seen by who gets it. If the queue is
    /// full, wait for room: for ever, for `timeout` seconds, or, if `block` is false, not at all; then
    /// raise `queue.Full`.
    #[pyo3(signature = (obj, block = true, timeout = None))]
    pub(super) fn put(
        slf: &Bound<'_, Self>,
        obj: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let engine = Self::open(slf)?;
        with_scratch(|frame| put(slf.py(), engine, obj, frame, block, timeout))
    }

    /// Put an object into the queue if there is room; otherwise raise `queue.Full`.
    fn put_nowait(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::put(slf, obj, false, None)
    }

    /// Put several objects, in order. If one cannot be put, those before it have been.
    #[pyo3(signature = (objs, block = true, timeout = None))]
    fn put_many(
        slf: &Bound<'_, Self>,
        objs: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let engine = Self::open(slf)?;
        for obj in objs.try_iter()? {
            with_scratch(|frame| put(slf.py(), engine, &obj?, frame, block, timeout))?;
        }
        Ok(())
    }

    /// Take the oldest object out of the queue.
    ///
    /// If there is none, wait: for ever, for `timeout` seconds, or, if `block` is false, not at all;
    /// then raise `queue.Empty`.
    #[pyo3(signature = (block = true, timeout = None))]
    pub(super) fn get(
        slf: &Bound<'_, Self>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let engine = Self::open(slf)?;
        with_scratch(|frame| get(slf.py(), engine, frame, block, timeout))
    }

    /// Take the oldest object out of the queue if there is one; otherwise raise `queue.Empty`.
    fn get_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::get(slf, false, None)
    }

    /// Take all objects that are there, at most `max` of them; wait for the first as `get` does.
    #[pyo3(signature = (max = None, block = true, timeout = None))]
    fn get_many(
        slf: &Bound<'_, Self>,
        max: Option<usize>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let py = slf.py();
        let engine = Self::open(slf)?;
        let max = max.unwrap_or(usize::MAX);
        let mut taken = Vec::new();
        if max == 0 {
            return Ok(taken);
        }
        taken.push(with_scratch(|frame| get(py, engine, frame, block, timeout))?);
        while taken.len() < max {
            let next = with_scratch(|frame| {
                let message = engine.try_take(frame).ok();
                message.map(|m| object_of(py, m, frame, 0)).transpose()
            });
            match next? {
                Some(object) => taken.push(object),
                None => break,
            }
        }
        Ok(taken)
    }

    /// The number of objects in the queue at this moment.
    fn qsize(&self) -> PyResult<usize> {
        Ok(self.engine()?.len())
    }

    /// Whether the queue is empty at this moment.
    fn empty(&self) -> PyResult<bool> {
        Ok(self.engine()?.is_empty())
    }

    /// Whether the queue is full at this moment.
    fn full(&self) -> PyResult<bool> {
        Ok(self.engine()?.is_full())
    }

    /// Give up this process's end of the queue. What was put stays in it for the others.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    #[getter]
    pub(super) fn _closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    #[getter]
    fn _maxsize(&self) -> PyResult<u32> {
        Ok(self.engine()?.limit().map_or(0, NonZeroU32::get))
    }

    /// Say that a task formerly taken out of the queue has been dealt with.
    fn _task_done(&self) -> PyResult<()> {
        if self.engine()?.task_done() {
            return Ok(());
        }
        Err(PyValueError::new_err("task_done() called too many times"))
    }

    /// Refuse what is put from now on; with `immediate` throw away what is there.
    fn _shut_down(&self, py: Python<'_>, immediate: bool) -> PyResult<()> {
        let engine = self.engine()?;
        let _ = interrupt::waiting(py, None, |patience| engine.shut_down(immediate, &patience))?;
        Ok(())
    }

    /// Wait until every object ever put has been dealt with.
    fn _join(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.engine()?;
        // Interrupted: the exception is the result.
        let _ = interrupt::waiting(py, None, |patience| engine.join(&patience))?;
        Ok(())
    }
}

#[inline]
fn put(
    py: Python<'_>,
    engine: &Engine,
    obj: &Bound<'_, PyAny>,
    frame: &mut Vec<u8>,
    block: bool,
    timeout: Option<f64>,
) -> PyResult<()> {
    let payloads = codec::encode(py, obj, frame)?;
    let mut message = Some(outgoing(py, engine.family(), frame, &payloads)?);
    match engine.try_put(&mut message) {
        Ok(()) => Ok(()),
        Err(PutError::OutOfMemory(e)) => Err(message::out_of_memory(e)),
        Err(PutError::GaveUp(_)) if engine.is_shut_down() => Err(shut_down(py)),
        Err(PutError::GaveUp(_)) => wait_to_put(py, engine, &mut message, block, timeout),
    }
}

#[cold]
fn wait_to_put(
    py: Python<'_>,
    engine: &Engine,
    message: &mut Option<Outgoing<'_>>,
    block: bool,
    timeout: Option<f64>,
) -> PyResult<()> {
    if block && !timeout.is_some_and(|seconds| seconds <= 0.0) {
        let limit = interrupt::timeout(timeout);
        match interrupt::waiting(py, limit, |patience| engine.put(message, &patience))? {
            Ok(()) => return Ok(()),
            Err(PutError::OutOfMemory(e)) => return Err(message::out_of_memory(e)),
            Err(PutError::GaveUp(_)) if engine.is_shut_down() => return Err(shut_down(py)),
            Err(PutError::GaveUp(_)) => {}
        }
    }
    Err(raise(py, "Full"))
}

#[inline]
fn get(
    py: Python<'_>,
    engine: &Engine,
    frame: &mut Vec<u8>,
    block: bool,
    timeout: Option<f64>,
) -> PyResult<Py<PyAny>> {
    let message = match engine.try_take(frame) {
        Ok(message) => message,
        Err(_) => wait_to_get(py, engine, frame, block, timeout)?,
    };
    object_of(py, message, frame, 0)
}

#[cold]
fn wait_to_get(
    py: Python<'_>,
    engine: &Engine,
    frame: &mut Vec<u8>,
    block: bool,
    timeout: Option<f64>,
) -> PyResult<Incoming> {
    if block && !timeout.is_some_and(|seconds| seconds <= 0.0) {
        let limit = interrupt::timeout(timeout);
        let taken: Result<_, GaveUp> =
            interrupt::waiting(py, limit, |patience| engine.take(frame, &patience))?;
        if let Ok(message) = taken {
            return Ok(message);
        }
    }
    if engine.is_shut_down() {
        // What was put before the end is still to be had.
        return engine.try_take(frame).map_err(|_| shut_down(py));
    }
    Err(raise(py, "Empty"))
}

#[cold]
fn shut_down(py: Python<'_>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASS.found(py, "phalanx.queues", "ShutDown") {
        Ok(class) => PyErr::from_type(class.clone(), ()),
        Err(error) => error,
    }
}

/// The exception of that name of the module `queue`, which is imported only now.
#[cold]
fn raise(py: Python<'_>, name: &str) -> PyErr {
    static FULL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static EMPTY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = if name == "Full" { &FULL } else { &EMPTY };
    match class.found(py, "queue", name) {
        Ok(class) => PyErr::from_type(class.clone(), ()),
        Err(error) => error,
    }
}

#[cold]
fn closed(queue: &Bound<'_, Queue>) -> PyErr {
    PyValueError::new_err(format!("Queue {queue} is closed"))
}

#[cold]
fn not_initialized() -> PyErr {
    PyRuntimeError::new_err("the queue was not initialized: call the base class's __init__ first")
}

#[cold]
fn cannot_make(error: NewQueueError) -> PyErr {
    match error {
        NewQueueError::NoArena(e) => crate::error::os_error(e),
        other => PyMemoryError::new_err(other.to_string()),
    }
}
