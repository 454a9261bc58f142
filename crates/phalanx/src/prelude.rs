//! What most programs use: `use phalanx::prelude::*;`.
//!
//! ```
//! use phalanx::prelude::*;
//!
//! let results = Queue::<u64>::unbounded()?;
//! let worker = Process::fork(|| results.put(42).is_ok())?;
//! assert_eq!(results.take()?, 42);
//! assert!(worker.join()?);
//! # Ok::<(), phalanx::Error>(())
//! ```

pub use crate::bytes::{SharedBytes, SharedBytesMut};
pub use crate::channel::{Receiver, Sender, channel};
pub use crate::error::{Error, ErrorKind, RecvError, SendError};
pub use crate::manager::{Dict, List, Manager};
pub use crate::pipe::{PipeEnd, pipe};
pub use crate::pool::{Pool, PoolError, Task};
pub use crate::process::{ExitStatus, Process, ProcessError, StartMethod, Stdio};
pub use crate::queue::Queue;
pub use crate::sync::{
    Barrier, BarrierError, BoundedSemaphore, Condition, Event, Lock, LockError, LockGuard, RLock,
    Semaphore,
};
pub use crate::value::{Array, Value};
pub use crate::{Deadline, Patience, task};
