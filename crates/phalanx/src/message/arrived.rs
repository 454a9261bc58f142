//! Messages that have been taken.

use std::fmt;
use std::sync::Arc;

use phalanx_shm::arena::{AllocError, Chunk};
use phalanx_shm::family::Family;
use phalanx_shm::frozen::Frozen;
use phalanx_shm::object::{Bytes, PAYLOAD_START, Shared};
use phalanx_shm::passage::{self, Hold};
use phalanx_shm::ring::Taken;

use super::{ALIGNMENT, LENGTH};

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
