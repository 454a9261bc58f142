//! Typed messages to and from programs that are no relatives, on this machine or another.
//!
//! A [`Listener`] has an address, and whoever knows that and the key can [`connect`]. Both sides prove to
//! each other that they know the key, by a challenge that does not tell it; on sockets of this machine
//! the kernel is also asked which user has come. The [`Connection`] that each side then has carries values
//! of any type that serde knows. This is [`connection`](crate::connection) with types.
//!
//! ```
//! use phalanx::remote::{Address, Key, Listener, connect};
//!
//! let key = Key::new(b"known to both");
//! // What the server sends are numbers, what it receives are texts.
//! let address = Address::Abstract(format!("doc-remote-{}", std::process::id()).into_bytes());
//! let listener = Listener::<u64, String>::bind(&address, &key)?;
//! let client = std::thread::spawn(move || {
//!     let connection = connect::<String, u64>(&address, &key)?;
//!     connection.send(&"how long is this?".to_owned())?;
//!     connection.recv()
//! });
//! let connection = listener.accept()?;
//! let text = connection.recv()?;
//! connection.send(&(text.len() as u64))?;
//! assert_eq!(client.join().expect("no panic")?, 17);
//! # Ok::<(), phalanx::Error>(())
//! ```
//!
//! | the other side | what this one sees |
//! |---|---|
//! | dies, or closes its connection | [`RemoteError::Disconnected`], after what it has sent as a whole |
//! | dies in the middle of a message | [`RemoteError::CutShort`] |
//! | stalls | nothing, until a deadline of this side's; a listener goes on with the others |
//! | does not know the key, or runs as another user | it is turned away, and the listener goes on |
//! | announces more bytes than are allowed | [`RemoteError::TooLong`], before any of them is read |
//! | sends something of another type | [`RemoteError::Decode`], with the bytes; the next message is unharmed |
//!
//! What is sent is not encrypted: between machines use a network that is trusted, or a tunnel.

mod connection;
mod error;
mod listener;

pub use crate::connection::{Address, Key, Peers, inet};
pub use connection::{Connection, LONGEST, connect, connect_deadline};
pub use error::RemoteError;
pub use listener::Listener;
