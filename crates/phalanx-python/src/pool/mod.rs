//! Pools for Python: what tasks and results mean. Where they go is decided by [`phalanx::pool`].
//!
//! The thread that wants results collects them, decodes its own and looks after the workers while
//! it waits; only calls with callbacks have a thread of their own, started with the first of them.

mod answer;
mod bench;
mod calling;
mod calls;
mod core;
mod death;
mod executor;
mod feed;
mod future;
mod inbox;
mod input;
mod job;
mod job_state;
mod logs;
mod options;
mod output;
mod owner;
mod progress;
mod publishing;
mod raised;
mod random;
mod results;
mod search;
mod sending;
mod sent;
mod shared;
mod sharing;
mod staff;
mod stream;
mod termed;
mod termed_stream;
mod wire;
mod worker;

pub(crate) use self::core::PoolCore;
pub(crate) use bench::WorkerBench;
pub(crate) use calling::arguments;
pub(crate) use calls::{CallStream, Delayed};
pub(crate) use executor::{ExecutorCore, ExecutorMap, ExecutorService};
pub(crate) use future::{FutureBase, FutureCondition};
pub(crate) use job::Callbacks;
pub(crate) use options::CallOptions;
pub(crate) use output::LineWriter;
pub(crate) use progress::{Counts, Progress};
pub(crate) use random::{_reseed_numpy, SeededThreads, Seeds, rng};
pub(crate) use results::{ApplyResult, MapResult, Pending, timed_out};
pub(crate) use search::cancelled;
pub(crate) use sending::name_of;
pub(crate) use sharing::Sharing;
pub(crate) use stream::{IMapIterator, IMapUnorderedIterator};
pub(crate) use termed::TermedPool;
pub(crate) use termed_stream::TermedIterator;
pub(crate) use wire::Mode;
