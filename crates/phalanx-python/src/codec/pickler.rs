//! Tier 2, pickle protocol 5 with large buffers out of band, and the way on to tier 3.
//!
//! `_pickle` is used directly: importing `pickle` costs milliseconds that a fresh worker feels.
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::once::{MadeOnce, intern};
use pyo3::exceptions::{PyAttributeError, PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use pyo3::wrap_pyfunction;

use super::encode::{Main, OutOfBand};
use super::frame::{OUT_OF_BAND, tag};
use super::reducers::registered;
use crate::ffi::{Payload, call_with_keyword};

static MAIN_BY_VALUE: AtomicBool = AtomicBool::new(false);

/// Whether what `__main__` defines travels by value from now on, where a call does not say.
#[pyfunction]
#[pyo3(name = "_set_main_by_value")]
pub(crate) fn set_main_by_value(by_value: bool) {
    MAIN_BY_VALUE.store(by_value, Ordering::Relaxed);
}

/// What is looked up once for each interpreter.
struct Tools {
    pickler: Py<PyAny>,
    bytes_io: Py<PyAny>,
    dispatch_table: Py<PyDict>,
    dumps: Py<PyAny>,
    loads: Py<PyAny>,
    pickling_error: Py<PyAny>,
    collect: Py<PyAny>,
    protocol: Py<PyAny>,
    buffer_callback: Py<PyTuple>,
    buffers: Py<PyTuple>,
}

static TOOLS: PyOnceLock<Tools> = PyOnceLock::new();

fn tools(py: Python<'_>) -> PyResult<&Tools> {
    TOOLS.made(py, || {
        let module = py.import("_pickle")?;
        Ok(Tools {
            dumps: module.getattr("dumps")?.unbind(),
            loads: module.getattr("loads")?.unbind(),
            pickling_error: module.getattr("PicklingError")?.unbind(),
            pickler: module.getattr("Pickler")?.unbind(),
            bytes_io: py.import("io")?.getattr("BytesIO")?.unbind(),
            dispatch_table: py.import("copyreg")?.getattr("dispatch_table")?.cast_into()?.unbind(),
            collect: wrap_pyfunction!(collect, py)?.into_any().unbind(),
            protocol: 5_i32.into_pyobject(py)?.into_any().unbind(),
            buffer_callback: PyTuple::new(py, ["buffer_callback"])?.unbind(),
            buffers: PyTuple::new(py, ["buffers"])?.unbind(),
        })
    })
}

thread_local! {
    /// The large buffers that the pickling at work in this thread has met so far.
    static COLLECTED: RefCell<OutOfBand> = const { RefCell::new(Vec::new()) };
}

/// The pickler's question about each buffer: true keeps it in the pickle.
#[pyfunction]
fn collect(buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
    let payload = Payload::of_exporter(buffer)?;
    if payload.len() < OUT_OF_BAND {
        return Ok(true);
    }
    COLLECTED.with_borrow_mut(|collected| collected.push(payload));
    Ok(false)
}

/// Gives one pickling its own collection, and the one around it back afterwards: an object's
/// `__reduce__` may itself send something.
struct Collection {
    outer: OutOfBand,
}

impl Collection {
    fn open() -> Self {
        Self { outer: COLLECTED.take() }
    }

    fn close(self) -> OutOfBand {
        COLLECTED.take()
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        COLLECTED.set(std::mem::take(&mut self.outer));
    }
}

/// Appends `obj` as a pickle; tier 3 if tier 2 refuses.
pub(super) fn encode<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    out: &mut Vec<u8>,
    main: Option<Main>,
) -> PyResult<OutOfBand> {
    let collection = Collection::open();
    let stream = tiers(py, obj, main, Some(tools(py)?.collect.bind(py)))?;
    Ok(append(&stream, collection.close(), out))
}

/// The pickle of `obj` in one piece, large buffers included; tiers 2 and 3 as for `encode`.
pub(crate) fn encode_whole<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    main: Option<Main>,
) -> PyResult<Bound<'py, PyBytes>> {
    tiers(py, obj, main, None)
}

/// The pickle of a function or class that the receiver finds by its name; nothing if it has none.
pub(super) fn encode_name<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    main: Option<Main>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    match dump(py, obj, None) {
        Ok(stream) if main_by_value(main) && names_main(stream.as_bytes()) => Ok(None),
        Err(refusal) if is_refusal(py, &refusal) => Ok(None),
        done => done.map(Some),
    }
}

fn tiers<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    main: Option<Main>,
    collect: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let by_value = main_by_value(main);
    let mut dumped = dump(py, obj, collect);
    if dumped.as_ref().is_err_and(|refusal| is_refusal(py, refusal)) && learned(py) {
        COLLECTED.with_borrow_mut(Vec::clear);
        dumped = dump(py, obj, collect);
    }
    match dumped {
        Ok(stream) if by_value && names_main(stream.as_bytes()) => {
            COLLECTED.with_borrow_mut(Vec::clear);
            dump_by_value(py, obj, true, collect)
        }
        Err(refusal) if is_refusal(py, &refusal) => {
            COLLECTED.with_borrow_mut(Vec::clear);
            dump_by_value(py, obj, by_value, collect).map_err(|error| {
                // Ctrl-C, for one, is not about the object.
                let is_about_it = error.is_instance_of::<PyException>(py);
                if is_about_it { located(py, obj, refusal) } else { error }
            })
        }
        done => done,
    }
}

/// Whether there are reducers that were not known so far: for sockets, which are seldom sent, and
/// what other packages have registered with the standard library.
#[cold]
fn learned(py: Python<'_>) -> bool {
    let adopt = || -> PyResult<bool> {
        py.import("phalanx.reduction")?.call_method0("adopt_neighbours")?.extract()
    };
    adopt().unwrap_or(false)
}

/// Whether `__main__` goes by value, for a call that asked for `main`.
pub(super) fn main_by_value(main: Option<Main>) -> bool {
    match main {
        Some(main) => main == Main::ByValue,
        None => MAIN_BY_VALUE.load(Ordering::Relaxed),
    }
}

fn append(stream: &Bound<'_, PyBytes>, collected: OutOfBand, out: &mut Vec<u8>) -> OutOfBand {
    let bytes = stream.as_bytes();
    if bytes.len() < OUT_OF_BAND {
        out.reserve(1 + bytes.len());
        out.push(tag::OPAQUE);
        out.extend_from_slice(bytes);
        return collected;
    }
    out.push(tag::OPAQUE_BUFFER);
    let mut payloads = Vec::with_capacity(1 + collected.len());
    payloads.push(Payload::of_bytes(stream));
    payloads.extend(collected);
    payloads
}

fn dump<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    collect: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let tools = tools(py)?;
    let stream = match (registered(py), collect) {
        (Some(reducers), _) => dump_with_reducers(py, tools, obj, &reducers, collect)?,
        (None, None) => tools.dumps.bind(py).call1((obj, &tools.protocol))?,
        (None, Some(collect)) => call_with_keyword(
            tools.dumps.bind(py),
            [obj.as_borrowed(), tools.protocol.bind_borrowed(py), collect.as_borrowed()],
            tools.buffer_callback.bind(py),
        )?,
    };
    Ok(stream.cast_into::<PyBytes>()?)
}

/// Pickles with the registered reducers added to those of `copyreg`, which may have changed since
/// the last time.
fn dump_with_reducers<'py>(
    py: Python<'py>,
    tools: &Tools,
    obj: &Bound<'py, PyAny>,
    reducers: &Bound<'py, PyDict>,
    collect: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let merged = tools.dispatch_table.bind(py).copy()?;
    merged.update(reducers.as_mapping())?;
    let file = tools.bytes_io.bind(py).call0()?;
    let none = py.None();
    let collect = collect.map_or_else(|| none.bind_borrowed(py), |collect| collect.as_borrowed());
    let pickler = call_with_keyword(
        tools.pickler.bind(py),
        [file.as_borrowed(), tools.protocol.bind_borrowed(py), collect],
        tools.buffer_callback.bind(py),
    )?;
    pickler.setattr(intern!(py, "dispatch_table"), merged)?;
    pickler.call_method1(intern!(py, "dump"), (obj,))?;
    file.call_method0(intern!(py, "getvalue"))
}

/// Tier 3; `main` says whether what `__main__` defines goes by value even if it has a name.
pub(super) fn dump_by_value<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    main: bool,
    collect: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let dumps = py.import("phalanx._by_value")?.getattr(intern!(py, "dumps"))?;
    let stream = dumps.call1((obj, collect, main, registered(py)))?;
    Ok(stream.cast_into::<PyBytes>()?)
}

/// Whether cloudpickle may know a way where pickle did not.
fn is_refusal(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyAttributeError>(py)
        || is_pickling_error(py, error)
}

fn is_pickling_error(py: Python<'_>, error: &PyErr) -> bool {
    tools(py).is_ok_and(|tools| error.matches(py, tools.pickling_error.bind(py)).unwrap_or(false))
}

/// Whether a pickle may refer to something by a name in `__main__`.
fn names_main(stream: &[u8]) -> bool {
    stream.windows(8).any(|window| window == b"__main__")
}

/// The error with the path to the part that cannot be pickled, where a search finds one.
#[cold]
fn located(py: Python<'_>, obj: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let locate = || -> PyResult<()> {
        let find = py.import("phalanx._locate")?.getattr("add_location")?;
        find.call1((error.value(py), obj))?;
        Ok(())
    };
    // Without the path the error is still the right one.
    let _ = locate();
    error
}

/// Unpickles a pickle that is in one piece.
pub(crate) fn load_whole<'py>(
    py: Python<'py>,
    stream: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    load(py, stream, Vec::new().into_iter())
}

/// Unpickles `stream`; `buffers` are the out-of-band ones, in order.
pub(super) fn load<'py>(
    py: Python<'py>,
    stream: &Bound<'py, PyAny>,
    buffers: std::vec::IntoIter<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let tools = tools(py)?;
    let loads = tools.loads.bind(py);
    if buffers.len() == 0 {
        return loads.call1((stream,));
    }
    let buffers = PyList::new(py, buffers)?;
    call_with_keyword(
        loads,
        [stream.as_borrowed(), buffers.as_any().as_borrowed()],
        tools.buffers.bind(py),
    )
}
