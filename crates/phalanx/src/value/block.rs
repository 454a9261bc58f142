//! A run of shared bytes.
//!
//! A [`Block`] is a run of bytes, zero at first. What the bytes mean is its users' business, and so is
//! the order in which several processes write them; a number of at most eight bytes at the start of a
//! block is read and written whole by [`Block::load`] and [`Block::store`].
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let block = phalanx::value::Block::new(8)?;
//! block.store(42);
//! assert_eq!(block.load(), 42);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Pod;
use phalanx_shm::arena::AllocError;
use phalanx_shm::cells::Cells;
use phalanx_shm::family::Family;
use phalanx_shm::object::{Bytes, NotHeld, Shared};

use crate::error::CreateError;
use crate::process::spawning_slot;

/// The least room a block has, so that a number can be stored in one step.
const LEAST: usize = 8;

/// A run of bytes in shared memory. Clones are handles to the same bytes.
///
/// A process that dies while it writes has written some of its bytes; those of [`Block::store`] all or
/// none. The memory is freed with the last handle of the last process that has one.
///
/// ```
/// use phalanx::value::Block;
///
/// let block = Block::new(16)?;
/// let same = block.clone();
/// block.store(42);
/// assert_eq!((same.load(), same.len()), (42, 16));
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Block {
    bytes: Shared<Bytes>,
    len: usize,
}

impl Block {
    /// A new block of `len` zeros, aligned to 64 bytes.
    ///
    /// # Errors
    /// [`NewBlockError`] when the arena cannot be made or has no memory.
    pub fn new(len: usize) -> Result<Self, NewBlockError> {
        let family = Family::get().map_err(NewBlockError::NoArena)?;
        let keep_len = |bytes: &Bytes| bytes.tag.store(len as u64, Ordering::Relaxed);
        let bytes = Shared::with_tail(family, len.max(LEAST), keep_len);
        Ok(Self { bytes: bytes.map_err(NewBlockError::OutOfMemory)?, len })
    }

    /// A handle to the block at `offset`, on which this process was given a hold.
    ///
    /// # Errors
    /// [`NotHeld`] when it was not, or there is no block there.
    pub fn from_offset(family: &'static Family, offset: u64) -> Result<Self, NotHeld> {
        let bytes = Shared::<Bytes>::from_offset(family, offset)?;
        let len = usize::try_from(bytes.tag.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let len = len.min(bytes.tail_len());
        Ok(Self { bytes, len })
    }

    /// The same in this process's own family.
    pub(super) fn held(offset: u64) -> Result<Self, CreateError> {
        Ok(Self::from_offset(Family::get()?, offset)?)
    }

    /// The block as values of one type.
    pub(super) fn into_cells<T: Pod>(self) -> Cells<T> {
        Cells::new(self.bytes, self.len)
    }

    /// Names the block for a process that is being started, and makes it a holder: the one whose
    /// start this thread is preparing.
    #[must_use]
    pub fn share(&self) -> u64 {
        if let Some(slot) = spawning_slot() {
            self.bytes.hold_for(slot);
        }
        self.bytes.offset()
    }

    /// The address of the first byte in this process; valid for [`Block::len`] bytes while a handle
    /// lives. Other processes may change the bytes at any time.
    #[must_use]
    pub fn address(&self) -> *mut u8 {
        self.bytes.address()
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        self.bytes.family().arena().at(self.bytes.tail_offset())
    }

    /// The number in the first eight bytes. Those beyond the block's length are zero unless stored.
    #[inline]
    #[must_use]
    pub fn load(&self) -> u64 {
        self.word().load(Ordering::Acquire)
    }

    /// Writes the first eight bytes in one step.
    #[inline]
    pub fn store(&self, number: u64) {
        self.word().store(number, Ordering::Release);
    }
}

/// Why a block could not be made.
///
/// ```
/// fn zeros(len: usize) -> Result<usize, phalanx::value::NewBlockError> {
///     Ok(phalanx::value::Block::new(len)?.len())
/// }
/// assert_eq!(zeros(100)?, 100);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum NewBlockError {
    /// The arena of this family of processes could not be made.
    NoArena(io::Error),
    /// There is no memory for the block.
    OutOfMemory(AllocError),
}

impl fmt::Display for NewBlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArena(e) => write!(f, "cannot make the shared memory for a value: {e}"),
            Self::OutOfMemory(e) => write!(f, "cannot make a shared value: {e}"),
        }
    }
}

impl std::error::Error for NewBlockError {}
