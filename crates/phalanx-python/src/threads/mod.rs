//! Pools of threads, behind `phalanx.pool.ThreadPool`: tasks and results go from hand to hand.
//!
//! A call becomes a [`job::Job`], its tasks lie in the [`hub::Hub`] until a thread takes them, and
//! whoever waits for the outcome sleeps on the hub's bell. No lock is held while Python code runs.

mod core;
mod hub;
mod job;
mod stream;

pub(crate) use self::core::{ThreadBench, ThreadCore};
pub(crate) use stream::ThreadIterator;
