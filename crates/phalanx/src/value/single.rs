//! One value that processes share.

use std::fmt;

use bytemuck::Pod;
use phalanx_shm::cells::Cells;
use phalanx_shm::peers::SlotId;

use super::atomic::atomic_operations;
use super::{Atomic, Block};
use crate::error::CreateError;
use crate::wire::handle::passed_by_offset;

/// One plain value in shared memory, read and written without a lock.
///
/// This is a handle, and clones of it are handles to the same value. A forked child has its parent's; any
/// other child gets one as an argument of its start or in a message. Whoever reads a value sees all that its
/// writer wrote before it. A process that dies leaves the value as it was or as it was to be.
///
/// That holds for types of 1, 2, 4 and 8 bytes. A larger one is read and written in parts of at most 8
/// bytes, so it can be seen half written: use a [`Lock`](crate::sync::Lock) where others write it.
///
/// ```
/// use phalanx::prelude::*;
///
/// let best = Value::new(f64::INFINITY)?;
/// best.fetch_min(0.25);
/// best.fetch_min(0.5);
/// assert_eq!(best.load(), 0.25);
///
/// let origin = Value::new([0.0f64; 3])?;
/// origin.store([1.0, 2.0, 3.0]);
/// assert_eq!(origin.load()[2], 3.0);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Value<T>(Cells<T>);

impl<T: Pod> Value<T> {
    /// Puts `value` into shared memory.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let temperature = phalanx::Value::new(21.5f64)?;
    /// assert_eq!(temperature.load(), 21.5);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new(value: T) -> Result<Self, CreateError> {
        let cells = Block::new(size_of::<T>())?.into_cells();
        cells.store(0, value);
        Ok(Self(cells))
    }

    /// A handle to the value at `offset`, of which this process was made a holder.
    ///
    /// # Errors
    /// [`CreateError`] when it was not, or what is there is smaller than a `T`.
    #[doc(hidden)]
    pub fn from_offset(offset: u64) -> Result<Self, CreateError> {
        let cells = Block::held(offset)?.into_cells();
        if cells.is_empty() {
            return Err(CreateError::Value(
                "the shared value is smaller than the type it is read as",
            ));
        }
        Ok(Self(cells))
    }

    /// The value.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let answer = Value::new(0u64)?;
    /// Process::fork(|| answer.store(42))?.join()?;
    /// assert_eq!(answer.load(), 42);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn load(&self) -> T {
        self.0.load(0)
    }

    /// Writes the value.
    ///
    /// ```
    /// let position = phalanx::Value::new([0i32; 2])?;
    /// position.store([3, -4]); // eight bytes: nobody sees one of them without the other
    /// assert_eq!(position.load(), [3, -4]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn store(&self, value: T) {
        self.0.store(0, value);
    }
}

impl<T: Atomic> Value<T> {
    atomic_operations!(self, &self.0, 0; ; "phalanx::Value::new(", ")", "");
}

impl<T> Value<T> {
    /// Where the value lies: what names it to another process of the family.
    #[doc(hidden)]
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.0.object().offset()
    }

    /// Makes another process a holder, before the offset is sent to it.
    #[doc(hidden)]
    pub fn hold_for(&self, slot: SlotId) {
        self.0.object().hold_for(slot);
    }
}

impl<T> Clone for Value<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Value").field(&self.load()).finish()
    }
}

passed_by_offset!([T: Pod] Value<T>, "a shared value");
