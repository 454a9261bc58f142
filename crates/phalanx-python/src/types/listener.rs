//! What `phalanx.connection.Listener` and `Client` are made of.

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use phalanx::connection::{
    Address, ConnectError, Guest, Key, Listener, Peers, connect, inet, introduce,
};
use pyo3::exceptions::{PyEOFError, PyOSError, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use super::connection::Connection;
use super::connection_errors as errors;
use crate::interrupt;

/// Turns a refusal to talk into the package's `AuthenticationError`.
pub(super) fn not_believed(py: Python<'_>, why: &dyn std::fmt::Display) -> PyErr {
    let class = py.import("phalanx.errors").and_then(|m| m.getattr("AuthenticationError"));
    match class.and_then(|class| class.call1((why.to_string(),))) {
        Ok(error) => PyErr::from_value(error),
        Err(e) => e,
    }
}

fn failed(py: Python<'_>, error: ConnectError) -> PyErr {
    match error {
        ConnectError::Handshake(why) => not_believed(py, &why),
        ConnectError::Stream(e) => errors::stream(e),
        ConnectError::GaveUp(_) => PyTimeoutError::new_err("timed out"),
        ConnectError::Io(e) => crate::error::os_error(e),
        _ => PyEOFError::new_err(()),
    }
}

fn peers(any_user: bool) -> Peers {
    if any_user { Peers::Anybody } else { Peers::OwnUser }
}

/// An address as Python's sockets have it; of the network only with numbers in the place of names.
fn address(object: &Bound<'_, PyAny>) -> PyResult<Address> {
    if let Ok(tuple) = object.cast::<PyTuple>() {
        let part = |n: usize| tuple.get_item(n).and_then(|part| part.extract::<u32>()).unwrap_or(0);
        let ip: String = tuple.get_item(0)?.extract()?;
        // A scope may be named in the address itself; the number that stands for it follows.
        let ip = ip.split('%').next().unwrap_or_default();
        let ip: IpAddr = ip.parse().map_err(|_| {
            PyValueError::new_err(format!("{ip:?} is not a numeric address of the network"))
        })?;
        return Ok(inet(ip, tuple.get_item(1)?.extract()?, part(2), part(3)));
    }
    let name = if let Ok(bytes) = object.cast::<PyBytes>() {
        bytes.as_bytes().to_vec()
    } else if object.is_instance_of::<PyString>() {
        object.extract::<OsString>()?.into_vec()
    } else {
        let text = format!("an address is a tuple, a str or bytes, not {}", object.get_type());
        return Err(PyTypeError::new_err(text));
    };
    Ok(match name.split_first() {
        Some((0, name)) => Address::Abstract(name.to_vec()),
        _ => Address::Path(PathBuf::from(OsString::from_vec(name))),
    })
}

fn to_python<'py>(py: Python<'py>, address: &Address) -> PyResult<Bound<'py, PyAny>> {
    Ok(match address {
        Address::Unnamed => PyString::new(py, "").into_any(),
        Address::Path(path) => path.as_os_str().into_pyobject(py)?.into_any(),
        Address::Abstract(name) => {
            let mut bytes = vec![0];
            bytes.extend_from_slice(name);
            PyBytes::new(py, &bytes).into_any()
        }
        Address::Inet(std::net::SocketAddr::V4(v4)) => {
            (v4.ip().to_string(), v4.port()).into_pyobject(py)?.into_any()
        }
        Address::Inet(std::net::SocketAddr::V6(v6)) => {
            let (ip, port) = (v6.ip().to_string(), v6.port());
            (ip, port, v6.flowinfo(), v6.scope_id()).into_pyobject(py)?.into_any()
        }
    })
}

/// A socket that others can connect to.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct SocketListener {
    listener: Mutex<Option<Arc<Listener>>>,
    address: Address,
}

impl SocketListener {
    fn listener(&self) -> PyResult<Arc<Listener>> {
        let place = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        place.clone().ok_or_else(|| PyOSError::new_err("listener is closed"))
    }
}

#[pymethods]
impl SocketListener {
    #[new]
    fn new(address: &Bound<'_, PyAny>, backlog: i32) -> PyResult<Self> {
        let address = self::address(address)?;
        let listener = Listener::bind(&address, backlog).map_err(crate::error::os_error)?;
        let address = listener.address().map_err(crate::error::os_error)?;
        Ok(Self { listener: Mutex::new(Some(Arc::new(listener))), address })
    }

    /// Where others can connect.
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &self.address)
    }

    /// Wait for somebody to connect, who has to know the key if there is one; return the connection
    /// and where it comes from.
    #[pyo3(signature = (authkey = None, any_user = false, timeout = None))]
    fn accept<'py>(
        &self,
        py: Python<'py>,
        authkey: Option<&[u8]>,
        any_user: bool,
        timeout: Option<f64>,
    ) -> PyResult<(Connection, Bound<'py, PyAny>)> {
        let listener = self.listener()?;
        let key = authkey.map(Key::new);
        let wait = |patience: phalanx::Patience<'_>| match &key {
            Some(key) => listener.accept_known(key, peers(any_user), &patience),
            None => listener.accept(&patience),
        };
        let Guest { stream, from } = interrupt::waiting(py, interrupt::timeout(timeout), wait)?
            .map_err(|e| failed(py, e))?;
        Ok((Connection::of_stream(stream), to_python(py, &from)?))
    }

    /// The socket's descriptor, which is readable when somebody has connected.
    fn fileno(&self) -> PyResult<RawFd> {
        Ok(self.listener()?.fd().as_raw_fd())
    }

    /// Close the socket.
    fn close(&self) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listener) = listener {
            listener.close();
        }
    }
}

/// Connect to an address, and if there is a key prove to know it.
#[pyfunction]
#[pyo3(name = "connect", signature = (address, authkey = None, any_user = false))]
pub(crate) fn connect_to(
    py: Python<'_>,
    address: &Bound<'_, PyAny>,
    authkey: Option<&[u8]>,
    any_user: bool,
) -> PyResult<Connection> {
    let (address, key) = (self::address(address)?, authkey.map(Key::new));
    let stream = interrupt::waiting(py, None, |patience| {
        let stream = connect(&address, &patience)?;
        if let Some(key) = &key {
            introduce(&stream, key, peers(any_user), &patience)?;
        }
        Ok(stream)
    })?
    .map_err(|e| match e {
        ConnectError::Io(e) => named(crate::error::os_error(e), py, &address),
        other => failed(py, other),
    })?;
    Ok(Connection::of_stream(stream))
}

/// Says to which address it was that nobody answered.
fn named(error: PyErr, py: Python<'_>, address: &Address) -> PyErr {
    if let Address::Path(path) = address {
        let name = String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
        let _ = error.value(py).setattr("filename", name);
    }
    error
}
