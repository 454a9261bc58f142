//! Messages: what queues and pipes carry.
//!
//! A message is a *frame*, a run of bytes that its receiver understands, and perhaps *buffers*, large
//! runs of bytes that the frame refers to. A short frame without buffers travels inside the ring. Any
//! other message is a [`Parcel`]: one chunk of shared memory, written once by the sender, whose
//! ownership travels with it and in which the receiver may go on using the buffers.
//!
//! ```text
//!   chunk:  room for an object's header | frame length: u64 | frame | ... | buffer | ... | buffer
//!           PAYLOAD_START bytes                                    each at a multiple of 64 bytes
//! ```
//!
//! The lengths of the buffers stand in the frame, whose form is the sender's business.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | writing a parcel, or before it is sent | a chunk that it owns | the sweep |
//! | sending or receiving one | see the ring's essay | the sweep |
//! | using an arrived one | a chunk that it owns, or an object with its hold | the sweep |
//!
//! ```
//! use phalanx::Patience;
//! use phalanx::message::{Incoming, Outgoing};
//! use phalanx::queue::RawQueue;
//!
//! let queue = RawQueue::new(None)?;
//! queue.put(&mut Some(Outgoing::Inline(b"short")), &Patience::forever())?;
//! let frame = [7; 10_000];
//! let long = Outgoing::new(queue.family(), &frame)?;
//! queue.put(&mut Some(long), &Patience::forever())?;
//!
//! let mut frame = Vec::new();
//! assert!(matches!(queue.take(&mut frame, &Patience::forever())?, Incoming::Inline));
//! assert_eq!(frame, b"short");
//! frame.clear();
//! if let Incoming::Parcel(arrived) = queue.take(&mut frame, &Patience::forever())? {
//!     arrived.read_frame(&mut frame)?;
//! }
//! assert_eq!(frame, [7; 10_000]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use phalanx_shm::arena::{AllocError, Chunk};
use phalanx_shm::family::Family;
use phalanx_shm::object::PAYLOAD_START;
use phalanx_shm::passage::{self, Hold};
use phalanx_shm::ring::{INLINE_MAX, Record};

mod arrived;

pub use arrived::{Arrived, Damaged, Incoming, SharedSlice};

/// Buffers begin at multiples of this many bytes.
pub(crate) const ALIGNMENT: usize = 64;
/// Bytes of the word that says how long the frame is.
const LENGTH: usize = 8;

/// A message on its way to a ring.
///
/// ```
/// use phalanx::message::Outgoing;
/// use phalanx::queue::RawQueue;
///
/// let queue = RawQueue::new(None)?;
/// assert!(matches!(Outgoing::new(queue.family(), b"short")?, Outgoing::Inline(b"short")));
/// assert!(matches!(Outgoing::new(queue.family(), &[0; 10_000])?, Outgoing::Parcel(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Outgoing<'a> {
    /// A frame short enough for the ring itself.
    Inline(&'a [u8]),
    /// A message with a chunk of its own.
    Parcel(Parcel),
    /// A short frame beside a chunk that has been written before: bytes that are handed over.
    #[doc(hidden)]
    Handed(Handed<'a>),
}

/// A short frame and a chunk with bytes, of this process; freed when dropped unsent.
#[doc(hidden)]
#[derive(Debug)]
pub struct Handed<'a> {
    frame: &'a [u8],
    family: &'static Family,
    chunk: Chunk,
    len: usize,
}

impl<'a> Handed<'a> {
    /// Frames up to this length can have a chunk beside them.
    pub(crate) const FRAME_MAX: usize = INLINE_MAX / 2;

    /// A frame of at most [`Handed::FRAME_MAX`] bytes beside a chunk of this process's, in which there
    /// are `len` bytes from [`PAYLOAD_START`] on.
    pub(crate) fn new(family: &'static Family, frame: &'a [u8], chunk: Chunk, len: usize) -> Self {
        debug_assert!(frame.len() <= Self::FRAME_MAX);
        Self { frame, family, chunk, len }
    }

    /// The same with its frame copied behind what is in `scratch`.
    pub(crate) fn behind<'b>(self, scratch: &'b mut Vec<u8>) -> Handed<'b> {
        scratch.extend_from_slice(self.frame);
        let (family, len) = (self.family, self.len);
        Handed { frame: scratch, family, chunk: self.into_chunk(), len }
    }

    /// The chunk, which is the caller's again.
    pub(crate) fn into_chunk(self) -> Chunk {
        let chunk = self.chunk;
        std::mem::forget(self);
        chunk
    }
}

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        self.family.free(self.chunk);
    }
}

impl<'a> Outgoing<'a> {
    /// A message without buffers: inline if the frame is short, else a parcel.
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory for the parcel.
    ///
    /// ```
    /// use phalanx::message::Outgoing;
    /// use phalanx::queue::RawQueue;
    ///
    /// let queue = RawQueue::new(None)?;
    /// queue.try_put(&mut Some(Outgoing::new(queue.family(), b"short or long")?))?;
    /// assert_eq!(queue.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(family: &'static Family, frame: &'a [u8]) -> Result<Self, AllocError> {
        if frame.len() <= INLINE_MAX {
            return Ok(Self::Inline(frame));
        }
        Parcel::new(family, frame, &[]).map(Self::Parcel)
    }

    /// Bytes of the message, but for the frame of one that is handed over.
    ///
    /// ```
    /// use phalanx::message::Outgoing;
    ///
    /// assert_eq!(Outgoing::Inline(b"hello").len(), 5);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Inline(frame) => frame.len(),
            Self::Parcel(parcel) => parcel.len,
            // What the receiver is told too, which the frame is not.
            Self::Handed(handed) => handed.len,
        }
    }

    /// Whether the message has no bytes.
    ///
    /// ```
    /// use phalanx::message::Outgoing;
    ///
    /// assert!(Outgoing::Inline(b"").is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn record(&self) -> Record<'_> {
        match self {
            Self::Inline(frame) => Record::Inline(frame),
            Self::Parcel(parcel) => {
                Record::Payload { chunk: parcel.chunk.offset(), len: parcel.len as u64 }
            }
            Self::Handed(Handed { frame, chunk, len, .. }) => {
                Record::Labelled { label: frame, chunk: chunk.offset(), len: *len as u64 }
            }
        }
    }

    /// The ring owns the message now.
    pub(crate) fn sent(self) {
        match self {
            Self::Inline(_) => {}
            Self::Parcel(parcel) => std::mem::forget(parcel),
            Self::Handed(handed) => std::mem::forget(handed),
        }
    }
}

/// A message in a chunk of shared memory that this process owns; freed when dropped unsent.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::message::{Incoming, Outgoing, Parcel};
/// use phalanx::queue::RawQueue;
///
/// let queue = RawQueue::new(None)?;
/// let mut parcel = Parcel::new(queue.family(), b"two buffers", &[3, 5])?;
/// parcel.push(b"abc");
/// parcel.push(b"defgh");
/// queue.put(&mut Some(Outgoing::Parcel(parcel)), &Patience::forever())?;
///
/// let Incoming::Parcel(arrived) = queue.take(&mut Vec::new(), &Patience::forever())? else {
///     panic!("a parcel was sent");
/// };
/// let (buffers, mut second) = (arrived.into_buffers([3, 5])?, Vec::new());
/// buffers[1].read(&mut second);
/// assert_eq!(second, b"defgh");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Parcel {
    family: &'static Family,
    chunk: Chunk,
    len: usize,
    next: usize,
}

impl Parcel {
    /// A parcel with the frame in place and room for buffers of the given lengths, which are
    /// then to be written in order with [`Parcel::push`].
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory.
    ///
    /// ```
    /// use phalanx::message::{Outgoing, Parcel};
    /// use phalanx::queue::RawQueue;
    ///
    /// let queue = RawQueue::new(None)?;
    /// let mut parcel = Parcel::new(queue.family(), b"an image", &[1024])?;
    /// parcel.push(&[0xff; 1024]); // the one buffer that there is room for
    /// queue.try_put(&mut Some(Outgoing::Parcel(parcel)))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        family: &'static Family,
        frame: &[u8],
        buffers: &[usize],
    ) -> Result<Self, AllocError> {
        let first = (LENGTH + frame.len()).next_multiple_of(ALIGNMENT);
        let len = parcel_len(frame, buffers);
        let chunk = family.alloc(PAYLOAD_START.saturating_add(len))?;
        let arena = family.arena();
        arena.write(chunk, PAYLOAD_START, &(frame.len() as u64).to_le_bytes());
        arena.write(chunk, PAYLOAD_START + LENGTH, frame);
        Ok(Self { family, chunk, len, next: first })
    }

    /// Writes the next buffer. Makes no system call and may take as long as copying takes.
    ///
    /// # Panics
    /// When the parcel has no room for it.
    ///
    /// ```
    /// use phalanx::message::{Incoming, Outgoing, Parcel};
    /// use phalanx::queue::RawQueue;
    ///
    /// let queue = RawQueue::new(None)?;
    /// let mut parcel = Parcel::new(queue.family(), b"", &[3, 3])?;
    /// ["one", "two"].map(|buffer| parcel.push(buffer.as_bytes())); // in order
    /// queue.try_put(&mut Some(Outgoing::Parcel(parcel)))?;
    /// # let Incoming::Parcel(arrived) = queue.try_take(&mut Vec::new())? else { panic!("a parcel") };
    /// # let (buffers, mut first) = (arrived.into_buffers([3, 3])?, Vec::new());
    /// # buffers[0].read(&mut first);
    /// # assert_eq!(first, b"one");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push(&mut self, buffer: &[u8]) {
        self.family.arena().write(self.chunk, PAYLOAD_START + self.next, buffer);
        self.next = (self.next + buffer.len()).next_multiple_of(ALIGNMENT);
    }
}

impl Parcel {
    /// Makes the objects the message's, for which it has a last buffer as long as the list of them.
    pub(crate) fn load(&mut self, holds: &[Hold]) {
        let len = passage::list_len(holds.len());
        passage::load(self.family, self.chunk, PAYLOAD_START + self.next, holds);
        self.next = (self.next + len).next_multiple_of(ALIGNMENT);
    }
}

/// How many bytes a parcel has.
fn parcel_len(frame: &[u8], buffers: &[usize]) -> usize {
    let end = buffers.iter().try_fold(LENGTH + frame.len(), |end, len| {
        end.checked_next_multiple_of(ALIGNMENT)?.checked_add(*len)
    });
    // A sum beyond all memory is refused by the arena.
    end.unwrap_or(usize::MAX / 2)
}

/// A parcel that is written into memory which somebody else has taken for it.
#[derive(Debug)]
pub(crate) struct ParcelPlan<'a> {
    frame: &'a [u8],
    len: usize,
    next: usize,
}

impl<'a> ParcelPlan<'a> {
    pub(crate) fn new(frame: &'a [u8], buffers: &[usize]) -> Self {
        let next = (LENGTH + frame.len()).next_multiple_of(ALIGNMENT);
        Self { frame, len: parcel_len(frame, buffers), next }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Writes everything but the buffers; `write` puts bytes at a position.
    pub(crate) fn begin(&self, mut write: impl FnMut(usize, &[u8])) {
        write(0, &(self.frame.len() as u64).to_le_bytes());
        write(LENGTH, self.frame);
    }

    /// Where the next buffer, of that length, has to be written.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        let at = self.next;
        self.next = (at + len).next_multiple_of(ALIGNMENT);
        at
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.family.free(self.chunk);
    }
}
