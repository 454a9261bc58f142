//! What the tests between processes share: children, and a watchdog.

#![allow(dead_code, unsafe_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use phalanx_shm::family::Family;
use phalanx_shm::peers::SlotId;

/// A forked child.
pub struct Child {
    pub pid: i32,
    pub place: Option<SlotId>,
}

/// Runs `body` in a forked child, which ends with status 0, or 101 if it panics.
pub fn forked(body: impl FnOnce()) -> Child {
    // SAFETY: the child only runs the test's body and leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if ok { 0 } else { 101 }) };
    }
    let place = Family::existing().and_then(Family::last_forked);
    if let (Some(family), Some(place)) = (Family::existing(), place) {
        family.name_child(place, pid as u32);
    }
    Child { pid, place }
}

impl Child {
    /// Waits for the child without sweeping it: the exit code, or minus the signal.
    pub fn reap(&self) -> i32 {
        let mut status = 0;
        // SAFETY: a plain wait for our own child.
        assert_eq!(unsafe { libc::waitpid(self.pid, &raw mut status, 0) }, self.pid);
        if libc::WIFSIGNALED(status) { -libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
    }

    /// Waits for the child and sweeps what it left.
    pub fn wait(self) -> i32 {
        let code = self.reap();
        if let (Some(family), Some(place)) = (Family::existing(), self.place) {
            family.on_child_end(place);
        }
        code
    }

    pub fn kill(&self) {
        // SAFETY: a signal to our own child, not reaped yet.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }
}

/// Aborts the test program if it is still running after so many seconds.
pub struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    pub fn start(seconds: u64) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        // An interpreter of Rust's rules is slow.
        let seconds = if cfg!(miri) { seconds * 100 } else { seconds };
        std::thread::spawn(move || {
            for _ in 0..seconds * 10 {
                std::thread::sleep(Duration::from_millis(100));
                if seen.load(Ordering::Relaxed) {
                    return;
                }
            }
            eprintln!("watchdog: still running after {seconds} s");
            std::process::abort();
        });
        Self(done)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
