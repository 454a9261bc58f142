//! The state of the shared memory in words, to find out why a program stands still.
//!
//! [`dump_state`] takes no lock, waits for nobody and changes nothing, so it may be asked at any moment;
//! [`dump_state_of`] does the same from outside, of a program that hangs. What they say is for people, and
//! may change with every version.
//!
//! ```
//! use phalanx::prelude::*;
//!
//! let queue = Queue::<u64>::unbounded()?;
//! println!("{}", phalanx::diagnosis::dump_state());
//! # drop(queue);
//! # Ok::<(), phalanx::Error>(())
//! ```

use std::fs::{self, File};
use std::io;

use phalanx_shm::arena::Arena;
pub use phalanx_shm::arena::Census;
use phalanx_shm::dump::dump;
use phalanx_shm::family::Family;

/// Who shares memory with this process, and what lies there: who holds which lock, how much waits in
/// which queue, which worker runs which task. Empty if nothing has been shared yet.
///
/// ```
/// let lock = phalanx::Lock::new(1)?;
/// let held = lock.lock()?;
/// assert!(phalanx::diagnosis::dump_state().contains("held by process 1"));
/// # drop(held);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[must_use]
pub fn dump_state() -> String {
    Family::existing().map_or_else(String::new, |family| dump(family.arena()))
}

/// The same of another process, which may hang or be stopped. That needs the right to look into it: to
/// be its user, or the superuser.
///
/// # Errors
/// When there is no such process, it may not be looked into, it shares no memory, or it runs another
/// version of phalanx.
///
/// ```
/// use phalanx::prelude::*;
///
/// let stuck = Lock::new(0u64)?;
/// let child = Process::fork(|| std::thread::sleep(std::time::Duration::from_secs(600)))?;
/// // From another program, with the number that `ps` shows.
/// let state = phalanx::diagnosis::dump_state_of(child.pid())?;
/// assert!(state.contains(&child.pid().to_string()));
/// child.kill()?;
/// # drop(stuck);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub fn dump_state_of(pid: u32) -> io::Result<String> {
    let folder = format!("/proc/{pid}/fd");
    let cannot =
        |e: io::Error| io::Error::new(e.kind(), format!("cannot look into process {pid}: {e}"));
    for entry in fs::read_dir(&folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let is_arena = |target: std::path::PathBuf| {
            target
                .to_string_lossy()
                .strip_prefix("/memfd:phalanx")
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        // One that was closed meanwhile is none.
        if !fs::read_link(&path).is_ok_and(is_arena) {
            continue;
        }
        let file = File::options().read(true).write(true).open(&path).map_err(cannot)?;
        if let Ok(arena) = Arena::attach(file.into()) {
            return Ok(dump(&arena));
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("process {pid} has no memory of this version of phalanx"),
    ))
}

/// How many chunks of shared memory are in use and for what, and how many bytes back them; nothing if
/// nothing has been shared yet. For accounting in tests: what ended processes left, and what this one has
/// kept for its next messages, is given back first.
///
/// ```
/// use phalanx::diagnosis::census;
///
/// let before = phalanx::SharedBytes::copy_from(&[1; 100_000])?;
/// let (_, bytes) = census().expect("something is shared");
/// assert!(bytes >= 100_000);
/// # drop(before);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[must_use]
pub fn census() -> Option<(Census, u64)> {
    let family = Family::existing()?;
    family.sweep_all();
    family.give_back();
    Some((family.arena().census(), family.arena().committed_bytes()))
}
