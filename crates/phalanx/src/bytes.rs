//! Large bytes in shared memory, built once and handed from process to process without a copy.
//!
//! ```
//! use phalanx::prelude::*;
//!
//! let mut frame = SharedBytesMut::zeroed(64 << 20)?;
//! frame[0] = 1;
//! let frame = frame.freeze();
//! // Sent through a queue, these 64 MiB cost as much as a few bytes.
//! let frames = Queue::unbounded()?;
//! frames.put(frame)?;
//! assert_eq!(frames.take()?.len(), 64 << 20);
//! # Ok::<(), phalanx::Error>(())
//! ```

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut, RangeBounds};
use std::sync::Arc;

use phalanx_shm::family::Family;
use phalanx_shm::frozen::{Draft, Frozen};

use crate::error::CreateError;

/// Bytes in shared memory that nobody changes any more. Clones and slices are views of the same bytes.
///
/// Sent in a message, alone or anywhere inside a value, the memory itself goes to the receiver if the
/// sender has no other view of it left: 64 MiB cost as much as a few bytes. Otherwise, and where a value
/// has several such in different memory, they are copied. Less than 4 KiB are always copied. An argument
/// of a process's start shares the bytes with the child, as does a fork, and then the child has a view
/// too: start workers before the bytes are built that are to be handed over.
///
/// They are freed with the last view in the last process that has one. A process that dies with them, or
/// while it sends them, leaves nothing behind.
///
/// ```
/// use phalanx::prelude::*;
/// use phalanx::process::fork;
///
/// let frames = Queue::<(u64, SharedBytes)>::unbounded()?;
/// let camera = fork::run(|| {
///     let mut frame = SharedBytesMut::zeroed(1 << 20).expect("memory");
///     frame[..5].copy_from_slice(b"hello");
///     frames.put((7, frame.freeze())).expect("memory");
///     0
/// })?;
/// let (number, frame) = frames.take()?;
/// assert_eq!((number, frame.len(), &frame[..5]), (7, 1 << 20, &b"hello"[..]));
/// # drop(camera);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedBytes {
    pub(crate) memory: Arc<Frozen>,
    pub(crate) at: usize,
    pub(crate) len: usize,
}

impl SharedBytes {
    /// A copy of `bytes` in shared memory.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let bytes = phalanx::SharedBytes::copy_from(b"hello")?;
    /// assert_eq!(&bytes[..], b"hello");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn copy_from(bytes: &[u8]) -> Result<Self, CreateError> {
        let mut draft = Draft::new(Family::get()?, bytes.len())?;
        draft.copy_from_slice(bytes);
        Ok(Self::whole(draft.freeze(bytes.len())))
    }

    pub(crate) fn whole(memory: Frozen) -> Self {
        let len = memory.len();
        Self { memory: Arc::new(memory), at: 0, len }
    }

    /// A view of some of the bytes, which keeps all of them.
    ///
    /// # Panics
    /// Beyond the end.
    ///
    /// ```
    /// let bytes = phalanx::SharedBytes::copy_from(b"hello, world")?;
    /// let world = bytes.slice(7..);
    /// drop(bytes);
    /// assert_eq!(&world[..], b"world");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        let part = &self[range];
        let from = part.as_ptr().addr() - self.as_ptr().addr();
        Self { memory: Arc::clone(&self.memory), at: self.at + from, len: part.len() }
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory[self.at..self.at + self.len]
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for SharedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SharedBytes {}

impl PartialEq<[u8]> for SharedBytes {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len)
    }
}

/// Bytes in shared memory that are being written; [`SharedBytesMut::freeze`] makes them
/// [`SharedBytes`]. Nobody else knows of them until then.
///
/// # Panics
/// On any use by a child that was forked meanwhile: the bytes are its parent's.
///
/// ```
/// use std::io::Write;
/// use phalanx::bytes::SharedBytesMut;
///
/// let mut report = SharedBytesMut::with_capacity(100)?;
/// write!(report, "{} of {}", 3, 4)?;
/// assert_eq!(&report.freeze()[..], b"3 of 4");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SharedBytesMut {
    draft: Draft,
    len: usize,
}

impl SharedBytesMut {
    /// `len` zeros.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let mut table = phalanx::SharedBytesMut::zeroed(1 << 20)?;
    /// table[10] = 7;
    /// assert_eq!(table.freeze()[9..12], [0, 7, 0]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn zeroed(len: usize) -> Result<Self, CreateError> {
        Ok(Self { draft: Draft::zeroed(Family::get()?, len)?, len })
    }

    /// No bytes, with room for `capacity` of them. Quicker than zeros where all are written anyway.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let mut bytes = phalanx::SharedBytesMut::with_capacity(100)?;
    /// assert!(bytes.capacity() >= 100);
    /// bytes.extend_from_slice(b"abc");
    /// assert_eq!(bytes.len(), 3);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn with_capacity(capacity: usize) -> Result<Self, CreateError> {
        Ok(Self { draft: Draft::new(Family::get()?, capacity)?, len: 0 })
    }

    /// For how many bytes there is room.
    ///
    /// ```
    /// let mut bytes = phalanx::SharedBytesMut::with_capacity(4096)?;
    /// bytes.extend_from_slice(b"abc");
    /// let left = bytes.capacity() - bytes.len();
    /// assert!(left >= 4093);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.draft.len()
    }

    /// Appends bytes.
    ///
    /// # Panics
    /// When there is no room for them.
    ///
    /// ```
    /// let mut bytes = phalanx::SharedBytesMut::with_capacity(6)?;
    /// bytes.extend_from_slice(b"one");
    /// bytes.extend_from_slice(b"two");
    /// assert_eq!(&bytes.freeze()[..], b"onetwo");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let (len, room) = (bytes.len(), self.capacity() - self.len);
        assert!(len <= room, "no room for {len} bytes: {room} are left");
        self.draft[self.len..self.len + len].copy_from_slice(bytes);
        self.len += len;
    }

    /// Ends the writing, without a copy.
    ///
    /// ```
    /// let bytes = phalanx::SharedBytesMut::zeroed(8)?.freeze();
    /// let same = bytes.clone(); // another view, not a copy
    /// assert_eq!(bytes.as_ptr(), same.as_ptr());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn freeze(self) -> SharedBytes {
        SharedBytes::whole(self.draft.freeze(self.len))
    }
}

impl Deref for SharedBytesMut {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.draft[..self.len]
    }
}

impl DerefMut for SharedBytesMut {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.draft[..self.len]
    }
}

/// Writes as much as there is room for.
impl io::Write for SharedBytesMut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.capacity() - self.len);
        self.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for SharedBytesMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytesMut({} of {} bytes)", self.len, self.capacity())
    }
}
