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

mod client;
mod inbox;
mod server;
mod stream;

pub use inbox::{Inbox, TooLong};
pub use server::{Limits, Next, Server, Service, Stopper};
pub use stream::{Stream, StreamError};
