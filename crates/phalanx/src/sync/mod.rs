//! Synchronization between processes: locks, semaphores, conditions, events, barriers.
//!
//! Each type is a handle to an object in the family's shared memory, and its clones are handles to the
//! same object. A forked child has what its parent had; others get a handle as an argument of their start,
//! in a message, or in an argument or result of a task.
//!
//! Nothing here hangs because a process was killed: who waits for something that a dead process
//! holds gets it, and is told so by [`LockError::OwnerDied`].
//!
//! ```
//! use phalanx::prelude::*;
//! use phalanx::process::fork;
//!
//! let (hits, done) = (Lock::new(0u64)?, Event::new()?);
//! let child = fork::run(|| {
//!     *hits.lock().expect("no process has died holding it") += 1;
//!     done.set();
//!     0
//! })?;
//! done.wait();
//! assert_eq!(*hits.lock()?, 1);
//! # drop(child);
//! # Ok::<(), phalanx::Error>(())
//! ```
//!
//! # Readers and writers
//!
//! There is no lock that several readers share. Readers have to be counted in memory that all of them write,
//! and that costs what a [`Lock`] does: four processes that read eight numbers take 27 ns a read with
//! either, measured on two processors against a bare count that would not even survive a death. It pays
//! only where reading takes microseconds, and then what is read is better not locked at all: the numbers of
//! an [`Array`](crate::Array) and a [`Value`](crate::Value) are read without a lock, and large data that
//! changes seldom is best sent anew to those who read it, as [`SharedBytes`](crate::SharedBytes).

mod barrier;
mod condition;
mod error;
mod event;
mod lock;
mod raw_lock;
mod rlock;
mod semaphore;
mod thread;

pub use barrier::{Barrier, BarrierError};
pub use condition::{Condition, Unlocked, Wakened};
pub use error::{CreateError, LockError, OwnerDied};
pub use event::Event;
pub use lock::{Lock, LockGuard, LockResult};
pub use phalanx_shm::words::{Acquired, Holder, NotHeld, Policy};
pub use raw_lock::{RawLock, RawLockGuard};
pub use rlock::{RLock, RLockGuard};
pub use semaphore::{BoundedSemaphore, Permit, Semaphore};
pub use thread::ThreadToken;

/// What all handles can do with the object they stand for. Their methods are for front doors of other languages:
/// in Rust a handle is passed as it is.
macro_rules! handle {
    ($handle:ident, $object:ty, $shared:ident) => {
        impl $handle {
            /// A handle to the object at `offset`, of which this process was made a holder.
            ///
            /// # Errors
            /// [`CreateError`](crate::sync::CreateError) when it was not, or the object is of
            /// another kind.
            #[doc(hidden)]
            pub fn from_offset(offset: u64) -> Result<Self, crate::sync::CreateError> {
                let family = phalanx_shm::family::Family::get()?;
                Ok(Self::wrap(phalanx_shm::object::Shared::from_offset(family, offset)?))
            }

            /// Names the object for a process that is being started, and makes it a holder:
            /// the one whose start this thread is preparing.
            #[doc(hidden)]
            #[must_use]
            pub fn share(&self) -> u64 {
                if let Some(slot) = crate::process::spawning_slot() {
                    self.$shared.hold_for(slot);
                }
                self.$shared.offset()
            }

            /// Where the object lies: what names it to another process of the family.
            #[doc(hidden)]
            #[must_use]
            pub fn offset(&self) -> u64 {
                self.$shared.offset()
            }

            /// Makes another process a holder, before the offset is sent to it.
            #[doc(hidden)]
            pub fn hold_for(&self, slot: phalanx_shm::peers::SlotId) {
                self.$shared.hold_for(slot);
            }
        }

        impl Clone for $handle {
            /// Another handle to the same object.
            fn clone(&self) -> Self {
                Self::wrap(self.$shared.clone())
            }
        }

        crate::wire::handle::passed_by_offset!([] $handle, stringify!($handle));

        impl std::fmt::Debug for $handle {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($handle)).field("object", &self.$shared).finish()
            }
        }
    };
}
pub(crate) use handle;
