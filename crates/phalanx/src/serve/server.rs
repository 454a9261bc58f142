//! The event loop.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use phalanx_os::clock::{Deadline, earlier};
use phalanx_os::epoll::{Epoll, Event, Interests};
use phalanx_os::poll::Readiness;
use phalanx_os::socket::accept;
use phalanx_shm::patience::{GaveUp, Patience};

use super::client::Client;
use super::service::{Next, Service};
use super::stopper::Stopper;
use super::stream::Stream;

/// What a server grants its clients.
///
/// ```
/// use std::time::Duration;
/// use phalanx::serve::Limits;
///
/// let strict = Limits { handshake: Duration::from_secs(1), unknown: 10, ..Limits::default() };
/// assert!(strict.unsent > 0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a client may take until it is known.
    pub handshake: Duration,
    /// How many clients may be unknown at a time; one more, and the oldest of them is closed.
    pub unknown: usize,
    /// How many bytes of answers may wait for a client before no more of its requests are read.
    pub unsent: usize,
}

impl Default for Limits {
    /// Ten seconds, 256 unknown clients, 1 MiB.
    fn default() -> Self {
        Self { handshake: Duration::from_secs(10), unknown: 256, unsent: 1 << 20 }
    }
}

const LISTENER: u64 = 0;
const STOP: u64 = 1;
const FIRST_CLIENT: u64 = 2;
/// How long to rest when the process has no descriptors left.
const REST: Duration = Duration::from_millis(50);

/// A listener and the clients that came to it.
///
/// ```
/// # use std::net::TcpListener;
/// # use std::os::fd::BorrowedFd;
/// # use phalanx::serve::{Limits, Next, Server, Service};
/// # struct Echo;
/// # impl Service for Echo {
/// #     type Client = ();
/// #     fn connected(&mut self, _socket: BorrowedFd<'_>) -> Option<((), Option<Vec<u8>>)> {
/// #         Some(((), None))
/// #     }
/// #     fn is_known(&self, _client: &()) -> bool {
/// #         true
/// #     }
/// #     fn limit(&self, _client: &()) -> usize {
/// #         1 << 20
/// #     }
/// #     fn message(&mut self, _client: &mut (), message: &[u8]) -> Next {
/// #         Next::Send(message.to_vec())
/// #     }
/// # }
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # listener.set_nonblocking(true)?;
/// # use phalanx::{Patience, serve::Stream};
/// let address = listener.local_addr()?;
/// let mut server = Server::new(listener.into(), Echo, Limits::default())?;
/// let stopper = server.stopper();
/// let serving = std::thread::spawn(move || server.run(&Patience::forever()));
///
/// let mut client = Stream::new(std::net::TcpStream::connect(address)?.into());
/// client.send(b"hello", &Patience::forever())?;
/// assert_eq!(client.receive(100, &Patience::forever())?, b"hello");
/// stopper.stop();
/// # assert!(serving.join().expect("no panic")?.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server<S: Service> {
    listener: OwnedFd,
    service: S,
    limits: Limits,
    stopper: Stopper,
    epoll: Epoll,
    clients: HashMap<u64, Client<S::Client>>,
    next: u64,
    rests_until: Option<Deadline>,
}

impl<S: Service> Server<S> {
    /// A server for a listening socket, which must not block.
    ///
    /// # Errors
    /// When the kernel refuses descriptors.
    ///
    /// ```
    /// # use std::net::TcpListener;
    /// # use std::os::fd::BorrowedFd;
    /// # use phalanx::serve::{Limits, Next, Server, Service};
    /// # struct Echo;
    /// # impl Service for Echo {
    /// #     type Client = ();
    /// #     fn connected(&mut self, _socket: BorrowedFd<'_>) -> Option<((), Option<Vec<u8>>)> {
    /// #         Some(((), None))
    /// #     }
    /// #     fn is_known(&self, _client: &()) -> bool {
    /// #         true
    /// #     }
    /// #     fn limit(&self, _client: &()) -> usize {
    /// #         1 << 20
    /// #     }
    /// #     fn message(&mut self, _client: &mut (), message: &[u8]) -> Next {
    /// #         Next::Send(message.to_vec())
    /// #     }
    /// # }
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # listener.set_nonblocking(true)?;
    /// use std::time::Duration;
    ///
    /// let limits = Limits { handshake: Duration::from_secs(1), ..Limits::default() };
    /// let server = Server::new(listener.into(), Echo, limits)?;
    /// assert!(!server.stopper().is_stopped());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(listener: OwnedFd, service: S, limits: Limits) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let stopper = Stopper::new()?;
        epoll.add(&listener, LISTENER, Interests::READ)?;
        epoll.add(stopper.bell(), STOP, Interests::READ)?;
        let clients = HashMap::new();
        Ok(Self {
            listener,
            service,
            limits,
            stopper,
            epoll,
            clients,
            next: FIRST_CLIENT,
            rests_until: None,
        })
    }

    /// What ends [`Server::run`].
    ///
    /// ```
    /// # use std::net::TcpListener;
    /// # use std::os::fd::BorrowedFd;
    /// # use phalanx::serve::{Limits, Next, Server, Service};
    /// # struct Echo;
    /// # impl Service for Echo {
    /// #     type Client = ();
    /// #     fn connected(&mut self, _socket: BorrowedFd<'_>) -> Option<((), Option<Vec<u8>>)> {
    /// #         Some(((), None))
    /// #     }
    /// #     fn is_known(&self, _client: &()) -> bool {
    /// #         true
    /// #     }
    /// #     fn limit(&self, _client: &()) -> usize {
    /// #         1 << 20
    /// #     }
    /// #     fn message(&mut self, _client: &mut (), message: &[u8]) -> Next {
    /// #         Next::Send(message.to_vec())
    /// #     }
    /// # }
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # listener.set_nonblocking(true)?;
    /// let server = Server::new(listener.into(), Echo, Limits::default())?;
    /// server.stopper().stop();
    /// assert!(server.stopper().is_stopped(), "all are for the same server");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// What serves the clients.
    ///
    /// ```
    /// # use std::net::TcpListener;
    /// # use std::os::fd::BorrowedFd;
    /// # use phalanx::serve::{Limits, Next, Server, Service};
    /// # struct Echo;
    /// # impl Service for Echo {
    /// #     type Client = ();
    /// #     fn connected(&mut self, _socket: BorrowedFd<'_>) -> Option<((), Option<Vec<u8>>)> {
    /// #         Some(((), None))
    /// #     }
    /// #     fn is_known(&self, _client: &()) -> bool {
    /// #         true
    /// #     }
    /// #     fn limit(&self, _client: &()) -> usize {
    /// #         1 << 20
    /// #     }
    /// #     fn message(&mut self, _client: &mut (), message: &[u8]) -> Next {
    /// #         Next::Send(message.to_vec())
    /// #     }
    /// # }
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # listener.set_nonblocking(true)?;
    /// let mut server = Server::new(listener.into(), Echo, Limits::default())?;
    /// // Between two calls of `run`, or before the first:
    /// assert_eq!(server.service().limit(&()), 1 << 20);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub const fn service(&mut self) -> &mut S {
        &mut self.service
    }

    /// Serves until the server is stopped, or the patience is at its end. Can be called again.
    ///
    /// # Errors
    /// When the kernel refuses to wait. What goes wrong with one client closes its connection.
    ///
    /// ```
    /// # use std::net::TcpListener;
    /// # use std::os::fd::BorrowedFd;
    /// # use phalanx::serve::{Limits, Next, Server, Service};
    /// # struct Echo;
    /// # impl Service for Echo {
    /// #     type Client = ();
    /// #     fn connected(&mut self, _socket: BorrowedFd<'_>) -> Option<((), Option<Vec<u8>>)> {
    /// #         Some(((), None))
    /// #     }
    /// #     fn is_known(&self, _client: &()) -> bool {
    /// #         true
    /// #     }
    /// #     fn limit(&self, _client: &()) -> usize {
    /// #         1 << 20
    /// #     }
    /// #     fn message(&mut self, _client: &mut (), message: &[u8]) -> Next {
    /// #         Next::Send(message.to_vec())
    /// #     }
    /// # }
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # listener.set_nonblocking(true)?;
    /// use phalanx::{GaveUp, Patience};
    /// use std::time::Duration;
    ///
    /// let mut server = Server::new(listener.into(), Echo, Limits::default())?;
    /// // Serves whoever comes in these ten milliseconds; then there is something else to do.
    /// let served = server.run(&Patience::timeout(Some(Duration::from_millis(10))))?;
    /// assert_eq!(served, Err(GaveUp::TimedOut));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn run(&mut self, patience: &Patience<'_>) -> io::Result<Result<(), GaveUp>> {
        let mut ready = Vec::new();
        while !self.stopper.is_stopped() {
            ready.clear();
            let until =
                earlier(patience.deadline(), earlier(self.rests_until, self.next_deadline()));
            let how = self.epoll.wait(&mut ready, until)?;
            for event in &ready {
                self.handle(event);
            }
            self.close_the_late();
            if how != Readiness::Ready
                && let Err(why) = patience.check()
            {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }

    fn handle(&mut self, event: &Event) {
        match event.token {
            LISTENER => self.accept(),
            STOP => {}
            token => {
                if !self.advance(token, event) {
                    self.clients.remove(&token);
                }
            }
        }
    }

    /// Takes in who has come, some at a time.
    fn accept(&mut self) {
        for _ in 0..16 {
            match accept(&self.listener) {
                Ok(socket) => self.welcome(socket),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // No descriptors or no memory: the loop would find the listener ready at once.
                    self.rests_until = Some(Deadline::after(REST));
                    let _ = self.epoll.remove(&self.listener);
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, socket: OwnedFd) {
        let Some((state, greeting)) = self.service.connected(socket.as_fd()) else { return };
        let token = self.next;
        self.next += 1;
        if self.epoll.add(&socket, token, Interests::READ).is_err() {
            return;
        }
        let unknown = self.clients.iter().filter(|(_, client)| client.deadline.is_some());
        if unknown.clone().count() >= self.limits.unknown
            && let Some(oldest) = unknown.map(|(token, _)| *token).min()
        {
            self.clients.remove(&oldest);
        }
        let mut client = Client::new(socket, state, Deadline::after(self.limits.handshake));
        let greeted = greeting.is_none_or(|greeting| client.send(&greeting).is_ok());
        if greeted {
            self.clients.insert(token, client);
        }
    }

    /// Goes on with a client that is ready; false when its connection has to be closed.
    fn advance(&mut self, token: u64, event: &Event) -> bool {
        let Some(client) = self.clients.get_mut(&token) else { return true };
        if event.can_write && client.flush().is_err() {
            return false;
        }
        let mut has_ended = false;
        if event.can_read && !client.is_leaving {
            match client.inbox.fill(&client.socket) {
                Ok(0) => has_ended = true,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        match self.answer(token) {
            Answered::All => {}
            Answered::Close => return false,
            Answered::Detached => return true,
        }
        let Some(client) = self.clients.get_mut(&token) else { return true };
        if has_ended || (client.is_leaving && client.unsent() == 0) {
            return false;
        }
        let interests = Interests {
            read: !client.is_leaving && client.unsent() < self.limits.unsent,
            write: client.unsent() > 0,
        };
        if interests == client.interests {
            return true;
        }
        client.interests = interests;
        self.epoll.change(&client.socket, token, interests).is_ok()
    }

    /// Answers the messages that are there, as long as the client takes the answers.
    fn answer(&mut self, token: u64) -> Answered {
        while let Some(client) = self.clients.get_mut(&token) {
            if client.is_leaving || client.unsent() >= self.limits.unsent {
                return Answered::All;
            }
            let limit = self.service.limit(&client.state);
            let message = match client.inbox.message(limit) {
                Ok(Some(message)) => message,
                Ok(None) => return Answered::All,
                Err(_) => return Answered::Close,
            };
            let sent = match self.service.message(&mut client.state, message) {
                Next::Send(body) => client.send(&body),
                Next::Wait => Ok(()),
                Next::Close(None) => return Answered::Close,
                Next::Close(Some(body)) => {
                    client.is_leaving = true;
                    client.send(&body)
                }
                Next::Detach => {
                    let message = message.to_vec();
                    self.detach(token, message);
                    return Answered::Detached;
                }
            };
            if sent.is_err() {
                return Answered::Close;
            }
            if self.service.is_known(&client.state) {
                client.deadline = None;
            }
        }
        Answered::All
    }

    fn detach(&mut self, token: u64, message: Vec<u8>) {
        let Some(client) = self.clients.remove(&token) else { return };
        let _ = self.epoll.remove(&client.socket);
        let stream = Stream::of_server(client.socket, client.inbox, self.stopper());
        self.service.detached(client.state, stream, message);
    }

    fn next_deadline(&self) -> Option<Deadline> {
        self.clients.values().filter_map(|client| client.deadline).min()
    }

    fn close_the_late(&mut self) {
        if self.rests_until.is_some_and(Deadline::has_passed) {
            self.rests_until = None;
            let _ = self.epoll.add(&self.listener, LISTENER, Interests::READ);
        }
        self.clients.retain(|_, client| !client.deadline.is_some_and(Deadline::has_passed));
    }
}

enum Answered {
    All,
    Close,
    Detached,
}
