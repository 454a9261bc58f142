//! A prepared process with one thread that forks on request.
//!
//! A fork costs what its parent's memory and threads cost; the zygote has little of the one and
//! none of the other, whatever the requesters look like. It is started at the first request of a
//! family as a fresh program, loads what all children will need, and calls [`serve`].
//!
//! ```text
//!   requester --- door: "here is my end of a pair" ---> zygote
//!   requester === pair: start(payload, descriptors) ==> zygote -- fork --> child
//!   requester <== pair: started(pid, pidfd) ===========
//!   requester <== pair: ended(status) =================   (sentinel readable)
//! ```
//!
//! The near end of the door is inherited by all processes of the family, so any of them can
//! get a pair of its own; nothing has a name, so nobody else can. The zygote ends when nobody is
//! left who could knock or ask. A child hangs on the lifeline of the process that asked for it,
//! not on the zygote; if the zygote is killed, its children go on, their sentinels too, and only
//! their exit status will be unknown.

mod client;
mod connection;
mod server;
mod wire;

pub use client::{Launch, ensure_running, exit_status, pid, start, stop};
pub(super) use client::{door, know_door};
pub(super) use connection::Connection;
pub use server::{Born, Served, serve};
