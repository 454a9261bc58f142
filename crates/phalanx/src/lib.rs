//! Process parallelism that is fast and never hangs: the engine.
//!
//! Processes are the parallelism that survives a crash: what one of them does to itself, by a bug in
//! a native library, by exhausting memory or by being killed, need not concern the others. phalanx makes
//! them cheap to use together. Queues, locks, pipes and pools lie in memory that a *family* of processes
//! shares; taking a lock or a message that is there makes no system call; and every structure can be
//! repaired by whoever survives, so that **no wait outlives the process it waits for**.
//!
//! ```toml
//! [dependencies]
//! phalanx = "0.1"
//! serde = { version = "1", features = ["derive"] }             # for types of one's own in messages and tasks
//! bytemuck = { version = "1", features = ["derive"] }          # for structs in shared memory
//! ```
//!
//! A whole program: a function that other processes may be asked to run, and workers that run it.
//!
//! ```
//! use phalanx::prelude::*;
//!
//! #[phalanx::task]
//! fn is_prime(n: u64) -> bool {
//!     n > 1 && (2..).take_while(|d| d * d <= n).all(|d| n % d != 0)
//! }
//!
//! #[phalanx::main]
//! fn main() -> Result<(), phalanx::Error> {
//!     let pool = Pool::new(4)?;
//!     // Results in the order of the numbers.
//!     let answers = pool.map(is_prime::task(), 100_000..100_100)?;
//!     assert_eq!(answers.into_iter().filter(|prime| *prime).count(), 6);
//!     // One call, whose result is fetched later.
//!     let one = pool.submit(is_prime::task(), 2_147_483_647)?;
//!     assert!(one.wait()?);
//!     Ok(())
//! }
//! ```
//!
//! Processes that share a queue, and data under a lock:
//!
//! ```
//! use phalanx::prelude::*;
//!
//! let numbers = Queue::<Option<i64>>::bounded(100)?;
//! let range = Lock::new([i64::MAX, i64::MIN])?;
//! let reader = Process::fork(|| {
//!     while let Ok(Some(number)) = numbers.take() {
//!         let mut range = range.lock().expect("no process has died holding it");
//!         *range = [range[0].min(number), range[1].max(number)];
//!     }
//! })?;
//! for number in [3, -7, 12, 5] {
//!     numbers.put(Some(number))?;
//! }
//! numbers.put(None)?;
//! reader.join()?;
//! assert_eq!(*range.lock()?, [-7, 12]);
//! # Ok::<(), phalanx::Error>(())
//! ```
//!
//! What travels between processes is any type that serde knows: in queues, channels and pipes, and as arguments
//! and results. Handles of shared objects travel like values:
//!
//! ```
//! use phalanx::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order { item: String, count: u32 }
//!
//! #[phalanx::task]
//! fn clerk(orders: Receiver<Order>, sold: Value<u32>) -> usize {
//!     // Ends when the last sender has gone, or has died.
//!     orders.iter().flatten().map(|order| sold.fetch_add(order.count)).count()
//! }
//!
//! #[phalanx::main]
//! fn main() -> Result<(), phalanx::Error> {
//!     let (sender, orders) = channel::<Order>()?;
//!     let sold = Value::new(0u32)?;
//!     let clerk = Process::start(clerk::task(), (orders, sold.clone()))?;
//!     sender.send(Order { item: "apples".to_owned(), count: 5 })?;
//!     sender.send(Order { item: "pears".to_owned(), count: 2 })?;
//!     drop(sender);
//!     assert_eq!((clerk.join()?, sold.load()), (2, 7));
//!     Ok(())
//! }
//! ```
//!
//! # What there is
//!
//! | module | what |
//! |---|---|
//! | [`pool`] | many tasks, few workers: [`map`](pool::Pool::map), [`imap`](pool::Pool::imap), [`submit`](pool::Pool::submit) |
//! | [`prelude`] | what most programs use, in one line |
//! | [`queue`] | [`Queue`]: values from many processes to many, bounded or not, with a descriptor for `select` |
//! | [`channel`](mod@channel) | [`Sender`] and [`Receiver`]: values until the last process of either side has gone |
//! | [`pipe`](mod@pipe) | values between two ends, each way, with an end when one is gone |
//! | [`mod@task`] | functions that other processes can be asked to run: [`#[phalanx::task]`](macro@task) |
//! | [`diagnosis`] | the state of the shared memory in words, to find out why a program stands still |
//! | [`connection`] | messages over sockets, to and from other programs, which prove to know a key |
//! | [`sync`] | [`Lock`] with the data that it protects, re-entrant lock, semaphores, condition, event, barrier |
//! | [`manager`] | dictionaries and lists that processes share |
//! | [`named`] | memory with a name, for processes that are no relatives |
//! | [`value`] | [`Value`] and [`Array`]: numbers and plain structures that processes share, with atomic operations |
//! | [`bytes`] | [`SharedBytes`]: large buffers that are handed from process to process without a copy |
//! | [`process`] | one function in a process of its own, forked, fresh or a copy of a prepared one |
//! | [`seed`] | seeds for streams of random numbers, one for each task |
//! | [`cache`] | computed values on disk, which many processes share: each computed once, none returned damaged |
//! | [`serve`] | messages over sockets with many clients, in one event loop |
//! | [`wait`] | one wait for any of several queues, pipes and descriptors |
//! | [`message`] | what queues and pipes carry: short frames, and chunks that are handed over uncopied |
//! | [`wire`] | how values become bytes: `serde`, and other formats |
//! | [`error`] | small errors that give back what was handed in, and one above all |
//! | [`plain`] | values that programs in different languages understand, and `serde` to and from them |
//! | [`remote`] | typed messages to and from programs that are no relatives, over sockets |
//! | [`jobs`] | commands in parallel: other people's programs and scripts, so many at a time |
//! | [`program`] | other programs as children, in whatever language, which share queues, locks and values |
//! | [`entry`] | programs that start themselves again: [`#[phalanx::main]`](macro@main) |
//!
//! # What happens when a process dies
//!
//! Killed, crashed or ended, at any instruction; the survivors find out within milliseconds if they wait
//! for it, and at the next use otherwise.
//!
//! | it died | what the others see |
//! |---|---|
//! | holding a [`Lock`](sync::RawLock), [`RLock`](sync::RLock) or a permit | the next to acquire gets it and is told [who died](sync::OwnerDied); other [policies](sync::Policy) can be chosen |
//! | waiting for a lock, a condition, a queue | nothing: a wake-up that was meant for it goes to somebody else |
//! | before a [barrier](sync::Barrier) let it pass | the barrier is broken, for all who wait there |
//! | putting a message | the message is there as a whole, or not at all |
//! | taking a message | the message is still there, or gone with it; never twice, never in part |
//! | holding the last other end of a [pipe](mod@pipe) | what it sent, then end of file |
//! | as a pool's worker, idle | nothing: another worker takes its place |
//! | as a pool's worker, in a task | that task fails with [`WorkerDied`](pool::WorkerDied), which names the task, the worker and how it ended; no other task is lost, and none is run twice |
//! | having children | they are killed with it |
//! | at all | its memory and descriptors are freed; there is nothing in the file system to be left |
//!
//! All of it is an error that says what happened, never a wait without end:
//!
//! ```
//! use phalanx::prelude::*;
//!
//! let mut builder = Pool::builder().workers(2);
//! let divide = builder.closure(|n: u64| if n == 0 { std::process::abort() } else { 100 / n });
//! let pool = builder.start()?;
//! for (n, result) in pool.map_each(divide, 0..4)?.into_iter().enumerate() {
//!     match result {
//!         Ok(quotient) => assert_eq!(quotient, 100 / n as u64),
//!         Err(PoolError::WorkerDied(died)) => assert_eq!((n, died.status), (0, ExitStatus::Signal(6))),
//!         Err(other) => return Err(other.into()),
//!     }
//! }
//! # Ok::<(), phalanx::Error>(())
//! ```
//!
//! # Waiting
//!
//! What may wait comes in five forms: bare, for ever; `try_`, not at all; `_timeout`, a duration; `_deadline`, an
//! instant, for several waits that have to be over together; and `_with`, as long as a [`Patience`] allows: for
//! ever, until a [`Deadline`] on the monotonic clock, or until a question of the caller's is answered with yes.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use phalanx::prelude::*;
//!
//! let queue = Queue::<u64>::unbounded()?;
//! assert_eq!(queue.try_take()?, None);
//! assert!(matches!(queue.take_timeout(Duration::from_millis(1)), Err(RecvError::Empty)));
//! assert!(queue.take_deadline(Instant::now() + Duration::from_millis(1)).is_err());
//!
//! let asked = || true; // now and then: shall we give up?
//! let patience = Patience::forever().interruptible(&asked);
//! assert!(matches!(queue.take_with(&patience), Err(RecvError::Interrupted)));
//! # Ok::<(), phalanx::Error>(())
//! ```
//!
//! # Errors
//!
//! Each operation has a small error of its own, which gives back what was handed in: the value that was not
//! sent, the guard of a lock whose holder died, the bytes that are no such value. By `?` each becomes an
//! [`Error`], for programs that handle all of them in one place by [`Error::kind`].

#![forbid(unsafe_code)]

pub mod bytes;
pub mod cache;
pub mod channel;
pub mod connection;
pub mod diagnosis;
pub mod entry;
pub mod error;
pub mod jobs;
pub mod manager;
pub mod message;
pub mod named;
pub mod pipe;
pub mod plain;
pub mod pool;
pub mod prelude;
pub mod process;
pub mod program;
pub mod queue;
pub mod remote;
pub mod seed;
pub mod serve;
// For front doors of other languages.
#[doc(hidden)]
pub mod stash;
pub mod sync;
pub mod task;
mod trace;
pub mod value;
pub mod wait;
pub mod wire;

pub use bytes::{SharedBytes, SharedBytesMut};
pub use channel::{Receiver, Sender, channel};
pub use entry::init;
pub use error::{CreateError, DecodeError, EncodeError, Error, ErrorKind, RecvError, SendError};
pub use phalanx_macros::{main, task};
pub use phalanx_os::clock::Deadline;
pub use phalanx_shm::patience::{GaveUp, Patience};
pub use pipe::{PipeEnd, pipe};
pub use pool::{Pool, Task};
pub use process::{Process, StartMethod};
pub use program::inherited;
pub use queue::Queue;
pub use sync::Lock;
pub use task::cancelled;
pub use value::{Array, Value};

/// What the macros need.
#[doc(hidden)]
pub mod __private {
    pub use linkme;
}

/// The programs of the guide, compiled and run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/rust.md")]
struct Guide;

/// The programs of the guide to scripts, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/scripts.md")]
struct ScriptsGuide;
