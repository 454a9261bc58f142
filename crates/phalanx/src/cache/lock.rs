//! Who computes the value of a key: one thread of one process, of all that share the folder.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use phalanx_os::file_lock;
use phalanx_os::per_process::PerProcess;
use phalanx_shm::failpoint;

use super::entry::is_missing;
use super::layout::part_of;

/// The locks that this process has. The kernel's lock is the process' own, so threads need this beside
/// it; and it makes sure that a lock file is open once at a time, without which closing it elsewhere would
/// end the lock. A forked child has none.
static HELD: PerProcess<Mutex<HashMap<PathBuf, ThreadId>>> = PerProcess::new();

fn held() -> MutexGuard<'static, HashMap<PathBuf, ThreadId>> {
    HELD.get_or_make(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock on a key. Dropped, or when the process ends, the next one gets it.
#[derive(Debug)]
pub(super) struct KeyLock {
    path: PathBuf,
    /// Closed last of all.
    file: Option<File>,
    process: u32,
}

/// What came of an attempt to lock.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It is ours.
    Locked(KeyLock),
    /// Another thread or process has it; which process, if that is known.
    Busy(Option<u32>),
    /// The calling thread has it already: it computes the value of a key on the way to the value of the
    /// same key.
    Own,
    /// The folder of locks is not there.
    NoFolder,
}

impl KeyLock {
    pub(super) fn attempt(path: &Path) -> io::Result<Attempt> {
        {
            let mut held = held();
            match held.get(path) {
                Some(thread) if *thread == thread::current().id() => return Ok(Attempt::Own),
                Some(_) => return Ok(Attempt::Busy(Some(std::process::id()))),
                None => held.insert(path.to_owned(), thread::current().id()),
            };
        }
        // From here on, dropping it takes it out of the table again.
        let mut lock = Self { path: path.to_owned(), file: None, process: std::process::id() };
        loop {
            let file = match OpenOptions::new().create(true).truncate(false).write(true).open(path)
            {
                Ok(file) => file,
                Err(e) if is_missing(&e) => return Ok(Attempt::NoFolder),
                Err(e) => return Err(e),
            };
            failpoint!("cache.lock.opened");
            if !file_lock::try_lock(&file)? {
                return Ok(Attempt::Busy(file_lock::holder(&file)));
            }
            failpoint!("cache.lock.locked");
            // Whoever had it before has removed the file: then another one may have made a new one.
            if is_still(&file, path)? {
                lock.file = Some(file);
                return Ok(Attempt::Locked(lock));
            }
        }
    }

    /// The file that is locked.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // A forked child got a copy of this value but not the lock.
        if self.process != std::process::id() {
            return;
        }
        if self.file.is_some() {
            // First what was not finished, then the lock: nobody else may be about it meanwhile.
            let _ = fs::remove_file(part_of(&self.path));
            failpoint!("cache.lock.part_removed");
            let _ = fs::remove_file(&self.path);
            failpoint!("cache.lock.removed");
            self.file = None;
        }
        held().remove(&self.path);
    }
}

fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    let this = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((this.dev(), this.ino()) == (there.dev(), there.ino())),
        Err(e) if is_missing(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_os::fork::run_in_child;
    use phalanx_os::wait::{ExitStatus, reap_blocking};

    fn file(of: &str) -> PathBuf {
        std::env::temp_dir().join(format!("phalanx-key-{of}-{}.lock", std::process::id()))
    }

    fn attempt(path: &Path) -> Attempt {
        KeyLock::attempt(path).expect("a lock")
    }

    #[test]
    fn one_thread_of_one_process_has_it() -> io::Result<()> {
        let path = file("one");
        let Attempt::Locked(lock) = attempt(&path) else { panic!("it was free") };
        assert!(matches!(attempt(&path), Attempt::Own));
        thread::scope(|scope| {
            scope.spawn(|| assert!(matches!(attempt(&path), Attempt::Busy(_))));
        });
        let child = run_in_child(|| i32::from(matches!(attempt(&path), Attempt::Busy(_))))?;
        assert_eq!(reap_blocking(child)?, ExitStatus::Code(1));
        assert!(path.exists());
        drop(lock);
        assert!(!path.exists());
        assert!(matches!(attempt(&path), Attempt::Locked(_)));
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn a_forked_child_does_not_give_it_back() -> io::Result<()> {
        let path = file("fork");
        let Attempt::Locked(lock) = attempt(&path) else { panic!("it was free") };
        let mut lock = Some(lock);
        let child = run_in_child(|| {
            lock.take();
            i32::from(path.exists())
        })?;
        assert_eq!(reap_blocking(child)?, ExitStatus::Code(1));
        let child = run_in_child(|| i32::from(matches!(attempt(&path), Attempt::Busy(_))))?;
        assert_eq!(reap_blocking(child)?, ExitStatus::Code(1));
        Ok(())
    }
}
