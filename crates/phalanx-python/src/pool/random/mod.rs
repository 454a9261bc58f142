//! Reproducible random numbers: each task its own stream, from one seed.
//!
//! The stream of a task is named by the seed of its pool, the number of the call that it belongs to and
//! its own number in the call, and by nothing else: neither the worker, nor the batch, nor the order in
//! which tasks run, nor how often one is tried has a part in it. [`phalanx::seed`] derives the words.
//!
//! The owner puts the seed and the call's number into shared memory, once for each call, and the batches
//! say where. A worker sets the generators before each task; without a seed there is nothing to do.

mod seeds;
mod streams;

pub(super) use seeds::{SeedOfCall, SeedsOfTasks};
pub(crate) use seeds::{SeededThreads, Seeds};
pub(crate) use streams::{_reseed_numpy, rng};
pub(super) use streams::{Streams, begin_worker};
