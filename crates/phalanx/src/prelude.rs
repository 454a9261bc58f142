//! What most programs use: `use phalanx::prelude::*;`.

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
