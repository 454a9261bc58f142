//! Managers: the server's loop and threads, and the client's end of a connection.
//!
//! The loop knows strangers from clients, and nobody waits for anybody in it. Each connection that has
//! proved itself is served by a thread of its own, as its client may count on: a lock that was
//! acquired over a connection belongs to that thread, and a call that blocks blocks its caller only.

mod call;
mod channel;
mod server;
mod share;
mod worker;

pub(crate) use channel::ManagerChannel;
pub(crate) use server::ManagerServer;
pub(crate) use share::{_encode_whole, _own_place, _share_with};
