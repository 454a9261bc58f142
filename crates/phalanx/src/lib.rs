//! Process parallelism that is fast and never hangs: the engine.

#![forbid(unsafe_code)]

pub mod message;
pub mod pool;
pub mod process;
pub mod queue;
pub mod sync;

pub use phalanx_shm::patience::{GaveUp, Patience};
