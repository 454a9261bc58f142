//! Room on a disk without a name: `O_TMPFILE`, `splice(2)`, `fallocate(2)`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

/// An empty file that no directory names: it is gone with its last descriptor, however that goes. It lies
/// in the directory for temporary files (`TMPDIR`, else `/tmp`), or in memory where that cannot hold
/// files without a name.
///
/// # Errors
/// When the kernel refuses the descriptor.
pub fn unnamed_file() -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let on_disk = rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR);
    match on_disk {
        Ok(file) => Ok(file.into()),
        Err(Errno::MFILE | Errno::NFILE) => Err(io::Error::from(Errno::MFILE)),
        Err(_) => Ok(rustix::fs::memfd_create("spool", MemfdFlags::CLOEXEC)?.into()),
    }
}

/// Moves what is in a pipe, at most `most` bytes, to a place of a file without copying it through this
/// process. `None` if nothing is there now, zero at the end of the stream. The pipe's end has to be
/// non-blocking.
///
/// # Errors
/// `StorageFull`, or another refusal of the kernel.
pub fn move_from_pipe(
    pipe: impl AsFd,
    file: &File,
    offset: u64,
    most: usize,
) -> io::Result<Option<usize>> {
    let mut offset = offset;
    loop {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match rustix::pipe::splice(&pipe, None, file, Some(&mut offset), most, flags) {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(e) => return Err(e.into()),
        }
    }
}

/// Gives the room of a part of a file back; it reads as zeros afterwards. A file system that cannot do
/// that keeps the room until the file is gone.
pub fn give_back(file: &File, offset: u64, length: u64) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let _ = rustix::fs::fallocate(file, flags, offset, length);
}

/// Whether this process, as the only one, may use the file from now on, until it closes it: `flock(2)`.
///
/// # Errors
/// `WouldBlock` when another process has it.
pub fn lock_alone(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::pipe;

    #[test]
    fn a_pipe_is_moved_into_a_file_without_a_name() -> io::Result<()> {
        let (read, write) = pipe::pair()?;
        pipe::set_nonblocking(&read)?;
        let file = unnamed_file()?;
        assert_eq!(move_from_pipe(&read, &file, 5, 100)?, None);
        pipe::write(&write, &[io::IoSlice::new(b"some bytes")])?;
        assert_eq!(move_from_pipe(&read, &file, 5, 100)?, Some(10));
        let mut bytes = [1u8; 15];
        file.read_exact_at(&mut bytes, 0)?;
        assert_eq!(&bytes, b"\0\0\0\0\0some bytes");
        drop(write);
        assert_eq!(move_from_pipe(&read, &file, 15, 100)?, Some(0));
        give_back(&file, 0, 4096);
        assert_eq!(file.metadata()?.len(), 15);
        Ok(())
    }
}
