//! `_core.ManagerServer`: the loop that lets clients in.

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use phalanx::connection::{Handshake, Key, MESSAGE_MAX, Peers, farewell};
use phalanx::serve::{Limits, Next, Server, Service, Stopper, Stream};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::worker::{Crew, Job};
use crate::error::os_error;
use crate::ffi::borrow_fds;
use crate::interrupt;

/// Lets in who knows the key, and leaves those to the crew.
struct Door {
    key: Key,
    crew: Arc<Crew>,
}

impl Service for Door {
    /// What is left of the handshake.
    type Client = Option<Handshake>;

    fn connected(&mut self, socket: BorrowedFd<'_>) -> Option<(Self::Client, Option<Vec<u8>>)> {
        Peers::OwnUser.check(socket).ok()?;
        let (handshake, challenge) = Handshake::listener(self.key.clone()).ok()?;
        Some((Some(handshake), Some(challenge)))
    }

    fn is_known(&self, handshake: &Self::Client) -> bool {
        handshake.is_none()
    }

    fn limit(&self, handshake: &Self::Client) -> usize {
        if handshake.is_some() { MESSAGE_MAX as usize } else { usize::MAX >> 1 }
    }

    fn message(&mut self, client: &mut Self::Client, message: &[u8]) -> Next {
        let Some(handshake) = client else { return Next::Detach };
        match handshake.receive(message) {
            Ok(progress) => {
                if progress.done {
                    *client = None;
                }
                progress.reply.into_iter().next().map_or(Next::Wait, Next::Send)
            }
            Err(why) => Next::Close(farewell(&why).map(<[u8]>::to_vec)),
        }
    }

    fn detached(&mut self, _: Self::Client, stream: Stream, message: Vec<u8>) {
        self.crew.take(Job { stream, message });
    }
}

/// The server of a manager: `owner` is the Python object that has the objects and the functions.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct ManagerServer {
    /// Not there while it runs.
    server: Mutex<Option<Server<Door>>>,
    stopper: Stopper,
    crew: Arc<Crew>,
}

#[pymethods]
impl ManagerServer {
    /// Serve a duplicate of a listening socket.
    #[new]
    fn new(fd: RawFd, authkey: &[u8], owner: Py<PyAny>) -> PyResult<Self> {
        let fds = [fd];
        let listener = borrow_fds(&fds);
        let listener = listener.first().ok_or_else(|| {
            PyRuntimeError::new_err("a manager's server needs a listener that is open")
        })?;
        let listener = listener.try_clone_to_owned().map_err(os_error)?;
        let crew = Arc::new(Crew::new(owner));
        let door = Door { key: Key::new(authkey), crew: Arc::clone(&crew) };
        let server = Server::new(listener, door, Limits::default()).map_err(os_error)?;
        Ok(Self { stopper: server.stopper(), server: Mutex::new(Some(server)), crew })
    }

    /// Serve until `stop` is called, by whichever thread or client.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let taken = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut server = taken.ok_or_else(|| PyRuntimeError::new_err("the server runs already"))?;
        let result = interrupt::waiting(py, None, |patience| server.run(&patience));
        self.stopper.stop();
        py.detach(|| self.crew.dismiss());
        let _ended = result?.map_err(os_error)?;
        Ok(())
    }

    /// Let `run` return.
    fn stop(&self) {
        self.stopper.stop();
    }

    /// Let `run` return once the request that is being served has been answered.
    fn stop_after_reply(&self) {
        self.crew.stop_after_reply();
    }
}
