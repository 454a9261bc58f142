//! Bytes that are handed to another process as one descriptor, complete before it looks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};

/// Anonymous memory that is written once and read once; no name in any file system.
#[derive(Debug)]
pub struct Parcel(OwnedFd);

impl Parcel {
    /// Packs the concatenation of `parts`. The name shows up in `/proc` only.
    ///
    /// # Errors
    /// When the kernel refuses the descriptor or the memory.
    pub fn pack(name: &str, parts: &[&[u8]]) -> io::Result<Self> {
        let fd = memfd_create(name, MemfdFlags::CLOEXEC)?;
        let mut at = 0;
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let done = rustix::io::pwrite(&fd, rest, at)?;
                if done == 0 {
                    return Err(io::Error::from(io::ErrorKind::WriteZero));
                }
                at += done as u64;
                rest = &rest[done..];
            }
        }
        Ok(Self(fd))
    }

    /// The parcel behind a descriptor that another process passed along.
    ///
    /// # Errors
    /// `InvalidInput` when it is no file.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        if rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode)
            != rustix::fs::FileType::RegularFile
        {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        Ok(Self(fd))
    }

    /// All of its bytes.
    ///
    /// # Errors
    /// When the kernel refuses to read it.
    pub fn unpack(&self) -> io::Result<Vec<u8>> {
        let size = usize::try_from(rustix::fs::fstat(&self.0)?.st_size).unwrap_or(0);
        let mut bytes = vec![0; size];
        let mut at = 0;
        while at < size {
            match rustix::io::pread(&self.0, &mut bytes[at..], at as u64)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                done => at += done,
            }
        }
        Ok(bytes)
    }

    /// The descriptor, to be passed along.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() -> io::Result<()> {
        let parcel = Parcel::pack("test", &[b"one ", b"", b"two"])?;
        let copy = Parcel::open(parcel.0.try_clone()?)?;
        drop(parcel);
        assert_eq!(copy.unpack()?, b"one two");
        Ok(())
    }
}
