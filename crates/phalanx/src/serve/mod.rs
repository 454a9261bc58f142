//! Serving many clients over sockets from one thread.
//!
//! Messages are byte strings with their length in front ([`Inbox`]). A [`Server`] accepts
//! connections and exchanges messages with all of them in one event loop: nobody is waited for, so
//! a client that stalls, sends half a message or does not read its answers delays nobody else. What
//! the messages mean is up to a [`Service`]. It sees a client's messages one by one, from the
//! handshake on; once it knows the client it may answer in the loop, or [detach](Next::Detach) the
//! connection and serve it from a thread of its own, as a [`Stream`].
//!
//! | a client | what happens |
//! |---|---|
//! | does not finish the handshake | its connection is closed after [`Limits::handshake`] |
//! | announces a message longer than it may be | its connection is closed; nothing is allocated for it |
//! | sends half a message, then nothing | it keeps its place, until the deadline if it is still unknown |
//! | does not read its answers | no more requests are read from it once [`Limits::unsent`] bytes wait |
//! | dies | its connection is closed |
//! | comes when there are too many unknown ones | the oldest of those is closed |
//!
//! ```
//! use std::net::TcpListener;
//! use std::os::fd::BorrowedFd;
//! use phalanx::Patience;
//! use phalanx::serve::{Limits, Next, Server, Service, Stream};
//!
//! struct Echo;
//!
//! impl Service for Echo {
//!     type Client = ();
//!
//!     fn connected(&mut self, _socket: BorrowedFd<'_>) -> Option<((), Option<Vec<u8>>)> {
//!         Some(((), Some(b"welcome".to_vec())))
//!     }
//!
//!     fn is_known(&self, _client: &()) -> bool {
//!         true
//!     }
//!
//!     fn limit(&self, _client: &()) -> usize {
//!         1 << 20
//!     }
//!
//!     fn message(&mut self, _client: &mut (), message: &[u8]) -> Next {
//!         Next::Send(message.to_vec())
//!     }
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! listener.set_nonblocking(true)?;
//! let address = listener.local_addr()?;
//! let mut server = Server::new(listener.into(), Echo, Limits::default())?;
//! let stopper = server.stopper();
//! let serving = std::thread::spawn(move || server.run(&Patience::forever()).map(|_| ()));
//!
//! let mut client = Stream::new(std::net::TcpStream::connect(address)?.into());
//! assert_eq!(client.receive(100, &Patience::forever())?, b"welcome");
//! client.send(b"hello", &Patience::forever())?;
//! assert_eq!(client.receive(100, &Patience::forever())?, b"hello");
//! stopper.stop();
//! serving.join().expect("no panic")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod inbox;
mod server;
mod service;
mod stopper;
mod stream;

pub use inbox::{Inbox, TooLong};
pub use server::{Limits, Server};
pub use service::{Next, Service};
pub use stopper::Stopper;
pub use stream::{Stream, StreamError};
