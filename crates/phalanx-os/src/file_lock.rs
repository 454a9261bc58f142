//! Locks on files that unrelated processes share: `fcntl(2)` with `F_SETLK`.
//!
//! Such a lock belongs to a process: children that it forks do not have it, and it ends with the process,
//! however that ends. It also ends as soon as the process closes *any* descriptor of the file; so whoever
//! uses it opens the file once at a time.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};

/// Takes the lock on the whole of a file that is open for writing, unless another process has it;
/// returns whether it did.
///
/// # Errors
/// When the file system knows no such locks, or the kernel's refusal.
pub fn try_lock(file: &File) -> io::Result<bool> {
    loop {
        match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(false),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// The process that has the lock; `None` if none has, or it cannot be seen from here.
#[must_use]
pub fn holder(file: &File) -> Option<u32> {
    let found = fcntl_getlk(file, &Flock::from(FlockType::WriteLock)).ok()??;
    Some(found.pid?.as_raw_nonzero().get().cast_unsigned())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;
    use crate::wait::{ExitStatus, reap_blocking};

    fn me() -> u32 {
        std::process::id()
    }

    #[test]
    fn a_lock_is_one_process_own_and_ends_with_it() -> io::Result<()> {
        let path = std::env::temp_dir().join(format!("phalanx-lock-{}", std::process::id()));
        let open = || OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open()?;
        assert!(try_lock(&file)?);
        let child = crate::fork::run_in_child(|| match open().and_then(|file| try_lock(&file)) {
            Ok(false) if holder(&open().expect("it is there")) == crate::proc::parent(me()) => 7,
            _ => 1,
        })?;
        assert_eq!(reap_blocking(child)?, ExitStatus::Code(7));
        drop(file);
        // The child takes it and ends without giving it back.
        let child = crate::fork::run_in_child(|| match open().and_then(|file| try_lock(&file)) {
            Ok(true) => 7,
            _ => 1,
        })?;
        assert_eq!(reap_blocking(child)?, ExitStatus::Code(7));
        assert!(try_lock(&open()?)?);
        std::fs::remove_file(path)
    }
}
