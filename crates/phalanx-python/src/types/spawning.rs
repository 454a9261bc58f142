//! Preparing a fresh process: its place, what is packed for it, and how it is started.

use std::ffi::CString;
use std::io;
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::{Mutex, PoisonError};

use phalanx::process::spawn::{self, Program};
use phalanx::process::{Reservation, handover, zygote};
use phalanx_os::inherit;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyTuple};

use super::process::Child;
use crate::codec::{self, Main};
use crate::error::os_error;

/// A place kept for a process that is about to be started, while values are packed for it.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct Spawning(Mutex<Option<Reservation>>);

impl Spawning {
    fn take(&self) -> PyResult<Reservation> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        place.take().ok_or_else(|| PyRuntimeError::new_err("the process has been started already"))
    }
}

#[pymethods]
impl Spawning {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(Mutex::new(Some(Reservation::new().map_err(os_error)?))))
    }

    /// Pack an object for the process; shared objects in it are held for it from now on.
    fn pack<'py>(
        &self,
        py: Python<'py>,
        obj: &Bound<'py, PyAny>,
        main_by_value: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let place = self.take()?;
        let packed = place.while_packing(|| pack(py, obj, main_by_value));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        packed
    }

    /// Start the process as a fresh program that gets `payload` and the descriptors `keep`.
    /// `{fd}` in an argument stands for the number of the handover. `started` is given the child.
    fn spawn(
        &self,
        py: Python<'_>,
        path: Vec<u8>,
        arguments: Vec<Vec<u8>>,
        payload: &[u8],
        keep: Vec<RawFd>,
        started: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let place = self.take()?;
        let command = Command::new(path, arguments)?;
        let child = py
            .detach(|| command.with(|program| spawn::spawn(program, place, payload, &keep)))
            .map_err(os_error)?;
        Child::hand_over(py, child, started)
    }

    /// Start the process as a copy of the zygote, which is launched by the given command, with
    /// what `prepare()` returns as its payload, if there is none. `started` is given the child.
    #[allow(clippy::too_many_arguments)]
    fn request(
        &self,
        py: Python<'_>,
        path: Vec<u8>,
        arguments: Vec<Vec<u8>>,
        prepare: &Bound<'_, PyAny>,
        payload: &[u8],
        fds: Vec<RawFd>,
        started: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let place = self.take()?;
        let command = Command::new(path, arguments)?;
        let fds = crate::ffi::borrow_fds(&fds);
        let child =
            launching(py, &command, prepare, |launch| zygote::start(launch, place, payload, &fds))?;
        Child::hand_over(py, child, started)
    }
}

/// Runs `act` without the GIL with the means to launch a zygote; an exception that `prepare`
/// raises comes first.
pub(super) fn launching<T: Send>(
    py: Python<'_>,
    command: &Command,
    prepare: &Bound<'_, PyAny>,
    act: impl FnOnce(&zygote::Launch<'_>) -> io::Result<T> + Send,
) -> PyResult<T> {
    let prepare = prepare.clone().unbind();
    let raised = Mutex::new(None);
    let result = py.detach(|| {
        let payload = || prepared(&prepare, &raised);
        command.with(|program| {
            let program = Program { path: program.path, arguments: program.arguments };
            act(&zygote::Launch { program, payload: &payload })
        })
    });
    match raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(raised) => Err(raised),
        None => result.map_err(os_error),
    }
}

/// Calls Python for the zygote's payload; keeps the exception that it raised.
fn prepared(prepare: &Py<PyAny>, raised: &Mutex<Option<PyErr>>) -> io::Result<Vec<u8>> {
    Python::attach(|py| {
        prepare.bind(py).call0().and_then(|payload| payload.extract()).map_err(|e| {
            *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
            io::Error::other("the forkserver could not be prepared")
        })
    })
}

pub(super) struct Command {
    path: CString,
    arguments: Vec<Vec<u8>>,
}

impl Command {
    pub(super) fn new(path: Vec<u8>, arguments: Vec<Vec<u8>>) -> PyResult<Self> {
        let no_zero = |_| PyValueError::new_err("embedded null byte in a command line");
        if arguments.iter().any(|a| a.contains(&0)) {
            return Err(PyValueError::new_err("embedded null byte in a command line"));
        }
        Ok(Self { path: CString::new(path).map_err(no_zero)?, arguments })
    }

    fn with<T>(&self, run: impl FnOnce(&Program<'_>) -> T) -> T {
        let arguments = |number: RawFd| {
            let number = number.to_string();
            let filled =
                self.arguments.iter().map(|a| match a.windows(4).position(|w| w == b"{fd}") {
                    Some(at) => [&a[..at], number.as_bytes(), &a[at + 4..]].concat(),
                    None => a.clone(),
                });
            filled.filter_map(|a| CString::new(a).ok()).collect()
        };
        run(&Program { path: &self.path, arguments: &arguments })
    }
}

/// Pack an object into one run of bytes, buffers included.
pub(crate) fn pack<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    main_by_value: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let main = if main_by_value { Main::ByValue } else { Main::ByReference };
    let mut frame = Vec::new();
    let buffers = codec::encode_with(py, obj, &mut frame, Some(main))?;
    let mut packed = Vec::with_capacity(frame.len() + 8);
    let mut add = |part: &[u8]| {
        packed.extend_from_slice(&(part.len() as u64).to_le_bytes());
        packed.extend_from_slice(part);
    };
    add(&frame);
    for buffer in buffers.iter() {
        add(buffer.as_slice(py));
    }
    Ok(PyBytes::new(py, &packed))
}

/// Unpack what `Spawning.pack` made.
#[pyfunction]
pub(crate) fn unpack(py: Python<'_>, packed: &[u8]) -> PyResult<Py<PyAny>> {
    let mut parts = Vec::new();
    let mut rest = packed;
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let len = usize::try_from(u64::from_le_bytes(*head)).unwrap_or(usize::MAX);
        let part = tail.get(..len).ok_or_else(|| PyValueError::new_err("truncated package"))?;
        parts.push(part);
        rest = &tail[len..];
    }
    let (frame, buffers) =
        parts.split_first().ok_or_else(|| PyValueError::new_err("empty package"))?;
    let buffers = buffers.iter().map(|b| PyByteArray::new(py, b).into_any().unbind()).collect();
    codec::decode(py, frame, buffers)
}

/// Take over what this fresh process was handed; return the payload and, in a zygote, the number
/// of its door.
#[pyfunction]
#[pyo3(signature = (number, zygote = false))]
pub(crate) fn accept_handover<'py>(
    py: Python<'py>,
    number: RawFd,
    zygote: bool,
) -> PyResult<(Bound<'py, PyBytes>, Option<RawFd>)> {
    let accepted = handover::accept(number, zygote).map_err(os_error)?;
    let door = accepted.door.map(IntoRawFd::into_raw_fd);
    Ok((PyBytes::new(py, &accepted.payload), door))
}

/// In a zygote: fork on request. Return `None` when nobody is left who could ask; in a child
/// return the payload and the descriptors that it was born with.
#[pyfunction]
pub(crate) fn serve_zygote<'py>(
    py: Python<'py>,
    door: RawFd,
) -> PyResult<Option<(Bound<'py, PyBytes>, Bound<'py, PyTuple>)>> {
    let door = inherit::take(door).map_err(os_error)?;
    match zygote::serve(door, &mut || crate::fork::fork_alone(py)).map_err(os_error)? {
        zygote::Served::Done => Ok(None),
        zygote::Served::Child(born) => {
            let fds = born.fds.into_iter().map(IntoRawFd::into_raw_fd);
            let fds = PyTuple::new(py, fds.collect::<Vec<_>>())?;
            Ok(Some((PyBytes::new(py, &born.payload), fds)))
        }
    }
}
