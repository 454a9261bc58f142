//! Many values that processes share.

use std::fmt;

use bytemuck::Pod;
use phalanx_shm::cells::Cells;
use phalanx_shm::peers::SlotId;

use super::atomic::atomic_operations;
use super::{Atomic, Block};
use crate::error::CreateError;
use crate::wire::handle::passed_by_offset;

/// A fixed number of plain values in shared memory, read and written without a lock.
///
/// Each is like a [`Value`](super::Value) of its own: what is said there of order, sizes and deaths
/// holds for each, and nothing for several together. Methods that copy several make no snapshot.
///
/// # Panics
/// Where an index, or the end of a run of values, lies beyond the end.
///
/// ```
/// use phalanx::prelude::*;
///
/// let counts = Array::from_slice(&[1u32, 2, 3])?;
/// counts.fetch_add(1, 40);
/// assert_eq!(counts.load(1), 42);
/// assert_eq!(counts.iter().sum::<u32>(), 46);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Array<T>(Cells<T>);

impl<T: Pod> Array<T> {
    /// An array of `len` values all of whose bytes are zero.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let squares = phalanx::Array::<f64>::zeroed(4)?;
    /// (0..4).for_each(|n| squares.store(n, (n * n) as f64));
    /// assert_eq!(squares.to_vec(), [0.0, 1.0, 4.0, 9.0]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn zeroed(len: usize) -> Result<Self, CreateError> {
        // A length beyond all memory is refused by the arena.
        let bytes = len.checked_mul(size_of::<T>()).unwrap_or(usize::MAX / 4);
        Ok(Self(Block::new(bytes)?.into_cells()))
    }

    /// An array with a copy of the values.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let names = phalanx::Array::from_slice(&[*b"one.", *b"two."])?;
    /// assert_eq!(names.load(1), *b"two.");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn from_slice(values: &[T]) -> Result<Self, CreateError> {
        let array = Self::zeroed(values.len())?;
        array.write(0, values);
        Ok(array)
    }

    /// A handle to the array at `offset`, of which this process was made a holder.
    ///
    /// # Errors
    /// [`CreateError`] when it was not, or there is no array there.
    #[doc(hidden)]
    pub fn from_offset(offset: u64) -> Result<Self, CreateError> {
        Ok(Self(Block::held(offset)?.into_cells()))
    }

    /// How many values there are.
    ///
    /// ```
    /// let array = phalanx::Array::<f64>::zeroed(1000)?;
    /// assert_eq!(array.len(), 1000);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// assert!(phalanx::Array::<u64>::zeroed(0)?.is_empty());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value at `index`.
    ///
    /// # Panics
    /// Beyond the end.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let squares = Array::<u64>::zeroed(3)?;
    /// Process::fork(|| (0..3).for_each(|n| squares.store(n, (n * n) as u64)))?.join()?;
    /// assert_eq!(squares.load(2), 4);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn load(&self, index: usize) -> T {
        self.0.load(index)
    }

    /// The value at `index`, if there is one.
    ///
    /// ```
    /// let array = phalanx::Array::from_slice(&[1u8, 2])?;
    /// assert_eq!((array.get(1), array.get(2)), (Some(2), None));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<T> {
        (index < self.len()).then(|| self.0.load(index))
    }

    /// Writes the value at `index`.
    ///
    /// # Panics
    /// Beyond the end.
    ///
    /// ```
    /// let array = phalanx::Array::<u8>::zeroed(2)?;
    /// array.store(1, 7);
    /// assert_eq!(array.to_vec(), [0, 7]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn store(&self, index: usize, value: T) {
        self.0.store(index, value);
    }

    /// Copies the values from `start` on, as many as `values` has room for.
    ///
    /// # Panics
    /// Beyond the end.
    ///
    /// ```
    /// let array = phalanx::Array::from_slice(&[1u32, 2, 3, 4])?;
    /// let mut two = [0; 2];
    /// array.read(1, &mut two);
    /// assert_eq!(two, [2, 3]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn read(&self, start: usize, values: &mut [T]) {
        self.check(start, values.len());
        for (index, value) in (start..).zip(values) {
            *value = self.0.load(index);
        }
    }

    /// Writes the values from `start` on.
    ///
    /// # Panics
    /// Beyond the end; then nothing has been written.
    ///
    /// ```
    /// let array = phalanx::Array::<u32>::zeroed(4)?;
    /// array.write(1, &[7, 8]);
    /// assert_eq!(array.to_vec(), [0, 7, 8, 0]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn write(&self, start: usize, values: &[T]) {
        self.check(start, values.len());
        for (index, value) in (start..).zip(values) {
            self.0.store(index, *value);
        }
    }

    fn check(&self, start: usize, count: usize) {
        let all = self.len();
        assert!(
            start.checked_add(count).is_some_and(|end| end <= all),
            "{count} values from index {start} on, of a shared array of {all}"
        );
    }

    /// A copy of all values.
    ///
    /// ```
    /// let array = phalanx::Array::from_slice(&[1.5f32, 2.5])?;
    /// let copy = array.to_vec();
    /// array.store(0, 0.0);
    /// assert_eq!(copy, [1.5, 2.5]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn to_vec(&self) -> Vec<T> {
        self.iter().collect()
    }

    /// The values, each read when its turn comes.
    ///
    /// ```
    /// let array = phalanx::Array::from_slice(&[3u64, 9, 4])?;
    /// assert_eq!(array.iter().max(), Some(9));
    /// assert_eq!(array.iter().rev().position(|n| n == 3), Some(2));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + DoubleEndedIterator {
        (0..self.len()).map(|index| self.0.load(index))
    }
}

impl<T: Atomic> Array<T> {
    atomic_operations!(
        self, &self.0, index; index: usize;
        "phalanx::Array::from_slice(&[", "])", "0, "
    );
}

impl<T> Array<T> {
    /// Where the array lies: what names it to another process of the family.
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

impl<T> Clone for Array<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

passed_by_offset!([T: Pod] Array<T>, "a shared array");
