//! What a server does for its clients, as far as that is its user's business.

use std::os::fd::BorrowedFd;

use super::stream::Stream;

/// What a service wants done after a message.
///
/// ```
/// use phalanx::serve::Next;
///
/// /// What a service may answer to a message.
/// fn answer(message: &[u8]) -> Next {
///     match message {
///         b"time" => Next::Send(b"noon".to_vec()),
///         b"note" => Next::Wait, // nothing to say
///         b"upload" => Next::Detach, // takes long: in a thread of its own
///         _ => Next::Close(Some(b"goodbye".to_vec())),
///     }
/// }
/// assert!(matches!(answer(b"quit"), Next::Close(Some(_))));
/// ```
#[derive(Debug)]
pub enum Next {
    /// Send this, and go on with the client's next message.
    Send(Vec<u8>),
    /// Nothing to send yet; go on with the next message.
    Wait,
    /// Give the connection and this message to [`Service::detached`].
    Detach,
    /// Send this, if there is anything, and close the connection.
    Close(Option<Vec<u8>>),
}

/// What a server does for its clients. Its methods are called in the loop, which they hold up: they
/// never wait for anything.
///
/// ```
/// use std::os::fd::BorrowedFd;
/// use phalanx::serve::{Next, Service};
///
/// /// Counts what each client sends.
/// struct Count;
///
/// impl Service for Count {
///     type Client = u64; // how much that was
///
///     fn connected(&mut self, _socket: BorrowedFd<'_>) -> Option<(u64, Option<Vec<u8>>)> {
///         Some((0, None))
///     }
///
///     fn is_known(&self, _count: &u64) -> bool {
///         true
///     }
///
///     fn limit(&self, _count: &u64) -> usize {
///         1 << 20
///     }
///
///     fn message(&mut self, count: &mut u64, message: &[u8]) -> Next {
///         *count += message.len() as u64;
///         Next::Send(count.to_string().into_bytes())
///     }
/// }
/// # let mut count = 3;
/// # assert!(matches!(Count.message(&mut count, b"ab"), Next::Send(text) if text == b"5"));
/// ```
pub trait Service {
    /// What is remembered of each client.
    type Client;

    /// A client has connected: what is remembered of it, and what it is sent first. `None` turns it
    /// away.
    ///
    /// ```
    /// # use std::os::fd::{AsFd, BorrowedFd};
    /// # use phalanx::serve::{Next, Service};
    /// # struct Picky(bool);
    /// # impl Service for Picky {
    /// #     type Client = ();
    /// #     fn is_known(&self, _client: &()) -> bool {
    /// #         true
    /// #     }
    /// #     fn limit(&self, _client: &()) -> usize {
    /// #         1 << 20
    /// #     }
    /// #     fn message(&mut self, _client: &mut (), message: &[u8]) -> Next {
    /// #         Next::Send(message.to_vec())
    /// #     }
    /// fn connected(&mut self, _socket: BorrowedFd<'_>) -> Option<((), Option<Vec<u8>>)> {
    ///     let is_open = self.0;
    ///     is_open.then(|| ((), Some(b"welcome".to_vec())))
    /// }
    /// # }
    /// # let (socket, _other) = std::os::unix::net::UnixStream::pair()?;
    /// # assert!(Picky(true).connected(socket.as_fd()).is_some_and(|((), greeting)| greeting.is_some()));
    /// # assert!(Picky(false).connected(socket.as_fd()).is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn connected(&mut self, socket: BorrowedFd<'_>) -> Option<(Self::Client, Option<Vec<u8>>)>;

    /// Whether the client has shown who it is. Until then it has a deadline.
    ///
    /// ```
    /// # use std::os::fd::BorrowedFd;
    /// # use phalanx::serve::{Next, Service};
    /// # struct Club;
    /// # impl Service for Club {
    /// #     type Client = bool;
    /// #     fn connected(&mut self, _socket: BorrowedFd<'_>) -> Option<(bool, Option<Vec<u8>>)> {
    /// #         Some((false, None))
    /// #     }
    /// #     fn limit(&self, _has_shown: &bool) -> usize {
    /// #         100
    /// #     }
    /// fn is_known(&self, has_shown: &bool) -> bool {
    ///     *has_shown
    /// }
    ///
    /// fn message(&mut self, has_shown: &mut bool, message: &[u8]) -> Next {
    ///     *has_shown |= message == b"the word"; // from now on there is no deadline
    ///     Next::Wait
    /// }
    /// # }
    /// # let mut has_shown = false;
    /// # Club.message(&mut has_shown, b"the word");
    /// # assert!(Club.is_known(&has_shown));
    /// ```
    fn is_known(&self, client: &Self::Client) -> bool;

    /// The longest message that the client may send now, in bytes.
    ///
    /// ```
    /// # use std::os::fd::BorrowedFd;
    /// # use phalanx::serve::{Next, Service};
    /// # struct Club;
    /// # impl Service for Club {
    /// #     type Client = bool;
    /// #     fn connected(&mut self, _socket: BorrowedFd<'_>) -> Option<(bool, Option<Vec<u8>>)> {
    /// #         Some((false, None))
    /// #     }
    /// #     fn is_known(&self, has_shown: &bool) -> bool {
    /// #         *has_shown
    /// #     }
    /// #     fn message(&mut self, _has_shown: &mut bool, _message: &[u8]) -> Next {
    /// #         Next::Wait
    /// #     }
    /// fn limit(&self, has_shown: &bool) -> usize {
    ///     if *has_shown { 64 << 20 } else { 256 } // nobody unknown makes us take much memory
    /// }
    /// # }
    /// # assert!(Club.limit(&true) > Club.limit(&false));
    /// ```
    fn limit(&self, client: &Self::Client) -> usize;

    /// A message has come.
    ///
    /// ```
    /// # use std::os::fd::BorrowedFd;
    /// # use phalanx::serve::{Next, Service};
    /// # struct Shout;
    /// # impl Service for Shout {
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
    /// fn message(&mut self, _client: &mut (), message: &[u8]) -> Next {
    ///     Next::Send(message.to_ascii_uppercase())
    /// }
    /// # }
    /// # assert!(matches!(Shout.message(&mut (), b"hello"), Next::Send(text) if text == b"HELLO"));
    /// ```
    fn message(&mut self, client: &mut Self::Client, message: &[u8]) -> Next;

    /// Takes over a connection that `message` was answered with [`Next::Detach`] for.
    ///
    /// ```
    /// # use std::os::fd::BorrowedFd;
    /// # use phalanx::Patience;
    /// # use phalanx::serve::{Next, Service, Stream};
    /// # struct Slow;
    /// # impl Service for Slow {
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
    /// fn message(&mut self, _client: &mut (), _message: &[u8]) -> Next {
    ///     Next::Detach
    /// }
    ///
    /// fn detached(&mut self, _client: (), stream: Stream, message: Vec<u8>) {
    ///     std::thread::spawn(move || stream.send(&message, &Patience::forever()));
    /// }
    /// # }
    /// # let (one, other) = std::os::unix::net::UnixStream::pair()?;
    /// # Slow.detached((), Stream::new(one.into()), b"hello".to_vec());
    /// # assert_eq!(Stream::new(other.into()).receive(100, &Patience::forever())?, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn detached(&mut self, client: Self::Client, stream: Stream, message: Vec<u8>) {
        let _ = (client, stream, message);
    }
}
