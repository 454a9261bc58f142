//! What most programs use: `use phalanx::prelude::*;`.

pub use crate::error::{Error, ErrorKind, RecvError, SendError};
pub use crate::queue::Queue;
pub use crate::sync::{
    Barrier, BarrierError, BoundedSemaphore, Condition, Event, Lock, LockError, LockGuard, RLock,
    Semaphore,
};
pub use crate::value::{Array, Value};
pub use crate::{Deadline, Patience};
