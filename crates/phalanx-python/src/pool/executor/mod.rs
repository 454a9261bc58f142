//! Executors: a pool's workers behind futures.
//!
//! Calls wait in a [line](mod@line) of the owner's and move up to the workers as those take what was sent
//! before, so that a call can be cancelled, or overtaken by a more urgent one, until shortly before it
//! runs. One thread, started with the first call, completes the futures: see [`service`].

mod closing;
mod core;
mod engine;
mod limits;
mod line;
mod manners;
mod map;
mod service;
mod work;

pub(crate) use self::core::ExecutorCore;
pub(super) use engine::{Engine, cancelled};
pub(super) use manners::Manners;
pub(crate) use map::ExecutorMap;
pub(crate) use service::ExecutorService;
pub(super) use work::Work;
