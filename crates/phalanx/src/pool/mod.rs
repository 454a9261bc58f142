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
//! The workers of a [`Pool`] run any [task](mod@crate::task) of the program, and, if they are forked, the
//! closures that their [`Builder`] was given.
//!
//! ```
//! use phalanx::pool::{Pool, PoolError};
//!
//! #[phalanx::task]
//! fn square(x: u64) -> u64 {
//!     x * x
//! }
//!
//! let pool = Pool::new(2)?;
//! assert_eq!(pool.map(square::task(), 0..5)?, [0, 1, 4, 9, 16]);
//! assert_eq!(pool.submit(square::task(), 12)?.wait()?, 144);
//! pool.join()?;
//! # Ok::<(), PoolError>(())
//! ```

// For the front doors of other languages, too.
#[doc(hidden)]
pub mod allowance;
mod answers;
mod builder;
mod call;
mod callee;
mod calls;
mod crew;
mod error;
mod front;
pub(crate) mod hired;
mod injector;
mod labelled;
mod ledger;
pub mod pacer;
mod serve;
mod staff;
mod stream;
mod supervisor;
mod task;
mod team;
mod watch;
mod worker;

pub use builder::Builder;
pub use callee::{Callable, Closure};
// The layer below, for the front doors of other languages: it moves bytes. What these mean, how a worker is
// started and how a function is called is the business of the layer above.
#[doc(hidden)]
pub use crew::{Crew, Ended, News};
pub use error::{Panicked, PoolError, SubmitError, TimedOut, WorkerDied};
pub use front::Pool;
pub use phalanx_shm::leases::MAX_SEATS;
#[doc(hidden)]
pub use phalanx_shm::leases::Span;
pub use stream::{Imap, ImapUnordered};
pub use task::Task;
#[doc(hidden)]
pub use worker::{Bench, Leased};
