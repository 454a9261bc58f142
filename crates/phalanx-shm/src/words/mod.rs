//! What processes synchronize by: locks, semaphores, conditions, events and barriers.
//!
//! Each file has one algorithm over atomics in shared memory and begins with its essay: the
//! states, the transitions, and who repairs what when a process dies between two of them. They
//! share four rules.
//!
//! - *The holder's name is written by the step that takes.* So there is no instant at which a
//!   thing is taken and nobody can say by whom ([`holder`]).
//! - *Nobody waits without looking.* Sleeps end at slices (50 ms, growing to two seconds) at which
//!   the sleeper asks whether those it waits for are alive; the question itself repairs.
//! - *Who leaves passes on.* A waiter that gives up may have been given a wake-up in the same
//!   moment; it hands it to the next.
//! - *`on_death` repairs and is idempotent.* It may be called twice, by two processes at once, or by
//!   one that dies on its way: whoever comes next does the rest.

pub mod barrier;
mod barrier_layout;
pub mod condition;
pub mod event;
pub mod holder;
pub mod lock;
#[cfg(not(loom))]
pub mod objects;
pub mod permits;
pub mod rlock;

#[cfg(all(loom, test))]
mod loom_tests;

pub use holder::{Acquired, End, Holder, NotHeld, Policy};
