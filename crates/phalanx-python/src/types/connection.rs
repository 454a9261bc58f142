//! `phalanx.connection.Connection`: one end of a pipe, or of somebody else's socket.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phalanx::connection::{Partial, Stream, StreamError};
use phalanx::message::{Incoming, Outgoing, Parcel};
use phalanx::pipe::{self, End, EndParts};
use phalanx_shm::family::Family;
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::SlotId;
use phalanx_shm::ring::INLINE_MAX;
use pyo3::exceptions::{PyEOFError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::connection_errors as errors;
use crate::codec;
use crate::ffi::{Payload, SharedBuffer};
use crate::interrupt;
use crate::message::{damaged, object_of_parcel, out_of_memory, outgoing, with_scratch};
use crate::once::intern;

/// The first byte of a pipe's message: an object, encoded by the codec.
const OBJECT: u8 = 0;
/// The first byte of a pipe's message: plain bytes. In a parcel they are its only buffer, whose
/// length follows.
const BYTES: u8 = 1;

/// Up to this size messages are sent over sockets without giving the GIL up.
const AT_ONCE: usize = 64 * 1024;
/// The bytes before a message of that size.
const HEADER: usize = 4;

/// What messages travel over.
pub(crate) enum Channel {
    /// A pipe of ours.
    Pipe(End),
    /// A descriptor that somebody else made.
    Stream(Stream),
}

impl Channel {
    /// Lets another process have the end, before it is given the descriptor.
    pub(crate) fn hold_for(&self, slot: SlotId) {
        if let Self::Pipe(end) = self {
            end.hold_for(slot);
        }
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        match self {
            Self::Pipe(end) => end.socket().as_raw_fd(),
            Self::Stream(stream) => stream.fd().as_raw_fd(),
        }
    }

    pub(crate) fn is_ready(&self) -> PyResult<bool> {
        match self {
            Self::Pipe(end) => end.is_ready().map_err(errors::recv),
            Self::Stream(stream) => {
                errors::unless_given_up(stream.wait_for_message(&Patience::none()))
            }
        }
    }
}

/// One end of a connection.
///
/// `Connection(handle)` takes over a descriptor, over which it speaks the standard library's format.
#[pyclass(subclass, frozen, weakref, module = "phalanx.connection")]
pub(crate) struct Connection {
    channel: Mutex<Option<Arc<Channel>>>,
    readable: AtomicBool,
    writable: AtomicBool,
}

/// A received message, before anybody made something of it.
enum Message {
    /// An object's frame, and where it came in if it is not inline.
    Object(Incoming),
    /// Bytes.
    Bytes(Py<PyBytes>),
}

impl Connection {
    fn of(channel: Channel, readable: bool, writable: bool) -> Self {
        Self {
            channel: Mutex::new(Some(Arc::new(channel))),
            readable: AtomicBool::new(readable),
            writable: AtomicBool::new(writable),
        }
    }

    /// One over a socket.
    pub(super) fn of_stream(stream: Stream) -> Self {
        Self::of(Channel::Stream(stream), true, true)
    }

    fn of_end(end: End) -> Self {
        let (readable, writable) = (end.is_readable(), end.is_writable());
        Self::of(Channel::Pipe(end), readable, writable)
    }

    fn place(&self) -> MutexGuard<'_, Option<Arc<Channel>>> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn channel(&self) -> PyResult<Arc<Channel>> {
        self.place().clone().ok_or_else(|| PyOSError::new_err("handle is closed"))
    }

    /// Whether its messages lie in shared memory.
    pub(crate) fn is_of_pipe(&self) -> PyResult<bool> {
        Ok(matches!(&*self.channel()?, Channel::Pipe(_)))
    }

    fn reading(&self) -> PyResult<Arc<Channel>> {
        let channel = self.channel()?;
        if self.readable.load(Ordering::Relaxed) {
            return Ok(channel);
        }
        Err(PyOSError::new_err("connection is write-only"))
    }

    fn writing(&self) -> PyResult<Arc<Channel>> {
        let channel = self.channel()?;
        if self.writable.load(Ordering::Relaxed) {
            return Ok(channel);
        }
        Err(PyOSError::new_err("connection is read-only"))
    }

    fn receive(py: Python<'_>, channel: &Channel, frame: &mut Vec<u8>) -> PyResult<Message> {
        let message = match channel {
            Channel::Pipe(end) => match end.try_recv(frame).map_err(errors::recv)? {
                Some(message) => message,
                None => interrupt::waiting(py, None, |patience| end.recv(frame, &patience))?
                    .map_err(errors::recv)?,
            },
            Channel::Stream(stream) => {
                receive_from(py, stream, frame, None)?;
                return Ok(Message::Bytes(PyBytes::new(py, frame).unbind()));
            }
        };
        let Incoming::Parcel(parcel) = message else {
            return Ok(match frame.first() {
                Some(&BYTES) => Message::Bytes(PyBytes::new(py, &frame[1..]).unbind()),
                _ => Message::Object(Incoming::Inline),
            });
        };
        frame.clear();
        parcel.read_frame(frame).map_err(damaged)?;
        let Some((&BYTES, length)) = frame.split_first() else {
            return Ok(Message::Object(Incoming::Parcel(parcel)));
        };
        let length = length.try_into().map_or(u64::MAX, u64::from_le_bytes);
        let slice = parcel.into_buffers([length]).map_err(damaged)?.remove(0);
        Ok(Message::Bytes(SharedBuffer::with_bytes(&slice, |b| PyBytes::new(py, b)).unbind()))
    }

    /// The next message as bytes, an object's those of its pickle; `None` if they are more than `max`.
    fn receive_bytes(&self, py: Python<'_>, max: Option<u64>) -> PyResult<Option<Py<PyBytes>>> {
        let channel = self.reading()?;
        with_scratch(|frame| {
            if let Channel::Stream(stream) = &*channel {
                let came = receive_from(py, stream, frame, max)?;
                return Ok(came.then(|| PyBytes::new(py, frame).unbind()));
            }
            let bytes = match Self::receive(py, &channel, frame)? {
                Message::Bytes(bytes) => bytes,
                Message::Object(message) => {
                    let object = object(py, message, frame)?;
                    codec::encode_whole(py, object.bind(py), None)?.unbind()
                }
            };
            let len = bytes.as_bytes(py).len() as u64;
            Ok(max.is_none_or(|max| len <= max).then_some(bytes))
        })
    }
}

/// Makes the object of a message whose frame, from its second byte on, is the codec's.
fn object(py: Python<'_>, message: Incoming, frame: &[u8]) -> PyResult<Py<PyAny>> {
    let frame = frame.get(1..).unwrap_or_default();
    match message {
        Incoming::Inline => codec::decode(py, frame, Vec::new()),
        Incoming::Parcel(parcel) => object_of_parcel(py, parcel, frame),
    }
}

fn send(py: Python<'_>, end: &End, message: Outgoing<'_>) -> PyResult<()> {
    let mut message = Some(message);
    match end.send(&mut message, &Patience::none()) {
        Ok(()) => Ok(()),
        Err(pipe::SendError::GaveUp(_)) => {
            interrupt::waiting(py, None, |patience| end.send(&mut message, &patience))?
                .map_err(errors::send)
        }
        Err(e) => Err(errors::send(e)),
    }
}

fn send_bytes(py: Python<'_>, end: &End, bytes: &[u8]) -> PyResult<()> {
    let family = end.family().ok_or_else(|| PyOSError::new_err("handle is closed"))?;
    if bytes.len() < INLINE_MAX {
        return with_scratch(|frame| {
            frame.push(BYTES);
            frame.extend_from_slice(bytes);
            send(py, end, Outgoing::Inline(frame))
        });
    }
    let mut frame = vec![BYTES];
    frame.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    let fill = || {
        let mut parcel = Parcel::new(family, &frame, &[bytes.len()])?;
        parcel.push(bytes);
        Ok(parcel)
    };
    let parcel = py.detach(fill).map_err(out_of_memory)?;
    send(py, end, Outgoing::Parcel(parcel))
}

/// Sends bytes as one message, without giving the GIL up if that goes at once.
fn send_over(py: Python<'_>, stream: &Stream, bytes: &[u8]) -> PyResult<()> {
    let done = if bytes.len() <= AT_ONCE { stream.send_some(bytes) } else { Ok(0) };
    let done = done.map_err(errors::stream)?;
    if done >= bytes.len() + HEADER {
        return Ok(());
    }
    interrupt::waiting(py, None, |patience| stream.send_rest(bytes, done, &patience))?
        .map_err(errors::stream)
}

/// Receives a message, without giving the GIL up if it is there. False if it is longer than `max`,
/// and nothing of it has been read.
fn receive_from(
    py: Python<'_>,
    stream: &Stream,
    frame: &mut Vec<u8>,
    max: Option<u64>,
) -> PyResult<bool> {
    let mut partial = Partial::default();
    let mut came = stream.advance(&mut partial, frame, max);
    if matches!(came, Ok(false)) {
        let wait = |patience: Patience<'_>| {
            stream.recv_rest(&mut partial, frame, max, &patience).map(|()| true)
        };
        came = interrupt::waiting(py, None, wait)?;
    }
    match came {
        Err(StreamError::TooLong(_)) if max.is_some() => Ok(false),
        other => other.map_err(errors::stream),
    }
}

#[pymethods]
impl Connection {
    #[new]
    #[pyo3(signature = (handle, readable = true, writable = true))]
    fn new(handle: RawFd, readable: bool, writable: bool) -> PyResult<Self> {
        if handle < 0 {
            return Err(PyValueError::new_err("invalid handle"));
        }
        if !readable && !writable {
            return Err(PyValueError::new_err(
                "at least one of `readable` and `writable` must be True",
            ));
        }
        let stream = Stream::new(phalanx_os::inherit::take(handle)?);
        Ok(Self::of(Channel::Stream(stream), readable, writable))
    }

    /// Send an object.
    pub(crate) fn send(&self, py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        let channel = self.writing()?;
        match &*channel {
            Channel::Pipe(end) => with_scratch(|frame| {
                frame.push(OBJECT);
                let payloads = codec::encode(py, obj, frame)?;
                let family = end.family().ok_or_else(|| PyOSError::new_err("handle is closed"))?;
                send(py, end, outgoing(py, family, frame, &payloads)?)
            }),
            Channel::Stream(stream) => {
                let pickle = codec::encode_whole(py, obj, None)?;
                send_over(py, stream, pickle.as_bytes())
            }
        }
    }

    /// Receive an object. Raise `EOFError` if the other end is closed and nothing is left.
    pub(crate) fn recv(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let channel = self.reading()?;
        with_scratch(|frame| match Self::receive(py, &channel, frame)? {
            Message::Object(message) => object(py, message, frame),
            Message::Bytes(pickle) => Ok(codec::load_whole(py, pickle.bind(py).as_any())?.unbind()),
        })
    }

    /// Send the bytes of a bytes-like object as one message.
    #[pyo3(signature = (buf, offset = 0, size = None))]
    fn send_bytes(
        &self,
        py: Python<'_>,
        buf: &Bound<'_, PyAny>,
        offset: isize,
        size: Option<isize>,
    ) -> PyResult<()> {
        let channel = self.writing()?;
        let payload = Payload::of_exporter(buf)?;
        let (from, to) = range(payload.len(), offset, size)?;
        payload.with_bytes(|bytes| {
            let bytes = &bytes[from..to];
            match &*channel {
                Channel::Pipe(end) => send_bytes(py, end, bytes),
                Channel::Stream(stream) => send_over(py, stream, bytes),
            }
        })
    }

    /// Receive a message as bytes.
    #[pyo3(signature = (maxlength = None))]
    fn recv_bytes(&self, py: Python<'_>, maxlength: Option<isize>) -> PyResult<Py<PyBytes>> {
        if maxlength.is_some_and(|max| max < 0) {
            return Err(PyValueError::new_err("negative maxlength"));
        }
        let max = maxlength.map(|max| max.unsigned_abs() as u64);
        let Some(bytes) = self.receive_bytes(py, max)? else {
            // As the standard library, which cannot find the next message after such a one.
            if self.writable.load(Ordering::Relaxed) {
                self.readable.store(false, Ordering::Relaxed);
            } else {
                self.close();
            }
            return Err(PyOSError::new_err("bad message length"));
        };
        Ok(bytes)
    }

    /// Receive a message into a writable bytes-like object; return how many bytes it had.
    #[pyo3(signature = (buf, offset = 0))]
    fn recv_bytes_into(
        &self,
        py: Python<'_>,
        buf: &Bound<'_, PyAny>,
        offset: isize,
    ) -> PyResult<usize> {
        self.reading()?;
        let view = py.import("builtins")?.getattr(intern!(py, "memoryview"))?.call1((buf,))?;
        let room: usize = view.getattr(intern!(py, "nbytes"))?.extract()?;
        let offset =
            usize::try_from(offset).map_err(|_| PyValueError::new_err("negative offset"))?;
        if offset > room {
            return Err(PyValueError::new_err("offset too large"));
        }
        let Some(bytes) = self.receive_bytes(py, None)? else {
            return Err(PyEOFError::new_err(()));
        };
        let len = bytes.bind(py).as_bytes().len();
        if len > room - offset {
            let class = py.import("phalanx.errors")?.getattr(intern!(py, "BufferTooShort"))?;
            return Err(PyErr::from_value(class.call1((bytes,))?));
        }
        if len > 0 {
            let flat = view.call_method1(intern!(py, "cast"), ("B",))?;
            flat.set_item(
                pyo3::types::PySlice::new(py, offset as isize, (offset + len) as isize, 1),
                bytes,
            )?;
        }
        Ok(len)
    }

    /// Whether there is something to receive, waiting up to `timeout` seconds (`None`: for ever).
    #[pyo3(signature = (timeout = Some(0.0)))]
    pub(crate) fn poll(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let channel = self.reading()?;
        if channel.is_ready()? {
            return Ok(true);
        }
        if timeout.is_some_and(|seconds| seconds <= 0.0) {
            return Ok(false);
        }
        let timeout = interrupt::timeout(timeout);
        match &*channel {
            Channel::Pipe(end) => {
                let came = interrupt::waiting(py, timeout, |p| end.wait_for_message(&p))?;
                match came {
                    Err(pipe::RecvError::GaveUp(_)) => Ok(false),
                    other => other.map(|_| true).map_err(errors::recv),
                }
            }
            Channel::Stream(stream) => {
                let came = interrupt::waiting(py, timeout, |p| stream.wait_for_message(&p))?;
                errors::unless_given_up(came)
            }
        }
    }

    /// A descriptor that is readable while there is something to receive.
    fn fileno(&self) -> PyResult<RawFd> {
        match &*self.channel()? {
            Channel::Pipe(end) => Ok(end.fileno()?),
            Channel::Stream(stream) => Ok(stream.fd().as_raw_fd()),
        }
    }

    /// The descriptor, as recipes name it; `None` once it is closed.
    #[getter]
    fn _handle(&self) -> PyResult<Option<RawFd>> {
        if self.closed() { Ok(None) } else { self.fileno().map(Some) }
    }

    /// Close this end.
    pub(crate) fn close(&self) {
        // The descriptor is closed when the last operation that uses it is over.
        let channel = self.place().take();
        drop(channel);
    }

    /// Whether this end has been closed.
    #[getter]
    fn closed(&self) -> bool {
        self.place().is_none()
    }

    /// Whether this end can receive.
    #[getter]
    fn readable(&self) -> bool {
        self.readable.load(Ordering::Relaxed)
    }

    /// Whether this end can send.
    #[getter]
    fn writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_details))]
    fn __exit__(&self, _details: &Bound<'_, PyTuple>) {
        self.close();
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("phalanx.connection")?.call_method1("_reduce", (slf,))
    }

    /// The descriptor that the end is made of, and where its parts lie if it is a pipe's.
    fn _parts(&self) -> PyResult<(RawFd, Option<Parts>)> {
        let channel = self.channel()?;
        let parts = match &*channel {
            Channel::Pipe(end) => {
                let parts = end.parts();
                Some((parts.incoming, parts.outgoing))
            }
            Channel::Stream(_) => None,
        };
        Ok((channel.raw_fd(), parts))
    }

    /// Let the child that is being started have the end.
    fn _share(&self) -> PyResult<()> {
        if let Some(slot) = phalanx::process::spawning_slot() {
            self.channel()?.hold_for(slot);
        }
        Ok(())
    }
}

type Parts = (Option<[u64; 2]>, Option<[u64; 2]>);

/// Both ends of a new pipe.
#[pyfunction]
pub(crate) fn _make_pipe(duplex: bool) -> PyResult<(Connection, Connection)> {
    let made = if duplex { pipe::duplex() } else { pipe::one_way() };
    let (one, other) = made.map_err(errors::new)?;
    Ok((Connection::of_end(one), Connection::of_end(other)))
}

/// The end of a pipe that was passed to this process with the given descriptor.
#[pyfunction]
pub(crate) fn _attach_connection(fd: RawFd, parts: Parts) -> PyResult<Connection> {
    let socket = phalanx_os::inherit::take(fd)?;
    let parts = EndParts { incoming: parts.0, outgoing: parts.1 };
    let end = End::from_parts(Family::get().map_err(crate::error::os_error)?, parts, socket)
        .map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
    Ok(Connection::of_end(end))
}

/// Which bytes of a buffer `send_bytes` is asked to send.
fn range(len: usize, offset: isize, size: Option<isize>) -> PyResult<(usize, usize)> {
    let offset =
        usize::try_from(offset).map_err(|_| PyValueError::new_err("offset is negative"))?;
    if len < offset {
        return Err(PyValueError::new_err("buffer length < offset"));
    }
    let Some(size) = size else { return Ok((offset, len)) };
    let size = usize::try_from(size).map_err(|_| PyValueError::new_err("size is negative"))?;
    match offset.checked_add(size) {
        Some(end) if end <= len => Ok((offset, end)),
        _ => Err(PyValueError::new_err("buffer length < offset + size")),
    }
}
