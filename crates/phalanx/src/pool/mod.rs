//! Pools: many tasks, few workers, nothing lost when one of them dies.
//!
//! ```text
//!   owner --batches--> ring of tasks --leases--> workers --results--> one mailbox each --> owner
//! ```
//!
//! The owner's calling thread writes batches and reads results itself; there is no thread between.
//! Every worker takes batches from the same ring, so the balance is as good as the batches are small
//! (see [`pacer`]). What it takes it signs for on the [lease board](phalanx_shm::leases), so that its
//! death costs exactly the task that was running.
//!
//! This module moves bytes. What they mean, how a worker is started and how a function is called is
//! the business of the layer above.

mod crew;
pub mod pacer;
mod worker;

pub use crew::{Crew, Ended, News};
pub use phalanx_shm::leases::{MAX_SEATS, Span};
pub use worker::{Bench, Leased};
