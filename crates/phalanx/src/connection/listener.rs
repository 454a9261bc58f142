//! Waiting for others to connect.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use phalanx_os::net::{self, Address};
use phalanx_os::poll::{self, Interest};
use phalanx_os::{proc, socket};
use phalanx_shm::patience::{Patience, Slices};
use phalanx_shm::sync::Deadline;

use super::digest::Key;
use super::error::{ConnectError, HandshakeError};
use super::handshake::{Handshake, MESSAGE_MAX, farewell};
use super::partial::Partial;
use super::stream::{Stream, StreamError};

/// How long somebody who has connected may take to prove that it knows the key. The time in which
/// nobody accepts does not count.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How many may be about to prove it; when more come, who has tried the longest has to go ...
const CANDIDATES: usize = 128;
/// ... after this long at the least, until when the newcomers wait in the kernel's queue: an honest
/// one whose machine is busy needs some time for its answer.
const TENURE: Duration = Duration::from_millis(250);

/// How many are taken in before those who are there are heard.
const AT_ONCE: usize = 16;

/// Which users of this machine are let in by a key.
///
/// ```
/// use std::os::fd::AsFd;
/// use phalanx::connection::Peers;
///
/// let (one, _other) = std::os::unix::net::UnixStream::pair()?;
/// assert!(Peers::OwnUser.check(one.as_fd()).is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peers {
    /// The own one, and the superuser, whom nothing could keep out.
    #[default]
    OwnUser,
    /// All who know the key.
    Anybody,
}

impl Peers {
    /// Asks the kernel who has the other end of a local socket; others than local ones pass.
    ///
    /// # Errors
    /// [`HandshakeError::OtherUser`], or the kernel's refusal.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// use phalanx::connection::Peers;
    ///
    /// // The kernel knows who has the other end; on sockets of the network it is not asked.
    /// let (one, _other) = std::os::unix::net::UnixStream::pair()?;
    /// assert!(Peers::OwnUser.check(one.as_fd()).is_ok());
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// assert!(Peers::OwnUser.check(listener.as_fd()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(self, fd: BorrowedFd<'_>) -> Result<(), ConnectError> {
        if self == Self::Anybody || !net::address_of(fd)?.is_local() {
            return Ok(());
        }
        let user = socket::peer(fd)?.1;
        if user == 0 || user == proc::effective_user() {
            return Ok(());
        }
        Err(HandshakeError::OtherUser(user).into())
    }
}

/// One who has connected.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::connection::{Address, Listener, connect};
///
/// let name = Address::Abstract(format!("doc-guest-{}", std::process::id()).into_bytes());
/// let listener = Listener::bind(&name, 16)?;
/// let _client = connect(&name, &Patience::forever())?;
/// let guest = listener.accept(&Patience::forever())?;
/// assert!(matches!(guest.from, Address::Unnamed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Guest {
    /// The connection.
    pub stream: Stream,
    /// Where it comes from.
    pub from: Address,
}

/// One who has not yet proved to know the key.
#[derive(Debug)]
struct Candidate {
    guest: Guest,
    handshake: Handshake,
    partial: Partial,
    message: Vec<u8>,
    time_left: Duration,
}

/// What has become of a candidate.
enum Outcome {
    /// It has more to say.
    Waits,
    Believed,
    /// It has gone, or does not know how to talk.
    Gone,
    Refused(HandshakeError),
}

/// A socket that others can connect to. Closed when dropped; an address in the file system stays.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::connection::{Address, ConnectError, Key, Listener, Peers};
///
/// let name = Address::Abstract(format!("doc-listener-{}", std::process::id()).into_bytes());
/// let listener = Listener::bind(&name, 16)?;
/// let (key, nobody) = (Key::new(b"secret"), Patience::none());
/// let guest = listener.accept_known(&key, Peers::OwnUser, &nobody);
/// assert!(matches!(guest, Err(ConnectError::GaveUp(_))));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    /// The process whose candidates these are: a forked child begins with none.
    candidates: Mutex<(u32, Vec<Candidate>)>,
    closed: AtomicBool,
}

impl Listener {
    /// Begins to listen; the kernel keeps about `backlog` who have connected and are not accepted yet.
    ///
    /// # Errors
    /// `AddrInUse` when somebody has the address, `PermissionDenied`, or the kernel's refusal.
    ///
    /// ```
    /// use phalanx::connection::{Address, Listener};
    ///
    /// let any_port = Address::Inet(([127, 0, 0, 1], 0).into());
    /// let listener = Listener::bind(&any_port, 16)?;
    /// let taken = Listener::bind(&listener.address()?, 16).unwrap_err();
    /// assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(address: &Address, backlog: i32) -> io::Result<Self> {
        Ok(Self::of(net::listen(address, backlog)?))
    }

    /// A listener of a socket that listens already.
    ///
    /// ```
    /// use phalanx::connection::{Address, Listener};
    ///
    /// let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let listener = Listener::of(socket.into());
    /// assert!(matches!(listener.address()?, Address::Inet(_)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn of(socket: OwnedFd) -> Self {
        Self { socket, candidates: Mutex::default(), closed: AtomicBool::new(false) }
    }

    /// The address, with the port that the kernel chose.
    ///
    /// # Errors
    /// The kernel's refusal.
    ///
    /// ```
    /// use phalanx::connection::{Address, Listener};
    ///
    /// let listener = Listener::bind(&Address::Inet(([127, 0, 0, 1], 0).into()), 16)?;
    /// let Address::Inet(address) = listener.address()? else { panic!("it is of the network") };
    /// assert_ne!(address.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn address(&self) -> io::Result<Address> {
        net::address_of(&self.socket)
    }

    /// The socket, which is readable when somebody has connected.
    ///
    /// ```
    /// use phalanx::{Patience, process::wait_readable};
    /// use phalanx::connection::{Address, Listener, connect};
    ///
    /// let name = Address::Abstract(format!("doc-fd-{}", std::process::id()).into_bytes());
    /// let listener = Listener::bind(&name, 16)?;
    /// assert!(wait_readable(listener.fd(), Patience::none()).is_err());
    /// let _client = connect(&name, &Patience::forever())?;
    /// wait_readable(listener.fd(), Patience::forever())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Makes the calls that wait for others fail: at once those to come, within two seconds those that
    /// wait already.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::connection::{Address, Listener};
    ///
    /// let listener = Listener::bind(&Address::Inet(([127, 0, 0, 1], 0).into()), 16)?;
    /// listener.close(); // by any thread
    /// assert!(listener.accept(&Patience::forever()).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.shelf().1.clear();
    }

    /// Others who have the socket may have made it block since the last call.
    fn begin(&self) -> io::Result<Slices> {
        net::never_block(&self.socket)?;
        Ok(Slices::for_users())
    }

    fn check(&self, patience: &Patience<'_>) -> Result<(), ConnectError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(io::Error::other("the listener is closed").into());
        }
        patience.check().map_err(ConnectError::GaveUp)
    }

    /// Waits for somebody to connect.
    ///
    /// # Errors
    /// [`ConnectError::GaveUp`], or the kernel's refusal.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::connection::{Address, Listener, connect};
    ///
    /// let name = Address::Abstract(format!("doc-accept-{}", std::process::id()).into_bytes());
    /// let listener = Listener::bind(&name, 16)?;
    /// assert!(listener.accept(&Patience::none()).is_err(), "nobody has come");
    /// let client = connect(&name, &Patience::forever())?;
    /// let guest = listener.accept(&Patience::forever())?;
    /// client.send(b"no key was asked for", &Patience::forever())?;
    /// guest.stream.recv(&mut Vec::new(), None, &Patience::forever())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accept(&self, patience: &Patience<'_>) -> Result<Guest, ConnectError> {
        let mut slices = self.begin()?;
        loop {
            if let Some(guest) = self.next()? {
                return Ok(guest);
            }
            self.check(patience)?;
            poll::readable(self.socket.as_fd(), Some(slices.next_deadline(patience)))?;
        }
    }

    /// One who has connected, if there is any.
    fn next(&self) -> io::Result<Option<Guest>> {
        use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
        match net::accept(&self.socket) {
            Ok((socket, from)) => Ok(Some(Guest { stream: Stream::new(socket), from })),
            // It has gone before we looked.
            Err(e) if matches!(e.kind(), WouldBlock | Interrupted | ConnectionAborted) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Waits for somebody to connect who knows the key.
    ///
    /// Who says nothing, or goes away, is dropped without a word; meanwhile others are served.
    ///
    /// # Errors
    /// [`ConnectError::Handshake`] when somebody came who does not know the key;
    /// [`ConnectError::GaveUp`]; the kernel's refusal. The others who have connected are not lost:
    /// the next call goes on with them.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::connection::{Address, Key, Listener, Peers, connect, introduce};
    ///
    /// let name = Address::Abstract(format!("doc-known-{}", std::process::id()).into_bytes());
    /// let (listener, key) = (Listener::bind(&name, 16)?, Key::new(b"secret"));
    /// let stream = connect(&name, &Patience::forever())?;
    /// let guest = std::thread::scope(|scope| {
    ///     scope.spawn(|| introduce(&stream, &key, Peers::OwnUser, &Patience::forever()).is_ok());
    ///     listener.accept_known(&key, Peers::OwnUser, &Patience::forever())
    /// })?;
    /// assert!(matches!(guest.from, Address::Unnamed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accept_known(
        &self,
        key: &Key,
        peers: Peers,
        patience: &Patience<'_>,
    ) -> Result<Guest, ConnectError> {
        let mut round = Round { listener: self, list: Vec::new() };
        let mut slices = self.begin()?;
        loop {
            let has_room = round.take_all(key, peers)?;
            if let Some(guest) = round.hear()? {
                return Ok(guest);
            }
            self.check(patience)?;
            let begun = Instant::now();
            let guests = round.list.iter().map(|c| Interest::read(c.guest.stream.fd()));
            let mut list: Vec<_> = guests.collect();
            let mut end = slices.next_deadline(patience);
            if has_room {
                list.push(Interest::read(self.socket.as_fd()));
            } else {
                end = end.min(Deadline::after(TENURE));
            }
            poll::wait(&mut list, Some(end))?;
            let ready: Vec<bool> = list.iter().map(Interest::is_ready).collect();
            round.let_time_pass(begun.elapsed(), &ready);
        }
    }

    fn shelf(&self) -> MutexGuard<'_, (u32, Vec<Candidate>)> {
        let mut shelf = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        let me = std::process::id();
        if shelf.0 != me {
            shelf.1.clear();
            shelf.0 = me;
        }
        shelf
    }
}

/// The candidates while one thread talks to them; afterwards they go back for the next.
struct Round<'a> {
    listener: &'a Listener,
    list: Vec<Candidate>,
}

impl Round<'_> {
    /// Takes in who has connected, and whom another thread has left. Returns whether there is room for
    /// more.
    fn take_all(&mut self, key: &Key, peers: Peers) -> Result<bool, ConnectError> {
        self.list.append(&mut self.listener.shelf().1);
        for _ in 0..AT_ONCE {
            if !self.has_room() {
                return Ok(false);
            }
            let Some(guest) = self.listener.next()? else { break };
            peers.check(guest.stream.fd())?;
            if self.list.len() >= CANDIDATES {
                self.list.remove(0);
            }
            let (handshake, challenge) = Handshake::listener(key.clone())?;
            // A socket that is new has room for it.
            if guest.stream.send_some(&challenge).is_ok() {
                let (partial, message) = Default::default();
                let time_left = PATIENCE;
                self.list.push(Candidate { guest, handshake, partial, message, time_left });
            }
        }
        Ok(self.has_room())
    }

    fn has_room(&self) -> bool {
        let had_its_time = |oldest: &Candidate| oldest.time_left + TENURE <= PATIENCE;
        self.list.len() < CANDIDATES || self.list.first().is_some_and(had_its_time)
    }

    /// Listens to all until the first is believed or refused.
    fn hear(&mut self) -> Result<Option<Guest>, ConnectError> {
        let mut n = 0;
        while n < self.list.len() {
            match self.list[n].hear() {
                Outcome::Waits => n += 1,
                Outcome::Believed => return Ok(Some(self.list.remove(n).guest)),
                Outcome::Gone => drop(self.list.remove(n)),
                Outcome::Refused(why) => {
                    drop(self.list.remove(n));
                    return Err(why.into());
                }
            }
        }
        Ok(None)
    }

    /// Drops who has had its time, unless it has just said something.
    fn let_time_pass(&mut self, time: Duration, ready: &[bool]) {
        let mut ready = ready.iter();
        self.list.retain_mut(|candidate| {
            candidate.time_left = candidate.time_left.saturating_sub(time);
            ready.next().is_some_and(|ready| *ready) || !candidate.time_left.is_zero()
        });
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        if !self.listener.closed.load(Ordering::Acquire) {
            self.listener.shelf().1.append(&mut self.list);
        }
    }
}

impl Candidate {
    fn hear(&mut self) -> Outcome {
        loop {
            let stream = &self.guest.stream;
            match stream.advance(&mut self.partial, &mut self.message, Some(MESSAGE_MAX)) {
                Ok(false) => return Outcome::Waits,
                Ok(true) => {}
                Err(StreamError::TooLong(_)) => {
                    return Outcome::Refused(HandshakeError::Unexpected("a message is too long"));
                }
                Err(_) => return Outcome::Gone,
            }
            match self.handshake.receive(&self.message) {
                Ok(progress) => {
                    if progress.reply.iter().any(|reply| stream.send_some(reply).is_err()) {
                        return Outcome::Gone;
                    }
                    if progress.done {
                        return Outcome::Believed;
                    }
                }
                Err(why) => {
                    if let Some(last_word) = farewell(&why) {
                        let _ = stream.send_some(last_word);
                    }
                    return Outcome::Refused(why);
                }
            }
            self.partial = Partial::default();
            self.message.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::connect;

    #[test]
    fn who_has_had_its_time_is_dropped_and_nobody_else() {
        let name = format!("phalanx-time-{}", std::process::id()).into_bytes();
        let listener = Listener::bind(&Address::Abstract(name), 8).expect("the name is free");
        let address = listener.address().expect("it has one");
        let lines: Vec<Stream> = (0..3)
            .map(|_| connect(&address, &Patience::forever()).expect("somebody listens"))
            .collect();
        let mut round = Round { listener: &listener, list: Vec::new() };
        round.take_all(&Key::new(b"secret"), Peers::OwnUser).expect("they have come");
        assert_eq!(round.list.len(), 3);
        round.let_time_pass(PATIENCE / 2, &[false, false, false]);
        assert_eq!(round.list.len(), 3);
        // The second has said something in the last moment.
        round.let_time_pass(PATIENCE, &[false, true, false]);
        assert_eq!(round.list.len(), 1);
        round.let_time_pass(PATIENCE, &[false]);
        assert!(round.list.is_empty());
        // Those who were dropped see the end of the connection behind the challenge.
        for line in lines {
            let mut challenge = Vec::new();
            let wait = Patience::timeout(Some(Duration::from_secs(60)));
            line.recv(&mut challenge, Some(MESSAGE_MAX), &wait).expect("it was sent");
            let end = line.recv(&mut challenge, None, &wait);
            assert!(matches!(end, Err(StreamError::EndOfFile)));
        }
    }
}
