//! What ends a server.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use phalanx_os::eventfd::Doorbell;

/// Ends a server from another thread.
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
/// # use phalanx::Patience;
/// use phalanx::serve::Stopper;
///
/// let mut server = Server::new(listener.into(), Echo, Limits::default())?;
/// let stopper: Stopper = server.stopper(); // for a signal handler, or another thread
/// let serving = std::thread::spawn(move || server.run(&Patience::forever()));
/// stopper.stop();
/// assert!(serving.join().expect("no panic")?.is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stopper(Arc<(AtomicBool, Doorbell)>);

impl Stopper {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new((AtomicBool::new(false), Doorbell::new()?))))
    }

    /// Asks the server to return from [`Server::run`](super::Server::run).
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
    /// # use phalanx::Patience;
    /// let mut server = Server::new(listener.into(), Echo, Limits::default())?;
    /// server.stopper().stop();
    /// assert!(server.run(&Patience::forever())?.is_ok(), "returns at once");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stop(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.ring();
    }

    /// Whether the server has been asked to.
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
    /// let stopper = server.stopper();
    /// assert!(!stopper.is_stopped());
    /// stopper.stop();
    /// assert!(stopper.is_stopped());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    /// Readable from then on.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.0.1.as_fd()
    }
}
