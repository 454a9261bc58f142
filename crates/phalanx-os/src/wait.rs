//! Collecting the exit status of children: `waitid(2)`.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

/// How a process ended.
///
/// ```
/// # mod phalanx { pub use phalanx_os::wait as process; }
/// use phalanx::process::ExitStatus;
///
/// fn advice(how: ExitStatus) -> &'static str {
///     match how {
///         ExitStatus::Code(0) => "all is well",
///         ExitStatus::Code(_) => "see what it has printed",
///         ExitStatus::Signal(9) => "somebody has killed it; perhaps the kernel, for want of memory",
///         ExitStatus::Signal(_) => "it has crashed",
///         ExitStatus::Unknown => "nobody knows",
///     }
/// }
/// assert_eq!(advice(ExitStatus::Signal(11)), "it has crashed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It ended by itself with this code, 0 to 255.
    Code(u8),
    /// A signal ended it.
    Signal(u8),
    /// It has ended, but somebody else collected its status.
    Unknown,
}

impl ExitStatus {
    /// The code, or the negative number of the signal; 255 if the status is unknown.
    ///
    /// ```
    /// # mod phalanx { pub use phalanx_os::wait as process; }
    /// use phalanx::process::ExitStatus;
    ///
    /// assert_eq!(ExitStatus::Code(3).as_exitcode(), 3);
    /// assert_eq!(ExitStatus::Signal(9).as_exitcode(), -9);
    /// ```
    #[must_use]
    pub fn as_exitcode(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code),
            Self::Signal(signal) => -i32::from(signal),
            Self::Unknown => 255,
        }
    }

    /// The status in the format of `wait(2)`; an unknown status is the code 255.
    ///
    /// ```
    /// # mod phalanx { pub use phalanx_os::wait as process; }
    /// use std::os::unix::process::ExitStatusExt;
    /// use phalanx::process::ExitStatus;
    ///
    /// // For what takes the standard library's:
    /// let status = std::process::ExitStatus::from_raw(ExitStatus::Code(3).as_raw());
    /// assert_eq!(status.code(), Some(3));
    /// ```
    #[must_use]
    pub fn as_raw(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code) << 8,
            Self::Signal(signal) => i32::from(signal),
            Self::Unknown => 255 << 8,
        }
    }

    /// The status behind the format of `wait(2)`.
    ///
    /// ```
    /// # mod phalanx { pub use phalanx_os::wait as process; }
    /// use std::os::unix::process::ExitStatusExt;
    /// use phalanx::process::ExitStatus;
    ///
    /// let status = std::process::Command::new("false").status()?;
    /// assert_eq!(ExitStatus::from_raw(status.into_raw()), ExitStatus::Code(1));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn from_raw(raw: i32) -> Self {
        match (raw & 0x7f) as u8 {
            0 => Self::Code((raw >> 8) as u8),
            signal => Self::Signal(signal),
        }
    }

    /// The status behind the `si_code` and `si_status` of `waitid(2)`.
    fn from_waitid(code: i32, status: i32) -> Self {
        if code == libc::CLD_EXITED {
            Self::Code(status as u8)
        } else {
            Self::Signal((status & 0x7f) as u8)
        }
    }
}

/// The end of a process: how, and what it had used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// The most memory that it ever had resident at a time, in bytes; of a program that was executed,
    /// not less than its parent had at that moment. `None` if somebody else has collected that.
    pub peak_memory: Option<u64>,
}

/// The most memory that the calling process ever had resident at a time, in bytes.
#[must_use]
pub fn own_peak_memory() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel writes one structure of plain numbers, for which all zero is valid too.
    // Nothing is shared, so nobody's death matters.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    peak_of(&usage)
}

fn peak_of(usage: &libc::rusage) -> u64 {
    u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024)
}

/// The status of the child behind the descriptor if it has ended, which ends its life as a
/// zombie; `None` while it runs. Does not wait.
///
/// A child whose status was collected by somebody else gives [`ExitStatus::Unknown`].
///
/// # Errors
/// The kernel's refusal.
pub fn reap(pidfd: impl AsFd) -> io::Result<Option<Ended>> {
    loop {
        match collect(&pidfd) {
            Ok(ended) => return Ok(ended),
            Err(e) => match e.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::ECHILD) => {
                    let unknown = Ended { status: ExitStatus::Unknown, peak_memory: None };
                    return Ok(crate::pidfd::has_ended(&pidfd).then_some(unknown));
                }
                _ => return Err(e),
            },
        }
    }
}

/// `waitid(2)` with the fifth argument that the C library leaves out.
fn collect(pidfd: impl AsFd) -> io::Result<Option<Ended>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both structures are plain numbers and valid when all zero; the kernel fills them, or
    // leaves them alone. Dying here leaves the child to whoever inherits it.
    let (info, usage) = unsafe {
        let done = libc::syscall(
            libc::SYS_waitid,
            libc::P_PIDFD,
            pidfd.as_fd().as_raw_fd(),
            info.as_mut_ptr(),
            libc::WEXITED | libc::WNOHANG,
            usage.as_mut_ptr(),
        );
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        (info.assume_init(), usage.assume_init())
    };
    // SAFETY: `waitid` fills the fields of a child's end, or none: then they are zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid != 0).then(|| Ended {
        status: ExitStatus::from_waitid(info.si_code, status),
        peak_memory: Some(peak_of(&usage)),
    }))
}

/// Waits for the child `pid` to end and collects its status.
///
/// # Errors
/// When it is no child of this process.
pub fn reap_blocking(pid: u32) -> io::Result<ExitStatus> {
    let pid = Pid::from_raw(pid.cast_signed());
    loop {
        match rustix::process::waitpid(pid, WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(ExitStatus::from_raw(status.as_raw())),
            Ok(None) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_tells_how_it_ended_and_what_it_used() -> io::Result<()> {
        let end = |body: fn() -> i32| -> io::Result<Ended> {
            let pid = crate::fork::run_in_child(body)?;
            let pidfd = crate::pidfd::open(pid)?;
            loop {
                if let Some(ended) = reap(&pidfd)? {
                    assert_eq!(
                        reap(&pidfd)?.map(|again| again.status),
                        Some(ExitStatus::Unknown),
                        "it is collected once"
                    );
                    return Ok(ended);
                }
                std::thread::yield_now();
            }
        };
        let small = end(|| 7)?;
        assert_eq!(small.status, ExitStatus::Code(7));
        let large = end(|| {
            let pages = std::hint::black_box(vec![1u8; 64 << 20]);
            crate::proc::raise(libc::SIGKILL);
            i32::from(pages[0])
        })?;
        assert_eq!(large.status, ExitStatus::Signal(9));
        let (small, large) = (small.peak_memory.unwrap_or(0), large.peak_memory.unwrap_or(0));
        assert!(small > 0 && large >= small + (60 << 20), "{small} and {large} bytes");
        assert!(own_peak_memory() > 0);
        Ok(())
    }

    #[test]
    fn raw_statuses_survive_the_way_there_and_back() {
        for status in [ExitStatus::Code(0), ExitStatus::Code(255), ExitStatus::Signal(9)] {
            assert_eq!(ExitStatus::from_raw(status.as_raw()), status);
        }
        assert_eq!(ExitStatus::Signal(15).as_exitcode(), -15);
        assert_eq!(ExitStatus::Unknown.as_exitcode(), 255);
    }
}
