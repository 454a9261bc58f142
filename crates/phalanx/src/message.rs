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

use std::fmt;
use std::sync::Arc;

use phalanx_shm::arena::{AllocError, Chunk};
use phalanx_shm::family::Family;
use phalanx_shm::frozen::Frozen;
use phalanx_shm::object::{Bytes, PAYLOAD_START, Shared};
use phalanx_shm::passage::{self, Hold};
use phalanx_shm::ring::{INLINE_MAX, Record, Taken};

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

/// A message that has been taken.
///
/// ```
/// use phalanx::message::{Incoming, Outgoing};
/// use phalanx::queue::RawQueue;
///
/// let queue = RawQueue::new(None)?;
/// queue.try_put(&mut Some(Outgoing::Inline(b"short")))?;
/// queue.try_put(&mut Some(Outgoing::new(queue.family(), &[7; 10_000])?))?;
/// assert!(matches!(queue.try_take(&mut Vec::new())?, Incoming::Inline));
/// assert!(matches!(queue.try_take(&mut Vec::new())?, Incoming::Parcel(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Incoming {
    /// Its frame is in the buffer that the caller gave.
    Inline,
    /// A message with a chunk of its own. If the buffer has been given bytes, they are the frame, and the
    /// chunk was handed over beside it.
    Parcel(Arrived),
}

impl Incoming {
    pub(crate) fn into_parcel(self) -> Option<Arrived> {
        match self {
            Self::Inline => None,
            Self::Parcel(parcel) => Some(parcel),
        }
    }

    pub(crate) fn new(family: &'static Family, taken: Taken) -> Self {
        match taken {
            Taken::Inline => Self::Inline,
            Taken::Payload { chunk, len } => {
                let chunk =
                    family.arena().chunk_at(chunk).expect("a ring names chunks of the arena");
                let room = chunk.capacity().saturating_sub(PAYLOAD_START);
                let len = usize::try_from(len).unwrap_or(usize::MAX).min(room);
                Self::Parcel(Arrived { family, chunk, len })
            }
        }
    }
}

/// A parcel that has arrived and belongs to this process; freed when dropped.
///
/// ```
/// use phalanx::message::{Arrived, Incoming, Outgoing};
/// use phalanx::queue::RawQueue;
///
/// /// Half of what was sent.
/// fn half(arrived: Arrived) -> Result<Vec<u8>, phalanx::message::Damaged> {
///     let mut frame = Vec::new();
///     arrived.read_frame(&mut frame)?;
///     Ok(frame.split_off(frame.len() / 2))
/// }
///
/// let queue = RawQueue::new(None)?;
/// queue.try_put(&mut Some(Outgoing::new(queue.family(), &[7; 10_000])?))?;
/// if let Incoming::Parcel(arrived) = queue.try_take(&mut Vec::new())? {
///     assert_eq!(half(arrived)?.len(), 5_000);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Arrived {
    family: &'static Family,
    chunk: Chunk,
    len: usize,
}

impl Arrived {
    /// A copy, for this process, of a parcel of `len` bytes that lies at `offset` and does not change
    /// meanwhile.
    pub(crate) fn copy_of(
        family: &'static Family,
        offset: u64,
        len: usize,
    ) -> Result<Self, AllocError> {
        let chunk = family.alloc(PAYLOAD_START.saturating_add(len))?;
        family.arena().copy(offset, chunk, PAYLOAD_START, len);
        Ok(Self { family, chunk, len })
    }

    /// The holds on objects whose handles are in the message, which are this process's from now on. None
    /// too if a process is stopped in the middle of a sweep: then the handles cannot be decoded.
    pub(crate) fn open_passage(&self) -> Vec<Hold> {
        passage::open(self.family, self.chunk).unwrap_or_default()
    }

    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// [`Damaged`] when the parcel's length word is wrong.
    ///
    /// ```
    /// # use phalanx::message::{Incoming, Outgoing};
    /// # let queue = phalanx::queue::RawQueue::new(None)?;
    /// queue.try_put(&mut Some(Outgoing::new(queue.family(), &[7; 10_000])?))?;
    /// let mut frame = Vec::new();
    /// if let Incoming::Parcel(arrived) = queue.try_take(&mut frame)? {
    ///     arrived.read_frame(&mut frame)?;
    /// }
    /// assert_eq!(frame, [7; 10_000]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_frame(&self, out: &mut Vec<u8>) -> Result<(), Damaged> {
        let len = self.frame_len()?;
        let at = self.chunk.offset() + (PAYLOAD_START + LENGTH) as u64;
        self.family.arena().read_bytes(at, len, out);
        Ok(())
    }

    fn frame_len(&self) -> Result<usize, Damaged> {
        if self.len < LENGTH {
            return Err(Damaged);
        }
        let word = self.family.arena().read_word(self.chunk.offset() + PAYLOAD_START as u64);
        usize::try_from(word).ok().filter(|len| *len <= self.len - LENGTH).ok_or(Damaged)
    }

    /// Makes frozen bytes of a whole chunk that was handed over beside its frame.
    pub(crate) fn into_handed(self) -> Frozen {
        let (family, chunk, len) = (self.family, self.chunk, self.len);
        std::mem::forget(self);
        Frozen::adopt(family, chunk, len)
    }

    /// Makes frozen bytes of a parcel; its buffers begin behind so many of them.
    ///
    /// # Errors
    /// [`Damaged`] when the parcel's length word is wrong.
    pub(crate) fn into_frozen(self) -> Result<(Frozen, usize), Damaged> {
        let end = LENGTH + self.frame_len()?;
        Ok((self.into_handed(), end))
    }

    /// Makes an object of the parcel, without copying: views of its buffers, whose lengths the
    /// frame told. The memory is freed with the last view of the last process that has any.
    ///
    /// # Errors
    /// [`Damaged`] when the buffers do not fit into the parcel.
    ///
    /// ```
    /// # use phalanx::message::{Incoming, Outgoing, Parcel};
    /// # let queue = phalanx::queue::RawQueue::new(None)?;
    /// let mut parcel = Parcel::new(queue.family(), b"5 bytes", &[5])?;
    /// parcel.push(b"hello");
    /// queue.try_put(&mut Some(Outgoing::Parcel(parcel)))?;
    ///
    /// let Incoming::Parcel(arrived) = queue.try_take(&mut Vec::new())? else { panic!("a parcel") };
    /// let buffers = arrived.into_buffers([5])?; // as the frame says; they stay where they are
    /// assert_eq!((buffers.len(), buffers[0].len()), (1, 5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_buffers(
        self,
        lengths: impl IntoIterator<Item = u64>,
    ) -> Result<Vec<SharedSlice>, Damaged> {
        let frame = self.frame_len()?;
        let (family, chunk, len) = (self.family, self.chunk, self.len);
        std::mem::forget(self);
        let object = Arc::new(Shared::adopt_payload(family, chunk, len));
        let mut end = LENGTH + frame;
        let slice = |length| {
            let at = end.next_multiple_of(ALIGNMENT);
            let length = usize::try_from(length).map_err(|_| Damaged)?;
            end = at.checked_add(length).filter(|end| *end <= len).ok_or(Damaged)?;
            Ok(SharedSlice { object: Arc::clone(&object), at, len: length })
        };
        lengths.into_iter().map(slice).collect()
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        self.family.free(self.chunk);
        // If it named objects, they may have ended with it.
        self.family.collect();
    }
}

/// A run of bytes in shared memory, kept alive by this value. Nobody else has a view of it unless
/// this process gave it away.
///
/// ```
/// # use phalanx::message::{Incoming, Outgoing, Parcel};
/// use phalanx::message::SharedSlice;
///
/// # let queue = phalanx::queue::RawQueue::new(None)?;
/// # let mut parcel = Parcel::new(queue.family(), b"", &[5, 0])?;
/// # parcel.push(b"hello");
/// # queue.try_put(&mut Some(Outgoing::Parcel(parcel)))?;
/// # let Incoming::Parcel(arrived) = queue.try_take(&mut Vec::new())? else { panic!("a parcel") };
/// // A parcel has arrived with one buffer of five bytes and one of none.
/// let buffers: Vec<SharedSlice> = arrived.into_buffers([5, 0])?;
/// assert!(!buffers[0].is_empty() && buffers[1].is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharedSlice {
    object: Arc<Shared<Bytes>>,
    at: usize,
    len: usize,
}

impl SharedSlice {
    /// The address of the first byte; valid for [`SharedSlice::len`] bytes while this value lives.
    ///
    /// ```
    /// # use phalanx::message::{Incoming, Outgoing, Parcel};
    /// # let queue = phalanx::queue::RawQueue::new(None)?;
    /// # let mut parcel = Parcel::new(queue.family(), b"", &[5])?;
    /// # parcel.push(b"hello");
    /// # queue.try_put(&mut Some(Outgoing::Parcel(parcel)))?;
    /// # let Incoming::Parcel(arrived) = queue.try_take(&mut Vec::new())? else { panic!("a parcel") };
    /// let buffers = arrived.into_buffers([5])?;
    /// assert_eq!(buffers[0].address().addr() % 64, 0, "it begins where wide loads like it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn address(&self) -> *mut u8 {
        self.object.address().wrapping_add(self.at)
    }

    /// How many bytes there are.
    ///
    /// ```
    /// # use phalanx::message::{Incoming, Outgoing, Parcel};
    /// # let queue = phalanx::queue::RawQueue::new(None)?;
    /// # let mut parcel = Parcel::new(queue.family(), b"", &[5])?;
    /// # parcel.push(b"hello");
    /// # queue.try_put(&mut Some(Outgoing::Parcel(parcel)))?;
    /// # let Incoming::Parcel(arrived) = queue.try_take(&mut Vec::new())? else { panic!("a parcel") };
    /// let buffers = arrived.into_buffers([2])?; // of the five that have come
    /// assert_eq!(buffers[0].len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    ///
    /// ```
    /// # use phalanx::message::{Incoming, Outgoing, Parcel};
    /// # let queue = phalanx::queue::RawQueue::new(None)?;
    /// # let parcel = Parcel::new(queue.family(), b"", &[0])?;
    /// # queue.try_put(&mut Some(Outgoing::Parcel(parcel)))?;
    /// # let Incoming::Parcel(arrived) = queue.try_take(&mut Vec::new())? else { panic!("a parcel") };
    /// let buffers = arrived.into_buffers([0])?;
    /// assert!(buffers[0].is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a copy of the bytes to `out`.
    ///
    /// ```
    /// # use phalanx::message::{Incoming, Outgoing, Parcel};
    /// # let queue = phalanx::queue::RawQueue::new(None)?;
    /// # let mut parcel = Parcel::new(queue.family(), b"", &[5])?;
    /// # parcel.push(b"hello");
    /// # queue.try_put(&mut Some(Outgoing::Parcel(parcel)))?;
    /// # let Incoming::Parcel(arrived) = queue.try_take(&mut Vec::new())? else { panic!("a parcel") };
    /// let (buffers, mut copy) = (arrived.into_buffers([5])?, b">".to_vec());
    /// buffers[0].read(&mut copy);
    /// assert_eq!(copy, b">hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(&self, out: &mut Vec<u8>) {
        let at = self.object.tail_offset() + self.at as u64;
        self.object.family().arena().read_bytes(at, self.len, out);
    }
}

/// A parcel's content contradicts itself: a process has written where it had no business.
///
/// ```
/// # use phalanx::message::{Incoming, Outgoing};
/// use phalanx::message::Damaged;
///
/// # let queue = phalanx::queue::RawQueue::new(None)?;
/// # queue.try_put(&mut Some(Outgoing::new(queue.family(), &[7; 10_000])?))?;
/// # let Incoming::Parcel(arrived) = queue.try_take(&mut Vec::new())? else { panic!("a parcel") };
/// // A frame that speaks of more bytes than have come:
/// assert!(matches!(arrived.into_buffers([1 << 40]), Err(Damaged)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a message in shared memory was damaged by another process before it was received",
        )
    }
}

impl std::error::Error for Damaged {}
