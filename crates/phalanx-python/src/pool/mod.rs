//! Pools for Python: what tasks and results mean. Where they go is decided by [`phalanx::pool`].
//!
//! The thread that wants results collects them, decodes its own and looks after the workers while
//! it waits; only calls with callbacks have a thread of their own, started with the first of them.

mod calls;
mod core;
mod death;
mod executor;
mod future;
mod inbox;
mod job;
mod owner;
mod results;
mod sending;
mod shared;
mod sharing;
mod staff;
mod stream;
mod wire;
mod worker;

pub(crate) use self::core::PoolCore;
pub(crate) use calls::{CallStream, Delayed};
pub(crate) use executor::{ExecutorCore, ExecutorMap, ExecutorService};
pub(crate) use future::{FutureBase, FutureCondition};
pub(crate) use job::Callbacks;
pub(crate) use results::{ApplyResult, MapResult, Pending, timed_out};
pub(crate) use sending::name_of;
pub(crate) use sharing::Sharing;
pub(crate) use stream::IMapIterator;
pub(crate) use wire::Mode;
pub(crate) use worker::{WorkerBench, call_task};
