//! Dying with the parent process.
//!
//! The kernel's own means, `PR_SET_PDEATHSIG`, is bound to the *thread* that forked: a child
//! started by a short-lived thread would be killed when that thread ends. So it serves only
//! children that the main thread forked. All others hold a *lifeline*: the reading end of a
//! pipe whose only writing end belongs to the parent. The child asks the kernel for a `SIGKILL`
//! when the pipe changes (`O_ASYNC` with `F_SETSIG`), which happens when the parent is gone,
//! however it went. No thread is needed for that, in either process.
//!
//! A parent that executes another program counts as gone.
//!
//! The descriptors of this module live in process-wide atomics: a fork copies them, and the
//! handlers that `prepare` registers turn the parent's into the child's view of its parent.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering, fence};

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;

use crate::{pidfd, poll};

const NONE: i32 = -1;

/// This process's own pidfd: what its children watch it by.
static OWN_PIDFD: AtomicI32 = AtomicI32::new(NONE);
/// In a forked child: the parent's pidfd, if the parent had one.
static PARENT_PIDFD: AtomicI32 = AtomicI32::new(NONE);
/// Both ends of this process's lifeline: the reading end in the low half, -1 for none.
static LIFELINE: AtomicI64 = AtomicI64::new(-1);
/// In a forked child: the reading end of the parent's lifeline.
static PARENT_LIFELINE: AtomicI32 = AtomicI32::new(NONE);

/// Descriptors that forked children must not keep open.
static PRIVATE: [AtomicI32; 4] = [const { AtomicI32::new(NONE) }; 4];

const F_SETSIG: i32 = 10;

/// Where the writing end of the lifeline lies, if that many descriptors are allowed.
const HIGH: RawFd = 200;

/// Registers the handlers that keep this module's state right across a fork. Idempotent.
fn prepare() {
    static ONCE: Once = Once::new();
    extern "C" fn nothing() {}
    extern "C" fn in_child() {
        let lifeline = LIFELINE.swap(-1, Ordering::Relaxed);
        if lifeline != -1 {
            let (read, write) = unpack(lifeline);
            // SAFETY: the parent's writing end, of which this process must not keep a copy, or
            // the parent's death would go unnoticed by its other children.
            unsafe { libc::close(write) };
            close(PARENT_LIFELINE.swap(read, Ordering::Relaxed));
        }
        for place in &PRIVATE {
            close(place.swap(NONE, Ordering::Relaxed));
        }
        let pidfd = OWN_PIDFD.swap(NONE, Ordering::Relaxed);
        PARENT_PIDFD.store(pidfd, Ordering::Relaxed);
    }
    // Without memory for three pointers the process is lost anyway; a child would then merely
    // hold its parent's descriptors.
    ONCE.call_once(|| drop(crate::fork::at_fork(nothing, nothing, in_child)));
}

/// A descriptor of the calling process, for its children to watch: opened at the first use and
/// never closed.
///
/// # Errors
/// When the kernel refuses the descriptor.
pub fn own_pidfd() -> io::Result<BorrowedFd<'static>> {
    prepare();
    let known = OWN_PIDFD.load(Ordering::Acquire);
    if known != NONE {
        return Ok(forever(known));
    }
    let new = pidfd::open(std::process::id())?.into_raw_fd();
    match OWN_PIDFD.compare_exchange(NONE, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(forever(new)),
        Err(other) => {
            close(new);
            Ok(forever(other))
        }
    }
}

/// Takes a descriptor over for the rest of the process's life, closing it in every forked child:
/// one whose closing tells others that this very process is gone. There are four places.
///
/// # Errors
/// Gives the descriptor back when all places are taken.
pub fn keep_private(fd: OwnedFd) -> Result<BorrowedFd<'static>, OwnedFd> {
    prepare();
    let raw = fd.as_raw_fd();
    let free = |place: &&AtomicI32| {
        place.compare_exchange(NONE, raw, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    };
    match PRIVATE.iter().find(free) {
        Some(_) => Ok(forever(fd.into_raw_fd())),
        None => Err(fd),
    }
}

/// In a forked child: the parent's pidfd, if the parent had opened one by [`own_pidfd`].
#[must_use]
pub fn parent_pidfd() -> Option<BorrowedFd<'static>> {
    let fd = PARENT_PIDFD.load(Ordering::Acquire);
    (fd != NONE).then(|| forever(fd))
}

/// In a child that was not forked by its parent: makes `pidfd` what [`parent_pidfd`] gives.
pub fn adopt_parent(pidfd: OwnedFd) {
    PARENT_PIDFD.store(pidfd.into_raw_fd(), Ordering::Release);
}

/// The reading end of the calling process's lifeline, to be handed to a child: made at the first
/// use and never closed.
///
/// # Errors
/// When the kernel refuses the two descriptors.
pub fn lifeline() -> io::Result<BorrowedFd<'static>> {
    prepare();
    let known = LIFELINE.load(Ordering::Acquire);
    if known != -1 {
        return Ok(forever(unpack(known).0));
    }
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    // Above most others: of a process that dies it is closed before what else is bound to it (see `launch`).
    let write = rustix::io::fcntl_dupfd_cloexec(&write, HIGH).unwrap_or(write);
    let new = pack(read.as_raw_fd(), write.as_raw_fd());
    match LIFELINE.compare_exchange(-1, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            let _ = write.into_raw_fd();
            Ok(forever(read.into_raw_fd()))
        }
        Err(other) => Ok(forever(unpack(other).0)),
    }
}

/// From now on this process is killed when the holder of the lifeline's writing end is gone;
/// kills it at once if that has happened already.
///
/// # Errors
/// When the kernel refuses a descriptor of its own for this process, which `/proc` serves.
pub fn hang_on(lifeline: impl AsFd) -> io::Result<()> {
    // The setting belongs to the open file, which all who inherited it share: open it anew.
    let path = format!("/proc/self/fd/{}", lifeline.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let own = rustix::fs::open(path.as_str(), flags, Mode::empty())?;
    let raw = own.as_raw_fd();
    let pid = std::process::id().cast_signed();
    // SAFETY: plain settings of a descriptor that this function owns.
    unsafe {
        if libc::fcntl(raw, F_SETSIG, libc::SIGKILL) == -1
            || libc::fcntl(raw, libc::F_SETOWN, pid) == -1
            || libc::fcntl(raw, libc::F_SETFL, libc::O_NONBLOCK | libc::O_ASYNC) == -1
        {
            return Err(io::Error::last_os_error());
        }
    }
    // The parent may have gone before the setting was made.
    let mut interest = [poll::Interest::read(own.as_fd())];
    poll::wait(&mut interest, Some(crate::clock::Deadline::from_nanos(0)))?;
    if interest[0].is_hung_up() {
        crate::proc::raise(libc::SIGKILL);
    }
    let _ = own.into_raw_fd();
    Ok(())
}

/// In a forked child whose parent called [`lifeline`] before: [`hang_on`] to it. Does nothing
/// if there was none.
///
/// # Errors
/// As for [`hang_on`].
pub fn hang_on_to_parent() -> io::Result<()> {
    let fd = PARENT_LIFELINE.swap(NONE, Ordering::Relaxed);
    if fd == NONE {
        return Ok(());
    }
    let result = hang_on(forever(fd));
    close(fd);
    result
}

/// Whether the calling thread is the main one of its process, which lives as long as it.
#[must_use]
pub fn on_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// In a child forked by the main thread of the process `parent`: from now on this process is killed when
/// that thread has ended; kills it at once if the parent is gone already.
///
/// # Errors
/// The kernel's refusal.
pub fn die_with_parent(parent: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // An ending parent lets go of its children first, signalling those that have asked for it by then, and counts
    // as ended only when its last thread has: that this process has another parent is seen from the first moment on.
    fence(Ordering::SeqCst);
    let is_let_go =
        rustix::process::getppid().is_none_or(|now| now.as_raw_pid() != parent.cast_signed());
    if is_let_go || parent_pidfd().is_some_and(pidfd::has_ended) {
        crate::proc::raise(libc::SIGKILL);
    }
    Ok(())
}

const fn pack(read: RawFd, write: RawFd) -> i64 {
    ((write as i64) << 32) | read as i64
}

const fn unpack(ends: i64) -> (RawFd, RawFd) {
    ((ends & 0x7fff_ffff) as RawFd, (ends >> 32) as RawFd)
}

fn forever(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: only descriptors that this module owns and never closes while they are known.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

fn close(fd: RawFd) {
    if fd != NONE {
        // SAFETY: a descriptor that this module owned and has just taken out of its place.
        drop(unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::run_in_child;

    fn generous() -> crate::clock::Deadline {
        crate::clock::Deadline::after(std::time::Duration::from_secs(20))
    }

    /// Forks a parent that starts a child through a thread that ends at once, and dies; the
    /// child must follow it. Its end is seen by the pipe that only it holds open.
    #[test]
    fn a_child_with_a_lifeline_outlives_the_thread_but_not_the_process() -> io::Result<()> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let parent = run_in_child(|| {
            let start = || {
                lifeline().is_ok()
                    && run_in_child(|| {
                        let _ = hang_on_to_parent();
                        let _ = rustix::io::write(&write, b"x");
                        loop {
                            std::thread::park();
                        }
                    })
                    .is_ok()
            };
            let started = std::thread::scope(|s| s.spawn(start).join().unwrap_or(false));
            // The thread is gone; end only once the child has said that it hangs on.
            let armed = poll::readable(read.as_fd(), Some(generous()));
            if started && matches!(armed, Ok(poll::Readiness::Ready)) { 7 } else { 1 }
        })?;
        drop(write);
        let status = crate::wait::reap_blocking(parent)?;
        assert_eq!(status, crate::wait::ExitStatus::Code(7));
        let mut byte = [0u8; 1];
        assert_eq!(rustix::io::read(&read, &mut byte)?, 1, "the child ran while its parent did");
        assert_eq!(poll::readable(read.as_fd(), Some(generous()))?, poll::Readiness::Ready);
        assert_eq!(rustix::io::read(&read, &mut byte)?, 0, "the child has ended");
        Ok(())
    }
}
