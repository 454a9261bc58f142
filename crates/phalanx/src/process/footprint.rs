//! What is known of the memory of a process that has ended.

use std::fmt;

use phalanx_os::signal::SIGKILL;
use phalanx_os::wait::ExitStatus;
use phalanx_os::{oom, proc};

/// What is known of the memory of a process that has ended. As words: what an error may add.
///
/// ```
/// use phalanx::process::Process;
///
/// let process = Process::fork(|| if true { std::process::abort() })?;
/// let error = process.join().unwrap_err().to_string();
/// assert!(error.contains("of memory at most"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// The most that it had resident at a time, in bytes; a forked process begins with its parent's.
    /// `None` where nobody knows.
    pub peak: Option<u64>,
    /// Whether want of memory may have been its end.
    pub shortage: Shortage,
}

/// Whether want of memory may have been a process's end.
///
/// ```
/// # use phalanx::process::{Process, ProcessError};
/// let process = Process::fork(|| std::thread::sleep(std::time::Duration::from_secs(600)))?;
/// process.kill()?;
/// let Err(ProcessError::Died { memory, .. }) = process.join() else { panic!("it was killed") };
/// println!("{memory:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortage {
    /// Nothing points to it.
    #[default]
    Unlikely,
    /// It was killed, by nobody of this process, and the kernel does not tell.
    Possible,
    /// It was killed, and had used a large part of what there is.
    Likely,
    /// It was killed, and the kernel's out-of-memory killer has been at work meanwhile.
    Counted,
}

impl Footprint {
    /// Of a process that has just ended, whose peak was that. `was_ours`: this process has killed it.
    pub(super) fn of(status: ExitStatus, peak: Option<u64>, was_ours: bool) -> Self {
        let was_killed = status == ExitStatus::Signal(SIGKILL as u8) && !was_ours;
        let shortage = if was_killed { suspect(peak) } else { Shortage::Unlikely };
        Self { peak, shortage }
    }
}

fn suspect(peak: Option<u64>) -> Shortage {
    let counted = oom::has_killed();
    let most = proc::memory_total().unwrap_or(u64::MAX);
    let most = proc::memory_cgroup_limit().map_or(most, |limit| limit.min(most));
    match counted {
        Some(true) => Shortage::Counted,
        // Programs that watch over memory kill, too, and nobody counts that.
        _ if peak.is_some_and(|peak| peak > most / 2) => Shortage::Likely,
        Some(false) => Shortage::Unlikely,
        None => Shortage::Possible,
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peak) = self.peak {
            write!(f, "; it had {} of memory at most", Size(peak))?;
        }
        f.write_str(match self.shortage {
            Shortage::Unlikely => "",
            Shortage::Possible => {
                "; if nobody killed it, the system may have for want of memory: run fewer \
                 processes or smaller tasks"
            }
            Shortage::Likely => {
                "; that is much of what there is, so it may have been killed for want of memory: run \
                 fewer processes or smaller tasks"
            }
            Shortage::Counted => {
                "; the system's out-of-memory killer has been at work: run fewer processes or \
                 smaller tasks"
            }
        })
    }
}

/// A number of bytes, for people.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 10 << 30 => write!(f, "{} GiB", bytes >> 30),
            bytes if bytes >= 1 << 30 => write!(f, "{:.1} GiB", bytes as f64 / (1u64 << 30) as f64),
            bytes => write!(f, "{} MiB", bytes >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unexplained_kill_is_put_down_to_memory() {
        let huge = Some(u64::MAX / 2);
        let of = |status, was_ours| Footprint::of(status, huge, was_ours).shortage;
        assert_eq!(of(ExitStatus::Code(1), false), Shortage::Unlikely);
        assert_eq!(of(ExitStatus::Signal(11), false), Shortage::Unlikely);
        assert_eq!(of(ExitStatus::Signal(9), true), Shortage::Unlikely);
        assert_ne!(of(ExitStatus::Signal(9), false), Shortage::Unlikely);
    }

    #[test]
    fn sizes_are_for_people() {
        let text = |bytes| Size(bytes).to_string();
        assert_eq!((text(3 << 20), text(3 << 29)), ("3 MiB".to_owned(), "1.5 GiB".to_owned()));
        assert_eq!(text(20 << 30), "20 GiB");
    }
}
