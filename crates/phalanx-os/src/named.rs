//! Shared memory with a name: `shm_open(3)`. It stays until it is unlinked, whoever ends.
//!
//! To map memory and to unmap it costs as much as all the rest of opening and closing it, and many who
//! hold memory only make it and hand its name on. So it is mapped when its address is first asked for.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use rustix::fs::{FallocateFlags, Mode, fallocate, fstat, ftruncate};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::shm;

/// What a name stands for: the file system and the file in it. A name that was unlinked and taken
/// anew stands for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    file: u64,
}

/// Shared memory that has a name, mapped when it is first looked at.
#[derive(Debug)]
pub struct NamedRegion {
    /// Null until it is mapped.
    base: AtomicPtr<u8>,
    len: usize,
    fd: OwnedFd,
}

impl NamedRegion {
    /// Makes `len` zeroed bytes under a name that nobody has, for the own user only.
    ///
    /// All of the memory is reserved at once: what was granted can be used without fear of `SIGBUS`.
    ///
    /// # Errors
    /// `AlreadyExists`; `StorageFull` or `OutOfMemory` when there is not so much memory; or the kernel's
    /// refusal. Nothing is left of it then.
    pub fn create(name: &str, len: usize) -> io::Result<Self> {
        let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
        let fd = shm::open(name, flags, Mode::RUSR | Mode::WUSR)?;
        match reserve(&fd, len) {
            Ok(()) => Ok(Self { base: AtomicPtr::new(ptr::null_mut()), len, fd }),
            Err(e) => {
                let _ = unlink(name);
                Err(e)
            }
        }
    }

    /// Opens what has the name.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`; `InvalidInput` when it is empty; or the kernel's refusal.
    pub fn open(name: &str) -> io::Result<Self> {
        let fd = shm::open(name, shm::OFlags::RDWR, Mode::empty())?;
        let len = usize::try_from(fstat(&fd)?.st_size).unwrap_or(0);
        if len == 0 {
            return Err(rustix::io::Errno::INVAL.into());
        }
        Ok(Self { base: AtomicPtr::new(ptr::null_mut()), len, fd })
    }

    /// The first byte. The bytes may be read and written, by other processes at any time too, as long
    /// as the region lives.
    ///
    /// # Errors
    /// `OutOfMemory`, or the kernel's refusal, when the memory is not mapped yet and cannot be.
    pub fn base(&self) -> io::Result<*mut u8> {
        // Acquire: with the release below, so that whoever sees the address finds the memory mapped.
        let known = self.base.load(Ordering::Acquire);
        if !known.is_null() {
            return Ok(known);
        }
        // SAFETY: a new mapping at an address of the kernel's choice. Other processes write to it as they
        // like, and one that dies changes nothing.
        let made: *mut u8 = unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            mmap(ptr::null_mut(), self.len, protection, MapFlags::SHARED, &self.fd, 0)?.cast()
        };
        let none = ptr::null_mut();
        match self.base.compare_exchange(none, made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(made),
            Err(earlier) => {
                // SAFETY: mapped above, and its address is known to nobody.
                let _ = unsafe { munmap(made.cast::<c_void>(), self.len) };
                Ok(earlier)
            }
        }
    }

    /// The number of bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for NamedRegion {
    fn drop(&mut self) {
        let base = *self.base.get_mut();
        if !base.is_null() {
            // SAFETY: mapped by `base`, and nobody may use the bytes any more.
            let _ = unsafe { munmap(base.cast::<c_void>(), self.len) };
        }
    }
}

fn reserve(fd: &OwnedFd, len: usize) -> io::Result<()> {
    loop {
        match fallocate(fd, FallocateFlags::empty(), 0, len as u64) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            // Not every file system can; then memory is found page by page, as it is touched.
            Err(rustix::io::Errno::OPNOTSUPP) => return Ok(ftruncate(fd, len as u64)?),
            Err(e) => return Err(e.into()),
        }
    }
}

/// Takes a name away. Who has the memory open keeps it.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, or the kernel's refusal.
pub fn unlink(name: &str) -> io::Result<()> {
    Ok(shm::unlink(name)?)
}

/// What a name stands for now.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, or the kernel's refusal.
pub fn identity(name: &str) -> io::Result<Identity> {
    let fd = shm::open(name, shm::OFlags::RDONLY, Mode::empty())?;
    let found = fstat(&fd)?;
    Ok(Identity { device: found.st_dev, file: found.st_ino })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(of: &str) -> String {
        format!("/phalanx-test-{of}-{}", std::process::id())
    }

    #[test]
    fn what_one_writes_the_other_reads() -> io::Result<()> {
        let name = name("both");
        let one = NamedRegion::create(&name, 100)?;
        let other = NamedRegion::open(&name)?;
        assert_eq!((one.len(), other.len()), (100, 100));
        // SAFETY: inside both regions, which live, and nobody else knows the name.
        unsafe {
            *one.base()?.add(99) = 7;
            assert_eq!((*other.base()?, *other.base()?.add(99)), (0, 7));
        }
        let again = NamedRegion::create(&name, 1).map(drop).map_err(|e| e.kind());
        assert_eq!(again, Err(io::ErrorKind::AlreadyExists));
        unlink(&name)?;
        let gone = NamedRegion::open(&name).map(drop).map_err(|e| e.kind());
        assert_eq!(gone, Err(io::ErrorKind::NotFound));
        Ok(())
    }

    #[test]
    fn it_is_mapped_once_when_it_is_looked_at() -> io::Result<()> {
        let name = name("lazy");
        let region = NamedRegion::create(&name, 8192)?;
        unlink(&name)?;
        let mapped = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
            maps.lines().filter(|line| line.contains(name.as_str())).count()
        };
        assert_eq!(mapped(), 0);
        let bases: Vec<_> = std::thread::scope(|scope| {
            let looking: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| region.base().map(|base| base.addr()).map_err(|e| e.kind()))
                })
                .collect();
            looking.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        let expected = region.base()?.addr();
        assert!(
            bases.iter().all(|base| matches!(base, Ok(Ok(base)) if *base == expected)),
            "{bases:?}"
        );
        assert_eq!(mapped(), 1);
        drop(region);
        assert_eq!(mapped(), 0);
        Ok(())
    }

    #[test]
    fn an_empty_file_is_no_memory() -> io::Result<()> {
        let name = name("empty");
        let made = NamedRegion::create(&name, 1)?;
        ftruncate(made.fd(), 0)?;
        let opened = NamedRegion::open(&name).map(drop).map_err(|e| e.kind());
        unlink(&name)?;
        assert_eq!(opened, Err(io::ErrorKind::InvalidInput));
        Ok(())
    }

    #[test]
    fn more_memory_than_there_is_is_refused_and_leaves_nothing() {
        let name = name("huge");
        assert!(NamedRegion::create(&name, 1 << 60).is_err());
        assert_eq!(identity(&name).map_err(|e| e.kind()), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn a_name_that_was_taken_anew_stands_for_something_else() -> io::Result<()> {
        let name = name("anew");
        let first = NamedRegion::create(&name, 1)?;
        let before = identity(&name)?;
        assert_eq!(before, identity(&name)?);
        unlink(&name)?;
        let second = NamedRegion::create(&name, 1)?;
        assert_ne!(before, identity(&name)?);
        unlink(&name)?;
        drop((first, second));
        Ok(())
    }
}
