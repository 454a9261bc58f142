//! The zygote's side: wait for requests and for children's ends, in one loop of one thread.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use phalanx_os::parcel::Parcel;
use phalanx_os::poll::{self, Interest, Readiness};
use phalanx_os::signal::{self, SIGCHLD, SIGINT, SignalSet};
use phalanx_os::socket;
use phalanx_os::{death, pidfd, wait};
use phalanx_shm::peers::SlotId;

use super::wire::{LONGEST, Reply, Request};
use crate::process::table;

/// How [`serve`] returned.
#[derive(Debug)]
pub enum Served {
    /// In a new child: what it was born for.
    Child(Born),
    /// In the zygote: nobody is left who could ask for a child.
    Done,
}

/// What a child of the zygote got from its requester.
#[derive(Debug)]
pub struct Born {
    /// The bytes that the requester sent.
    pub payload: Vec<u8>,
    /// The descriptors that the requester listed, in its order.
    pub fds: Vec<OwnedFd>,
}

/// The reason given for a refusal that the kernel did not number.
const EAGAIN: i32 = 11;

struct Client {
    socket: OwnedFd,
    /// What the client's socket had no room for yet.
    unsent: VecDeque<(Reply, Option<OwnedFd>)>,
    gone: bool,
}

struct Running {
    client: u64,
    id: u64,
    slot: SlotId,
}

struct Server {
    door: Option<OwnedFd>,
    clients: HashMap<u64, Client>,
    next_client: u64,
    running: HashMap<u32, Running>,
    buffer: Vec<u8>,
}

/// Serves requests until nobody is left who could make one. `fork` duplicates the process: `None`
/// in the child, where `serve` returns at once with all of the zygote's descriptors closed.
///
/// The zygote ignores Ctrl-C, its children do not.
///
/// # Errors
/// When the kernel refuses what the loop cannot do without.
pub fn serve(
    door: OwnedFd,
    fork: &mut dyn FnMut() -> io::Result<Option<u32>>,
) -> io::Result<Served> {
    let ours = SignalSet::of(&[SIGCHLD, SIGINT]);
    let before = signal::block(&ours).without(SIGCHLD).without(SIGINT);
    let ends = signal::as_fd(&SignalSet::of(&[SIGCHLD]))?;
    let mut server = Server {
        door: Some(door),
        clients: HashMap::new(),
        next_client: 0,
        running: HashMap::new(),
        buffer: vec![0; LONGEST],
    };
    while server.door.is_some() || !server.clients.is_empty() {
        let (ended, knocked, ready) = server.wait(&ends)?;
        if ended {
            signal::drain(&ends);
            server.tell_ends();
        }
        if knocked {
            server.admit();
        }
        for key in ready {
            server.flush(key);
            while let Some((request, rest)) = server.next_request(key) {
                if let Some(born) = server.start(key, request, rest, fork)? {
                    // The child: nothing of the zygote's may stay open in it.
                    drop((server, ends));
                    signal::set_mask(&before);
                    return Ok(Served::Child(born));
                }
            }
        }
        server.clients.retain(|_, client| !client.gone);
    }
    Ok(Served::Done)
}

/// The rest of a request: its payload and its descriptors.
struct Enclosed {
    payload: Vec<u8>,
    lifeline: OwnedFd,
    parent: OwnedFd,
    door: OwnedFd,
    fds: Vec<OwnedFd>,
}

impl Server {
    /// Sleeps until a child has ended, somebody knocks, or a client has something to say or can
    /// be told something.
    fn wait(&self, ends: &OwnedFd) -> io::Result<(bool, bool, Vec<u64>)> {
        let keys: Vec<u64> = self.clients.keys().copied().collect();
        let mut list = vec![Interest::read(ends.as_fd())];
        list.extend(self.door.as_ref().map(|door| Interest::read(door.as_fd())));
        let first = list.len();
        for client in self.clients.values() {
            let fd = client.socket.as_fd();
            list.push(if client.unsent.is_empty() {
                Interest::read(fd)
            } else {
                Interest::write(fd)
            });
        }
        while poll::wait(&mut list, None)? != Readiness::Ready {}
        let ready = keys.into_iter().zip(&list[first..]).filter(|(_, i)| i.is_ready());
        Ok((list[0].is_ready(), first == 2 && list[1].is_ready(), ready.map(|(k, _)| k).collect()))
    }

    /// Takes new clients in; closes the door when nobody is left outside.
    fn admit(&mut self) {
        while let Some(door) = &self.door {
            match socket::receive(door, &mut self.buffer, false) {
                Ok(message) if message.len == 0 && message.fds.is_empty() => self.door = None,
                Ok(message) => {
                    for socket in message.fds {
                        let client = Client { socket, unsent: VecDeque::new(), gone: false };
                        self.clients.insert(self.next_client, client);
                        self.next_client += 1;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.door = None,
            }
        }
    }

    /// The next complete request of a client; marks the client gone at the end of its socket, or
    /// when it does not keep to the protocol.
    fn next_request(&mut self, key: u64) -> Option<(Request, Enclosed)> {
        let client = self.clients.get_mut(&key)?;
        let message = match socket::receive(&client.socket, &mut self.buffer, false) {
            Ok(message) => message,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return None,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return None,
            Err(_) => {
                client.gone = true;
                return None;
            }
        };
        let parsed = Request::decode(&self.buffer[..message.len])
            .and_then(|(request, rest)| Some((request, enclosed(request, rest, message.fds)?)));
        if parsed.is_none() {
            client.gone = true;
        }
        parsed
    }

    /// Forks a child for a request; returns in the child what it was born for.
    fn start(
        &mut self,
        key: u64,
        request: Request,
        enclosed: Enclosed,
        fork: &mut dyn FnMut() -> io::Result<Option<u32>>,
    ) -> io::Result<Option<Born>> {
        let Request { id, slot, .. } = request;
        table::next_child(slot);
        let started = match fork() {
            Ok(None) => {
                let Enclosed { payload, lifeline, parent, door, fds } = enclosed;
                death::adopt_parent(parent);
                super::know_door(door);
                // Kills us here if the requester has gone meanwhile.
                death::hang_on(lifeline)?;
                return Ok(Some(Born { payload, fds }));
            }
            Ok(Some(pid)) => pidfd::open(pid)
                .map(|fd| (pid, fd))
                .inspect_err(|_| crate::process::child::kill_and_reap(pid)),
            Err(e) => Err(e),
        };
        match started {
            Ok((pid, sentinel)) => {
                table::name(slot, pid);
                self.running.insert(pid, Running { client: key, id, slot });
                self.tell(key, Reply::Started { id, pid }, Some(sentinel));
            }
            Err(e) => {
                let errno = e.raw_os_error().unwrap_or(EAGAIN);
                self.tell(key, Reply::Refused { id, errno }, None);
            }
        }
        Ok(None)
    }

    /// Collects all children that have ended, and tells those who asked for them.
    fn tell_ends(&mut self) {
        while let Some((pid, status)) = wait::reap_any() {
            let Some(Running { client, id, slot }) = self.running.remove(&pid) else { continue };
            table::set_status(slot, status);
            // Its requester frees the place, once it has seen the status.
            if !self.tell(client, Reply::Ended { id, status }, None) {
                table::ended(slot, status);
            }
        }
    }

    /// Queues and sends a reply; returns whether the client is still there.
    fn tell(&mut self, key: u64, reply: Reply, fd: Option<OwnedFd>) -> bool {
        let Some(client) = self.clients.get_mut(&key) else { return false };
        client.unsent.push_back((reply, fd));
        self.flush(key);
        self.clients.get(&key).is_some_and(|client| !client.gone)
    }

    fn flush(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        while let Some((reply, fd)) = client.unsent.front() {
            let fds: Vec<BorrowedFd<'_>> = fd.iter().map(AsFd::as_fd).collect();
            match socket::send(&client.socket, &[IoSlice::new(&reply.encode())], &fds, false) {
                Ok(_) => drop(client.unsent.pop_front()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    client.gone = true;
                    return;
                }
            }
        }
    }
}

fn enclosed(request: Request, rest: &[u8], fds: Vec<OwnedFd>) -> Option<Enclosed> {
    let mut fds = fds.into_iter();
    let (lifeline, parent, door) = (fds.next()?, fds.next()?, fds.next()?);
    let payload = if request.inline {
        rest.to_vec()
    } else {
        Parcel::open(fds.next()?).and_then(|parcel| parcel.unpack()).ok()?
    };
    Some(Enclosed { payload, lifeline, parent, door, fds: fds.collect() })
}
