//! A stage is a process that plays one run: it founds a family of its own, so that runs cannot
//! disturb each other, and what it leaves can be counted exactly.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use phalanx_shm::family::Family;
use phalanx_shm::peers::SlotId;

/// A process of a run.
pub(crate) struct Actor {
    pub(crate) pid: i32,
    pub(crate) place: SlotId,
}

/// How a wait for an actor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Exited(i32),
    Killed(i32),
    Stopped,
}

fn fate(status: i32) -> Fate {
    if libc::WIFSTOPPED(status) {
        Fate::Stopped
    } else if libc::WIFSIGNALED(status) {
        Fate::Killed(libc::WTERMSIG(status))
    } else {
        Fate::Exited(libc::WEXITSTATUS(status))
    }
}

fn fork() -> i32 {
    // SAFETY: every process of these tests has one thread.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    pid
}

fn run_and_exit(body: impl FnOnce()) -> ! {
    let ok = std::panic::catch_unwind(AssertUnwindSafe(body)).is_ok();
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(if ok { 0 } else { 101 }) }
}

/// Forks an actor that plays `body`.
pub(crate) fn actor(family: &'static Family, body: impl FnOnce()) -> Actor {
    let pid = fork();
    if pid == 0 {
        run_and_exit(body);
    }
    let place = family.last_forked().expect("a place");
    family.name_child(place, pid as u32);
    Actor { pid, place }
}

impl Actor {
    /// Waits until the actor has ended or stopped. An ended one is reaped, and not yet swept.
    pub(crate) fn wait(&self) -> Fate {
        let mut status = 0;
        // SAFETY: a plain wait for our own child.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WUNTRACED) };
        assert_eq!(pid, self.pid);
        fate(status)
    }

    /// Waits until the actor has ended, and leaves it unreaped. False if it exited by itself.
    pub(crate) fn await_kill_unreaped(&self) -> bool {
        // SAFETY: all zero is a valid value of this plain struct.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let how = libc::WEXITED | libc::WNOWAIT;
        // SAFETY: a plain wait for our own child.
        let done = unsafe { libc::waitid(libc::P_PID, self.pid as u32, &raw mut info, how) };
        assert_eq!(done, 0);
        info.si_code == libc::CLD_KILLED
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: our own child, not reaped yet.
        unsafe { libc::kill(self.pid, signal) };
    }

    /// Waits for an actor that must come to its end, and sweeps it.
    pub(crate) fn finish(self, family: &Family) {
        assert_eq!(self.wait(), Fate::Exited(0), "an actor");
        family.on_child_end(self.place);
    }
}

/// What a run has to say: a byte of the stage's own choice, or why it failed.
pub(crate) type Outcome = Result<i32, String>;

/// Plays `body` on a stage; its value, below 100, is the outcome.
pub(crate) fn play(limit: Duration, body: impl FnOnce() -> i32) -> Outcome {
    let pid = fork();
    if pid == 0 {
        // SAFETY: makes this process the leader of a group, which all actors join.
        unsafe { libc::setpgid(0, 0) };
        let value = std::panic::catch_unwind(AssertUnwindSafe(body));
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(value.unwrap_or(101)) }
    }
    let end = Instant::now() + limit;
    let mut status = 0;
    let outcome = loop {
        // SAFETY: a plain wait for our own child.
        if unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == pid {
            break match fate(status) {
                Fate::Exited(value) if value < 100 => Ok(value),
                other => Err(format!("{other:?}")),
            };
        }
        if Instant::now() > end {
            break Err("hung".to_owned());
        }
        std::thread::sleep(Duration::from_micros(500));
    };
    // SAFETY: whoever is left of the run's own group ends with it.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
    if outcome == Err("hung".to_owned()) {
        // SAFETY: reaps our own child, killed above.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
    }
    outcome
}
