//! A client's line to the server of a manager.

use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phalanx_os::{proc, socket};
use phalanx_shm::family::Family;
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::Peers;

use super::AccessError;
use super::operation::{Answer, DictOperation, ListOperation};
use super::protocol::{ANSWER_MAX, Hello, Reply, Request, VERSION};
use crate::serve::{Stream, StreamError};

/// How long to leave an object alone that somebody else has locked.
const REST: Duration = Duration::from_micros(200);

/// A line to a server, made when it is first needed; a forked child makes one of its own.
#[derive(Clone, Debug)]
pub(super) struct Line {
    address: Arc<str>,
    stream: Arc<Mutex<Option<(u32, Stream)>>>,
}

impl Line {
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.into(), stream: Arc::default() }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Asks the server and waits for its answer; asks again while the object is busy.
    pub(super) fn ask(&self, request: &Request<'_>) -> Result<Reply, AccessError> {
        let message = postcard::to_allocvec(request)
            .map_err(|why| AccessError::Disconnected(why.to_string()))?;
        loop {
            match self.exchange(&message)? {
                Reply::Busy => std::thread::sleep(REST),
                Reply::Failed(why) => return Err(AccessError::Refused(why)),
                Reply::WrongName(why) => return Err(AccessError::Refused(why)),
                reply => return Ok(reply),
            }
        }
    }

    fn exchange(&self, message: &[u8]) -> Result<Reply, AccessError> {
        let mut line = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let me = std::process::id();
        let mut stream = match line.take() {
            Some((owner, stream)) if owner == me => stream,
            _ => self.connect()?,
        };
        let forever = Patience::forever();
        stream.send(message, &forever).map_err(|why| self.broken(&why))?;
        let answer = stream.receive(ANSWER_MAX, &forever).map_err(|why| self.broken(&why))?;
        let reply = postcard::from_bytes(answer);
        let reply = reply.map_err(|why| AccessError::Disconnected(why.to_string()))?;
        // One that failed in the middle is not used again.
        *line = Some((me, stream));
        Ok(reply)
    }

    /// Sends a request that is answered by the end of the connection, and waits for that.
    pub(super) fn tell(&self, request: &Request<'_>) -> Result<(), AccessError> {
        let message = postcard::to_allocvec(request)
            .map_err(|why| AccessError::Disconnected(why.to_string()))?;
        let mut stream = self.connect()?;
        let forever = Patience::forever();
        stream.send(&message, &forever).map_err(|why| self.broken(&why))?;
        match stream.receive(ANSWER_MAX, &forever) {
            Err(StreamError::Closed) => Ok(()),
            Err(why) => Err(self.broken(&why)),
            Ok(answer) => match postcard::from_bytes(answer) {
                Ok(Reply::Failed(why)) => Err(AccessError::Refused(why)),
                _ => Err(unexpected()),
            },
        }
    }

    fn connect(&self) -> Result<Stream, AccessError> {
        let refused = |why: std::io::Error| {
            AccessError::Disconnected(format!(
                "no manager answers at {:?}: it has ended, or never was ({why})",
                self.address
            ))
        };
        let name = SocketAddr::from_abstract_name(self.address.as_bytes()).map_err(refused)?;
        let socket = UnixStream::connect_addr(&name).map_err(refused)?;
        if socket::peer(&socket).map_err(refused)?.1 != proc::effective_user() {
            return Err(AccessError::Disconnected(format!(
                "the manager at {:?} belongs to another user",
                self.address
            )));
        }
        let slot = Family::existing().map_or(0, |family| family.me().raw());
        let hello = postcard::to_allocvec(&Hello { version: VERSION, slot })
            .map_err(|why| AccessError::Disconnected(why.to_string()))?;
        let mut stream = Stream::new(OwnedFd::from(socket));
        let forever = Patience::forever();
        stream.send(&hello, &forever).map_err(|why| self.broken(&why))?;
        let answer = stream.receive(ANSWER_MAX, &forever).map_err(|why| self.broken(&why))?;
        match postcard::from_bytes(answer) {
            Ok(Reply::Welcome) => Ok(stream),
            Ok(Reply::Failed(why)) => Err(AccessError::Refused(why)),
            _ => Err(AccessError::Disconnected(format!("{:?} is no manager", self.address))),
        }
    }

    fn broken(&self, why: &StreamError) -> AccessError {
        AccessError::Disconnected(format!("the manager at {:?} has ended: {why}", self.address))
    }
}

/// An object of the server, by its name.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) line: Line,
    pub(super) name: Arc<str>,
}

impl Remote {
    pub(super) fn dict(&self, operation: DictOperation<'_>) -> Result<Answer, AccessError> {
        self.ask(&Request::Dict(&self.name, operation))
    }

    pub(super) fn list(&self, operation: ListOperation<'_>) -> Result<Answer, AccessError> {
        self.ask(&Request::List(&self.name, operation))
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answer, AccessError> {
        match self.line.ask(request)? {
            Reply::Answer(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }
}

/// The other side has said something that is no answer to what it was asked.
#[cold]
pub(super) fn unexpected() -> AccessError {
    AccessError::Disconnected("the manager's answer does not fit the question".to_owned())
}
