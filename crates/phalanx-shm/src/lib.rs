//! Crash-consistent shared-memory structures: arena, process table, ring, locks.
//!
//! Any process may be killed at any instruction, so every structure here records who owns what
//! in the same atomic step that takes it, and any survivor can repair what a dead process left
//! ([`peers::Peers::check`]). Each algorithm has its essay at the head of its file.

#![deny(unsafe_code)]

pub mod event_count;
pub mod failpoint;
pub mod patience;
pub mod peers;
pub mod spin;
pub mod sync;
pub mod words;
