//! Anonymous shared memory: `memfd_create(2)`, mapped once, filled by touching it.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// The size of a huge page on the machines that phalanx runs on, in bytes.
pub const HUGE_PAGE: usize = 2 << 20;
/// The size of a page, in bytes.
pub const PAGE: usize = 4096;

const MADV_COLLAPSE: i32 = 25;

/// A region of anonymous memory that can be shared with other processes by its descriptor.
///
/// It is sparse: pages cost nothing until they are written. It has no name in any file system,
/// so the small `/dev/shm` of a container is no limit and a killed program leaves nothing behind.
#[derive(Debug)]
pub struct SharedRegion {
    base: *mut u8,
    len: usize,
    fd: OwnedFd,
}

// SAFETY: the region is plain memory; who may touch which part of it is the business of the
// structures laid over it, all of which are built from atomics. A dead process changes nothing.
unsafe impl Send for SharedRegion {}
// SAFETY: as above.
unsafe impl Sync for SharedRegion {}

impl SharedRegion {
    /// Creates a region of `len` bytes of address space, none of it backed by memory yet.
    ///
    /// # Errors
    /// When the kernel refuses the descriptor or the address space (`RLIMIT_AS`, `RLIMIT_NOFILE`).
    pub fn create(name: &str, len: usize) -> io::Result<Self> {
        let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&fd, len as u64)?;
        // Nobody may cut the file short: that alone could make a mapped page fault (SIGBUS).
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Self::map(fd, len)
    }

    /// Maps a region that another process created, from its descriptor.
    ///
    /// # Errors
    /// When the descriptor is not such a region or cannot be mapped.
    pub fn attach(fd: OwnedFd) -> io::Result<Self> {
        let len = rustix::fs::fstat(&fd)?.st_size;
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Self::map(fd, len)
    }

    fn map(fd: OwnedFd, len: usize) -> io::Result<Self> {
        // Reserve enough to move the start to a huge-page boundary, which MADV_COLLAPSE needs.
        // SAFETY: a new private reservation at an address of the kernel's choice.
        let reserved = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                len + HUGE_PAGE,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?
        };
        let start = reserved as usize;
        let base = start.next_multiple_of(HUGE_PAGE);
        // SAFETY: replaces a part of the reservation made above, which nobody else knows of.
        let mapped = unsafe {
            mmap(
                base as *mut c_void,
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE,
                &fd,
                0,
            )
        };
        let (head, tail) = (base - start, HUGE_PAGE - (base - start));
        // SAFETY: gives back the two unused ends of our own reservation (all of it on failure).
        unsafe {
            if let Err(e) = mapped {
                let _ = munmap(reserved, len + HUGE_PAGE);
                return Err(e.into());
            }
            if head > 0 {
                let _ = munmap(reserved, head);
            }
            if tail > 0 {
                let _ = munmap((base + len) as *mut c_void, tail);
            }
        }
        Ok(Self { base: base as *mut u8, len, fd })
    }

    /// Where the region is mapped in this process; aligned to a huge page.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// The region's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the region has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Backs `len` bytes from `offset` with memory now, so that writing them cannot fail later.
    ///
    /// Large ranges are backed with huge pages where the kernel can (five times quicker to fill
    /// for the first time); small ones page by page.
    ///
    /// # Errors
    /// `OutOfMemory` when the kernel has no memory for it (the memory cgroup's limit included).
    pub fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "range outside region");
        if len == 0 {
            return Ok(());
        }
        let first_huge = offset.next_multiple_of(HUGE_PAGE);
        let end_huge = (offset + len) / HUGE_PAGE * HUGE_PAGE;
        if first_huge < end_huge {
            self.populate_small(offset, first_huge - offset)?;
            self.populate_huge(first_huge, end_huge - first_huge)?;
            return self.populate_small(end_huge, offset + len - end_huge);
        }
        self.populate_small(offset, len)
    }

    fn populate_small(&self, offset: usize, len: usize) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let from = offset / PAGE * PAGE;
        let to = (offset + len).next_multiple_of(PAGE).min(self.len);
        // SAFETY: inside the region; populating changes no byte that anybody wrote.
        let done =
            unsafe { madvise(self.base.add(from).cast(), to - from, Advice::LinuxPopulateWrite) };
        match done {
            Ok(()) => Ok(()),
            // Before Linux 5.14: reserve the pages in the file instead.
            Err(rustix::io::Errno::INVAL) => rustix::fs::fallocate(
                &self.fd,
                rustix::fs::FallocateFlags::empty(),
                from as u64,
                (to - from) as u64,
            )
            .map_err(out_of_memory),
            Err(e) => Err(out_of_memory(e)),
        }
    }

    fn populate_huge(&self, offset: usize, len: usize) -> io::Result<()> {
        for at in (offset..offset + len).step_by(HUGE_PAGE) {
            // A range with no page at all is refused, hence one page first.
            self.populate_small(at, PAGE)?;
            // SAFETY: inside the region and aligned to a huge page; contents are kept.
            let done = unsafe { libc::madvise(self.base.add(at).cast(), HUGE_PAGE, MADV_COLLAPSE) };
            if done != 0 {
                self.populate_small(at, HUGE_PAGE)?;
            }
        }
        Ok(())
    }

    /// Gives the memory behind `len` bytes from `offset` back to the system; they read as zero
    /// afterwards. Only whole pages inside the range are given back.
    pub fn punch(&self, offset: usize, len: usize) {
        let from = offset.next_multiple_of(PAGE);
        let to = (offset.saturating_add(len)).min(self.len) / PAGE * PAGE;
        if from < to {
            // SAFETY: inside the region; the caller owns the range, so nobody reads it now. If it
            // dies here, either the old bytes or zeros remain, and both are garbage.
            let _ = unsafe { madvise(self.base.add(from).cast(), to - from, Advice::LinuxRemove) };
        }
    }
}

/// A private copy-on-write view of a part of a region: reads see the shared pages, the first write
/// to a page makes a copy of it that only this process sees.
#[derive(Debug)]
pub struct PrivateView {
    base: *mut u8,
    len: usize,
}

// SAFETY: plain memory of this process; who may touch it is the owner's business.
unsafe impl Send for PrivateView {}
// SAFETY: as above.
unsafe impl Sync for PrivateView {}

impl SharedRegion {
    /// Maps `len` bytes from `offset`, a multiple of [`PAGE`], privately. Nobody may write to the
    /// shared pages as long as the view exists: whether it would show is undefined.
    ///
    /// # Errors
    /// When the kernel refuses the address space, or the range lies outside the region.
    pub fn private_view(&self, offset: usize, len: usize) -> io::Result<PrivateView> {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        if !inside || len == 0 || !offset.is_multiple_of(PAGE) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: a new mapping at an address of the kernel's choice, of pages that exist.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
                &self.fd,
                offset as u64,
            )?
        };
        Ok(PrivateView { base: base.cast(), len })
    }
}

impl PrivateView {
    /// Where the view begins in this process.
    #[must_use]
    pub fn address(&self) -> *mut u8 {
        self.base
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes, which it never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for PrivateView {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever drops the view holds no pointer into it.
        let _ = unsafe { munmap(self.base.cast(), self.len) };
    }
}

impl AsFd for SharedRegion {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for SharedRegion {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours; whoever drops the region holds no pointer into it.
        let _ = unsafe { munmap(self.base.cast(), self.len) };
    }
}

fn out_of_memory(e: rustix::io::Errno) -> io::Error {
    use rustix::io::Errno;
    // MADV_POPULATE_WRITE reports a fault that could not be served as EFAULT.
    if matches!(e, Errno::NOMEM | Errno::FAULT | Errno::NOSPC | Errno::HWPOISON) {
        io::Error::from(io::ErrorKind::OutOfMemory)
    } else {
        e.into()
    }
}
