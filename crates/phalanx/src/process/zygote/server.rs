//! The zygote's side: wait for requests and for children's ends, in one loop of one thread.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use phalanx_os::parcel::Parcel;
use phalanx_os::poll::{self, Interest, Readiness};
use phalanx_os::signal::{self, SIGINT, SignalSet};
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
    unsent: VecDeque<(Reply, Option<Rc<OwnedFd>>)>,
    gone: bool,
}

/// A child. Its end is seen by its sentinel: `SIGCHLD` could be swallowed by a thread that a
/// loaded library has started.
struct Running {
    sentinel: Rc<OwnedFd>,
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
    let before = signal::block(&SignalSet::of(&[SIGINT])).without(SIGINT);
    let mut server = Server {
        door: Some(door),
        clients: HashMap::new(),
        next_client: 0,
        running: HashMap::new(),
        buffer: vec![0; LONGEST],
    };
    while server.door.is_some() || !server.clients.is_empty() {
        let Awake { ended, knocked, ready } = server.wait()?;
        for pid in ended {
            server.tell_end(pid)?;
        }
        if knocked {
            server.admit();
        }
        for key in ready {
            server.flush(key);
            while let Some((request, rest)) = server.next_request(key) {
                if let Some(born) = server.start(key, request, rest, fork)? {
                    // The child: nothing of the zygote's may stay open in it.
                    drop(server);
                    signal::set_mask(&before);
                    return Ok(Served::Child(born));
                }
            }
        }
        server.clients.retain(|_, client| !client.gone);
    }
    Ok(Served::Done)
}

/// Why the zygote woke up: children by their pids, clients by their keys.
struct Awake {
    ended: Vec<u32>,
    knocked: bool,
    ready: Vec<u64>,
}

fn ready<'a, K: Copy + 'a>(
    keys: impl Iterator<Item = &'a K>,
    interests: &[Interest<'_>],
) -> Vec<K> {
    keys.zip(interests).filter(|(_, interest)| interest.is_ready()).map(|(key, _)| *key).collect()
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
    fn wait(&self) -> io::Result<Awake> {
        let children = self.running.values().map(|child| Interest::read(child.sentinel.as_fd()));
        let clients = self.clients.values().map(|client| {
            let fd = client.socket.as_fd();
            if client.unsent.is_empty() { Interest::read(fd) } else { Interest::write(fd) }
        });
        let door = self.door.iter().map(|door| Interest::read(door.as_fd()));
        let mut list: Vec<Interest<'_>> = children.chain(clients).chain(door).collect();
        while poll::wait(&mut list, None)? != Readiness::Ready {}
        let (children, rest) = list.split_at(self.running.len());
        let (clients, door) = rest.split_at(self.clients.len());
        Ok(Awake {
            ended: ready(self.running.keys(), children),
            knocked: door.iter().any(Interest::is_ready),
            ready: ready(self.clients.keys(), clients),
        })
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
                let sentinel = Rc::new(sentinel);
                let kept = Rc::clone(&sentinel);
                self.running.insert(pid, Running { sentinel: kept, client: key, id, slot });
                self.tell(key, Reply::Started { id, pid }, Some(sentinel));
            }
            Err(e) => {
                let errno = e.raw_os_error().unwrap_or(EAGAIN);
                self.tell(key, Reply::Refused { id, errno }, None);
            }
        }
        Ok(None)
    }

    /// Collects the status of a child that has ended, and tells it to who asked for the child.
    fn tell_end(&mut self, pid: u32) -> io::Result<()> {
        let Some(child) = self.running.get(&pid) else { return Ok(()) };
        let Some(how) = wait::reap(child.sentinel.as_ref())? else { return Ok(()) };
        let Some(Running { client, id, slot, .. }) = self.running.remove(&pid) else {
            return Ok(());
        };
        table::set_status(slot, how.status);
        // Its requester frees the place, once it has seen the status.
        if !self.tell(client, Reply::Ended { id, how }, None) {
            table::ended(slot, how.status);
        }
        Ok(())
    }

    /// Queues and sends a reply; returns whether the client is still there.
    fn tell(&mut self, key: u64, reply: Reply, fd: Option<Rc<OwnedFd>>) -> bool {
        let Some(client) = self.clients.get_mut(&key) else { return false };
        client.unsent.push_back((reply, fd));
        self.flush(key);
        self.clients.get(&key).is_some_and(|client| !client.gone)
    }

    fn flush(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        while let Some((reply, fd)) = client.unsent.front() {
            let fds: Vec<BorrowedFd<'_>> = fd.iter().map(|fd| fd.as_fd()).collect();
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
