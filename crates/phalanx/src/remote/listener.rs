//! Waiting for others to connect, with typed messages afterwards.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::patience::Patience;

use super::{Connection, RemoteError};
use crate::connection::{self, Address, ConnectError, Key, Peers, StreamError};

/// How many may have connected before they are accepted.
const BACKLOG: i32 = 128;

/// Listens at an address for those who know the key. Each gets a [`Connection`] that sends values of
/// type `S` and receives values of type `R`.
///
/// Nobody who connects keeps another waiting, however slowly it proves itself. Closed when dropped; a
/// socket in the file system that [`Listener::bind`] made is removed then. As a descriptor it is readable
/// when somebody has connected.
///
/// ```
/// use std::time::Duration;
/// use phalanx::remote::{Address, Key, Listener, RemoteError};
///
/// // On a port that the kernel chooses:
/// let any = Address::Inet(([127, 0, 0, 1], 0).into());
/// let listener = Listener::<u64, u64>::bind(&any, &Key::new(b"secret"))?;
/// println!("{:?}", listener.address()?);
/// let nobody = listener.accept_timeout(Duration::from_millis(1));
/// assert!(matches!(nobody, Err(RemoteError::TimedOut)));
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Listener<S, R = S> {
    inner: connection::Listener,
    key: Key,
    peers: Peers,
    path: Option<PathBuf>,
    types: PhantomData<fn() -> (S, R)>,
}

impl<S, R> Listener<S, R> {
    /// Begins to listen. Only this user and the superuser are let in on sockets of this machine, unless
    /// [`Listener::with_peers`] says otherwise.
    ///
    /// # Errors
    /// `AddrInUse` when somebody has the address, a socket of a killed listener in the file system
    /// included; `PermissionDenied`, or the kernel's refusal.
    ///
    /// ```
    /// use phalanx::remote::{Address, Key, Listener};
    ///
    /// let path = std::env::temp_dir().join(format!("phalanx-doc-bind-{}", std::process::id()));
    /// let listener = Listener::<u64, String>::bind(&Address::Path(path.clone()), &Key::new(b"secret"))?;
    /// assert!(path.exists());
    /// drop(listener);
    /// assert!(!path.exists());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn bind(address: &Address, key: &Key) -> io::Result<Self> {
        let inner = connection::Listener::bind(address, BACKLOG)?;
        let path = if let Address::Path(path) = address { Some(path.clone()) } else { None };
        let (key, peers) = (key.clone(), Peers::default());
        Ok(Self { inner, key, peers, path, types: PhantomData })
    }

    /// Sets which users of this machine are let in by the key.
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::remote::{Address, Key, Listener, Peers};
    ///
    /// let name = Address::Abstract(format!("doc-peers-{}", std::process::id()).into_bytes());
    /// // The key alone decides, whoever has it:
    /// let listener = Listener::<u64>::bind(&name, &Key::new(b"secret"))?.with_peers(Peers::Anybody);
    /// assert!(listener.accept_timeout(Duration::ZERO).is_err());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn with_peers(mut self, peers: Peers) -> Self {
        self.peers = peers;
        self
    }

    /// The address, with the port that the kernel chose.
    ///
    /// # Errors
    /// The kernel's refusal.
    ///
    /// ```
    /// use phalanx::remote::{Address, Key, Listener};
    ///
    /// let any_port = Address::Inet(([127, 0, 0, 1], 0).into());
    /// let listener = Listener::<u64>::bind(&any_port, &Key::new(b"secret"))?;
    /// assert!(matches!(listener.address()?, Address::Inet(address) if address.port() != 0));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn address(&self) -> io::Result<Address> {
        self.inner.address()
    }

    /// Waits for somebody who knows the key. Others are turned away meanwhile.
    ///
    /// # Errors
    /// [`RemoteError::Io`]: the kernel's refusal.
    ///
    /// ```
    /// use phalanx::remote::{Address, Key, Listener, connect};
    ///
    /// let (address, key) = (Address::Inet(([127, 0, 0, 1], 0).into()), Key::new(b"secret"));
    /// let listener = Listener::<String, u64>::bind(&address, &key)?;
    /// let address = listener.address()?;
    /// let client = std::thread::spawn(move || connect::<u64, String>(&address, &key)?.recv());
    /// listener.accept()?.send(&"welcome".to_owned())?;
    /// assert_eq!(client.join().expect("no panic")?, "welcome");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn accept(&self) -> Result<Connection<S, R>, RemoteError> {
        self.accept_with(&Patience::forever())
    }

    /// The same, but not longer than `timeout`.
    ///
    /// # Errors
    /// As for [`Listener::accept`], and [`RemoteError::TimedOut`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::remote::{Address, Key, Listener, RemoteError};
    ///
    /// let name = Address::Abstract(format!("doc-timeout-{}", std::process::id()).into_bytes());
    /// let listener = Listener::<u64>::bind(&name, &Key::new(b"secret"))?;
    /// let nobody = listener.accept_timeout(Duration::from_millis(1));
    /// assert!(matches!(nobody, Err(RemoteError::TimedOut)));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn accept_timeout(&self, timeout: Duration) -> Result<Connection<S, R>, RemoteError> {
        self.accept_with(&Patience::timeout(Some(timeout)))
    }

    /// The same, but not beyond `deadline`.
    ///
    /// # Errors
    /// As for [`Listener::accept`], and [`RemoteError::TimedOut`].
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use phalanx::remote::{Address, Key, Listener};
    ///
    /// let name = Address::Abstract(format!("doc-deadline-{}", std::process::id()).into_bytes());
    /// let listener = Listener::<u64>::bind(&name, &Key::new(b"secret"))?;
    /// let deadline = Instant::now() + Duration::from_millis(10);
    /// // All who come in these ten milliseconds:
    /// let guests: Vec<_> = std::iter::from_fn(|| listener.accept_deadline(deadline).ok()).collect();
    /// assert!(guests.is_empty());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn accept_deadline(
        &self,
        deadline: impl Into<Deadline>,
    ) -> Result<Connection<S, R>, RemoteError> {
        self.accept_with(&Patience::until(Some(deadline.into())))
    }

    /// The same as long as `patience` allows.
    ///
    /// # Errors
    /// As for [`Listener::accept`], [`RemoteError::TimedOut`] and [`RemoteError::Interrupted`].
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::remote::{Address, Key, Listener, RemoteError};
    ///
    /// let name = Address::Abstract(format!("doc-with-{}", std::process::id()).into_bytes());
    /// let listener = Listener::<u64>::bind(&name, &Key::new(b"secret"))?;
    /// let pressed = || true; // asked now and then: has the user pressed the button?
    /// let patience = Patience::forever().interruptible(&pressed);
    /// assert!(matches!(listener.accept_with(&patience), Err(RemoteError::Interrupted)));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn accept_with(&self, patience: &Patience<'_>) -> Result<Connection<S, R>, RemoteError> {
        loop {
            match self.inner.accept_known(&self.key, self.peers, patience) {
                Ok(guest) => return Ok(Connection::over(guest.stream)),
                Err(ConnectError::Handshake(_)) => {}
                // It has gone before it was believed.
                Err(ConnectError::Stream(StreamError::EndOfFile | StreamError::CutShort)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<S, R> AsFd for Listener<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.fd()
    }
}

impl<S, R> fmt::Debug for Listener<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address().ok()).finish_non_exhaustive()
    }
}

impl<S, R> Drop for Listener<S, R> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}
