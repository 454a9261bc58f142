//! Large values that several processes are given at once: stored once, seen by each as its own.
//!
//! The owner puts the bytes into shared memory and keeps them there as long as tasks that refer to them
//! are on their way. A receiver maps them privately, copy on write: it reads the shared pages, and
//! what it writes only it sees, so that each has the value for itself as if it had been sent a copy.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | the owner | its hold | the sweep; receivers that have joined keep the bytes |
//! | a receiver | its hold; its mapping is gone with it | the sweep |
//!
//! ```
//! use phalanx::queue::RawQueue;
//! use phalanx::stash::{Stash, StashView};
//!
//! let family = RawQueue::new(None)?.family();
//! let stash = Stash::new(family, &[7; 100_000])?;
//! // In any process of the family, which was told the address:
//! let view = StashView::open(family, stash.address())?;
//! assert_eq!((view.len(), view.is_empty()), (100_000, false));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use phalanx_os::memory::{PAGE, PrivateView};
use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;
use phalanx_shm::object::{Bytes, PAYLOAD_START, Shared};
use phalanx_shm::peers::Peers;
use phalanx_shm::sync::Deadline;

/// What names a stashed value to another process: offset, tag and length.
pub type StashAddress = [u64; 3];

/// A value in shared memory, kept there by its owner.
///
/// ```
/// use phalanx::queue::RawQueue;
/// use phalanx::stash::Stash;
///
/// let stash = Stash::new(RawQueue::new(None)?.family(), b"large")?;
/// let [_offset, _tag, len] = stash.address();
/// assert_eq!(len, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stash {
    object: Shared<Bytes>,
    tag: u64,
    len: usize,
}

impl Stash {
    /// Stores a copy of the bytes.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(family: &'static Family, bytes: &[u8]) -> Result<Self, AllocError> {
        // The bytes begin at a page of their own, so that receivers can map them.
        let chunk = family.alloc(PAGE + bytes.len())?;
        family.arena().write(chunk, PAGE, bytes);
        let object = Shared::adopt_payload(family, chunk, PAGE - PAYLOAD_START + bytes.len());
        let tag = unique(family);
        object.tag.store(tag, Ordering::Release);
        Ok(Self { object, tag, len: bytes.len() })
    }

    /// What names the value to another process.
    #[must_use]
    pub fn address(&self) -> StashAddress {
        [self.object.offset(), self.tag, self.len as u64]
    }
}

/// A number that no object has had as its tag: the time, the process, and a count.
pub(crate) fn unique(family: &Family) -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let place = u64::from(family.me().raw());
    (Deadline::now().as_nanos() << 20) ^ (place << 10) ^ count | 1
}

/// A stashed value as one receiver sees it.
///
/// ```
/// use phalanx::queue::RawQueue;
/// use phalanx::stash::{Stash, StashView};
///
/// let family = RawQueue::new(None)?.family();
/// let address = Stash::new(family, b"large")?.address();
/// let view = StashView::open(family, address);
/// assert!(view.is_err(), "its owner has given it up");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StashView {
    view: PrivateView,
    len: usize,
    /// Keeps the shared pages.
    _object: Shared<Bytes>,
}

impl StashView {
    /// Maps the value behind an address.
    ///
    /// # Errors
    /// When its owner has given it up, or the kernel refuses the address space.
    pub fn open(family: &'static Family, address: StashAddress) -> io::Result<Self> {
        let [offset, tag, len] = address;
        let gone = |_| io::Error::new(io::ErrorKind::NotFound, "the shared value is gone");
        let object = Shared::join(family, offset, tag).map_err(gone)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len.checked_add(PAGE - PAYLOAD_START).is_none_or(|all| all > object.tail_len()) {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let view = family.arena().private_view(offset + PAGE as u64, len)?;
        Ok(Self { view, len, _object: object })
    }

    /// Where the value lies in this process, which may write there.
    #[must_use]
    pub fn address(&self) -> *mut u8 {
        self.view.address()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none, which it never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
