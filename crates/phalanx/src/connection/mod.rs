//! Connections over sockets: messages to and from programs that are no relatives.
//!
//! A [`Listener`] has an address, on this machine or on the network; who knows it can [`connect`]. The
//! messages of a [`Stream`] are those of `multiprocessing.connection`, and so is the mutual challenge by
//! which the two sides prove to each other that they know the same [`Key`].
//!
//! Nobody who connects can make the others wait: the listener talks to all who have not proved
//! themselves yet at once, each within [`PATIENCE`], and hands out who is done first. On sockets of
//! this machine it also asks the kernel who has come; only its own user and the superuser are let in
//! by a key, unless others are allowed.
//!
//! A killed process closes its connections: the other side reads the end of file, or that a message
//! was cut short. A listener's address in the file system stays until it is removed.
//!
//! ```
//! use phalanx::Patience;
//! use phalanx::connection::{Address, Key, Listener, Peers, connect, introduce};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let name = format!("doc-{}", std::process::id()).into_bytes();
//! let listener = Listener::bind(&Address::Abstract(name), 16)?;
//! let (address, key) = (listener.address()?, Key::new(b"secret"));
//! let client = {
//!     let key = key.clone();
//!     std::thread::spawn(move || {
//!         let stream = connect(&address, &Patience::forever())?;
//!         introduce(&stream, &key, Peers::OwnUser, &Patience::forever())?;
//!         stream.send(b"hello", &Patience::forever()).map_err(std::io::Error::other)
//!     })
//! };
//! let guest = listener.accept_known(&key, Peers::OwnUser, &Patience::forever())?;
//! let mut message = Vec::new();
//! guest.stream.recv(&mut message, None, &Patience::forever())?;
//! assert_eq!(message, b"hello");
//! # client.join().expect("the client does not panic")?;
//! # Ok(())
//! # }
//! ```

mod client;
mod digest;
mod error;
mod handshake;
mod listener;
mod partial;
mod stream;

pub use client::{connect, introduce};
pub use digest::{Digest, Key, UnsupportedDigest};
pub use error::{ConnectError, HandshakeError};
pub use handshake::{Handshake, MESSAGE_MAX, Progress, answer, challenge, farewell, verify};
pub use listener::{Guest, Listener, PATIENCE, Peers};
pub use partial::Partial;
pub use phalanx_os::net::{Address, inet};
pub use stream::{Stream, StreamError};
