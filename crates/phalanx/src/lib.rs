//! Process parallelism that is fast and never hangs: the engine.

#![forbid(unsafe_code)]

pub mod message;
pub mod pipe;
pub mod pool;
pub mod process;
pub mod queue;
pub mod sync;
pub mod value;
pub mod wait;

pub use phalanx_shm::patience::{GaveUp, Patience};
