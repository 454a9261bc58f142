//! One piece of shared memory with a name.

use std::fmt::Write;
use std::io;
use std::os::fd::BorrowedFd;

use phalanx_os::named::{self, NamedRegion};
use phalanx_os::{proc, random};

/// From this size on it is asked before whether the machine has so much memory left: a kernel that
/// runs out of it while it reserves kills somebody.
const LARGE: usize = 16 << 20;

/// Shared memory that has a name. Closed when dropped; the memory and the name stay.
///
/// It is mapped when its [`base`](Self::base) is first asked for: who only makes memory for others, or
/// asks how large it is, does not pay for that.
///
/// Bytes that a killed process was writing are written or not, each for itself.
///
/// ```
/// use phalanx::named::{self, Segment};
///
/// let segment = Segment::create(None, 1000)?;
/// assert_eq!((segment.len(), segment.is_empty()), (1000, false));
/// assert!(!segment.base()?.is_null());
/// named::remove(segment.name())?;
/// assert!(Segment::open(segment.name()).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Segment {
    region: NamedRegion,
    name: String,
}

impl Segment {
    /// Makes `len` zeroed bytes, and reserves the memory for them. Without a name one is chosen.
    ///
    /// # Errors
    /// `AlreadyExists`, `InvalidInput` for a name with a slash inside; `StorageFull` or `OutOfMemory`
    /// when there is not so much memory; or the kernel's refusal.
    ///
    /// ```
    /// use phalanx::named::{Segment, remove};
    ///
    /// let segment = Segment::create(None, 4096)?;
    /// println!("{}", segment.name());
    /// remove(segment.name())?;
    /// assert!(Segment::create(Some("/no/such/name"), 1).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create(name: Option<&str>, len: usize) -> io::Result<Self> {
        if len >= LARGE && proc::memory_available().is_some_and(|left| len as u64 > left) {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        if let Some(name) = name {
            return Ok(Self { region: NamedRegion::create(name, len)?, name: name.to_owned() });
        }
        loop {
            let name = some_name()?;
            match NamedRegion::create(&name, len) {
                Ok(region) => return Ok(Self { region, name }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Opens what has the name.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `InvalidInput` when it is empty, or the kernel's refusal.
    ///
    /// ```
    /// use phalanx::named::{Segment, remove};
    ///
    /// let made = Segment::create(None, 100)?;
    /// let opened = Segment::open(made.name())?; // in any process
    /// assert_eq!(opened.len(), made.len());
    /// remove(made.name())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open(name: &str) -> io::Result<Self> {
        Ok(Self { region: NamedRegion::open(name)?, name: name.to_owned() })
    }

    /// The name, with its leading slash.
    ///
    /// ```
    /// use phalanx::named::{Segment, remove};
    ///
    /// let segment = Segment::create(None, 100)?;
    /// assert!(segment.name().starts_with('/'));
    /// remove(segment.name())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first byte. All may be read and written by any process at any time.
    ///
    /// # Errors
    /// `OutOfMemory`, or the kernel's refusal, when the memory is not mapped yet and cannot be.
    ///
    /// ```
    /// use phalanx::named::{Segment, remove};
    ///
    /// let segment = Segment::create(None, 100)?;
    /// let first: *mut u8 = segment.base()?; // mapped now, and at the same place until it is dropped
    /// assert_eq!(segment.base()?, first);
    /// remove(segment.name())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn base(&self) -> io::Result<*mut u8> {
        self.region.base()
    }

    /// The number of bytes.
    ///
    /// ```
    /// use phalanx::named::{Segment, remove};
    ///
    /// let segment = Segment::create(None, 100)?;
    /// assert_eq!(segment.len(), 100);
    /// remove(segment.name())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub const fn len(&self) -> usize {
        self.region.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// use phalanx::named::{Segment, remove};
    ///
    /// let segment = Segment::create(None, 100)?;
    /// assert!(!segment.is_empty());
    /// remove(segment.name())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.region.is_empty()
    }

    /// The descriptor.
    ///
    /// ```
    /// use phalanx::named::{Segment, remove};
    ///
    /// let segment = Segment::create(None, 100)?;
    /// remove(segment.name())?;
    /// // Without a name it can still be handed to others, and read as a file.
    /// let file = std::fs::File::from(segment.fd().try_clone_to_owned()?);
    /// assert_eq!(file.metadata()?.len(), 100);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.region.fd()
    }
}

/// Takes a name away; who has the segment open keeps the memory.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, or the kernel's refusal.
///
/// ```
/// let segment = phalanx::named::Segment::create(None, 100)?;
/// phalanx::named::remove(segment.name())?;
/// let again = phalanx::named::remove(segment.name()).unwrap_err();
/// assert_eq!(again.kind(), std::io::ErrorKind::NotFound);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn remove(name: &str) -> io::Result<()> {
    named::unlink(name)
}

/// A name that probably nobody has, as `multiprocessing.shared_memory` chooses them.
///
/// # Errors
/// When the kernel refuses randomness.
///
/// ```
/// use phalanx::named::{Segment, remove, some_name};
///
/// let name = some_name()?;
/// let segment = Segment::create(Some(&name), 100)?;
/// remove(segment.name())?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn some_name() -> io::Result<String> {
    let mut bytes = [0; 4];
    random::fill(&mut bytes)?;
    let mut name = String::from("/psm_");
    for byte in bytes {
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}
