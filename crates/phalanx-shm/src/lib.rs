//! Crash-consistent shared-memory structures: arena, process table, ring, map, list, locks.
//!
//! Any process may be killed at any instruction, so every structure here records who owns what
//! in the same atomic step that takes it, and any survivor can repair what a dead process left
//! ([`peers::Peers::check`]). Each algorithm has its essay at the head of its file.

#![deny(unsafe_code)]

pub mod alloc_error;
#[cfg(not(loom))]
pub mod arena;
#[cfg_attr(loom, allow(dead_code))]
pub mod bell;
// Under loom, those who use the next two are left out.
#[cfg(not(loom))]
pub mod cells;
#[cfg_attr(loom, allow(dead_code))]
pub mod chunk_word;
#[cfg_attr(loom, allow(dead_code))]
pub mod containers;
#[cfg(not(loom))]
pub mod dump;
pub mod engine_lock;
pub mod event_count;
pub mod failpoint;
#[cfg(not(loom))]
pub mod family;
#[cfg(not(loom))]
pub mod frozen;
#[cfg(not(loom))]
pub mod guarded;
#[cfg_attr(loom, allow(dead_code))]
mod holders;
#[cfg_attr(loom, allow(dead_code))]
pub mod leases;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(not(loom))]
pub mod object;
#[cfg(not(loom))]
pub mod passage;
pub mod patience;
pub mod peers;
pub mod ring;
#[cfg_attr(loom, allow(dead_code))]
mod slot;
pub mod spin;
#[cfg(not(loom))]
mod sweep;
pub mod sync;
#[cfg(not(loom))]
pub mod table;
pub mod view;
pub mod words;
