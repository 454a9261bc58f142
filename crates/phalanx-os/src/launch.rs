//! Starting another program as a job: in a process group, a directory and with streams of its own,
//! and bound to its parent's life: `clone(2)`.
//!
//! As with `posix_spawn` the child shares the caller's memory until it executes the program, so that
//! the cost does not grow with the size of the caller. What `posix_spawn` cannot do is what this module
//! is for: before the program begins, its process group has been bound to the parent's *lifeline* (see
//! [`death`](crate::death)). When the parent is gone, however it went, the kernel kills the whole group:
//! there is no instant at which the program runs unbound.
//!
//! The binding lives in an open file that the program inherits under a high number, and lasts as long as
//! any process of the group, or the caller's [`Bond`], has it open. Besides, the first process of the group
//! has the kernel's own parent death signal, for programs that close all descriptors they do not know. Of a
//! caller with several threads the one that started the program may end a moment before the others, and
//! with them the lifeline: then the signal comes first, and it is the bond that still binds the rest of the group.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::fs::{Mode, OFlags};

use crate::signal::{self, SignalSet};

/// What to start.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The file to execute; not looked for along `PATH`. If relative, to `directory`.
    pub path: &'a CStr,
    /// The arguments, the program's own name first.
    pub arguments: &'a [CString],
    /// The whole environment, each variable as `NAME=value`.
    pub environment: &'a [CString],
    /// The working directory; `None`: the caller's.
    pub directory: Option<&'a CStr>,
    /// Standard input, output and error.
    pub streams: [BorrowedFd<'a>; 3],
    /// The reading end of the caller's lifeline.
    pub lifeline: BorrowedFd<'a>,
}

/// A process that was started: the leader of a process group whose number is its own.
#[derive(Debug)]
pub struct Launched {
    /// Its process id, and that of its group.
    pub pid: u32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// To be dropped when nothing is left of its group.
    pub bond: Bond,
}

/// What binds a process group to the caller's life, as the caller holds it. Dropping it ends that.
///
/// When the caller dies, its descriptors are closed from the highest number down, so this one after the lifeline's
/// writing end, which lies high (see [`death::lifeline`](crate::death::lifeline)).
#[derive(Debug)]
pub struct Bond(OwnedFd);

impl Bond {
    /// One that binds nobody yet.
    fn new(lifeline: BorrowedFd<'_>) -> io::Result<Self> {
        // The setting belongs to the open file, which all who inherited it share: open it anew.
        let path = format!("/proc/self/fd/{}", lifeline.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let own = rustix::fs::open(path.as_str(), flags, Mode::empty())?;
        let raw = own.as_raw_fd();
        // SAFETY: plain settings of a descriptor that this function owns.
        unsafe {
            if libc::fcntl(raw, F_SETSIG, libc::SIGKILL) == -1
                || libc::fcntl(raw, libc::F_SETFL, libc::O_NONBLOCK | libc::O_ASYNC) == -1
            {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self(own))
    }
}

impl Drop for Bond {
    fn drop(&mut self) {
        // The group's number may become another's, while a forked child still has a copy of this.
        // SAFETY: a plain setting of a descriptor that this owns.
        unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_SETOWN, 0) };
    }
}

/// What could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making the process.
    Start,
    /// Giving it its streams, its group and its lifeline.
    Prepare,
    /// Changing to the working directory.
    Directory,
    /// Executing the program.
    Execute,
}

/// A program that could not be started; nothing of it is left.
#[derive(Debug)]
pub struct LaunchError {
    /// What could not be done.
    pub step: Step,
    /// Why.
    pub error: io::Error,
}

/// Room for the child's few frames until it has a stack of its own.
const STACK_WORDS: usize = 4096;
/// From here on programs and shells hardly ever choose the number of a descriptor themselves.
const HIGH: RawFd = 100;
const F_SETSIG: c_int = 10;

/// All that the child needs, prepared beforehand: it must not allocate.
struct Plan {
    path: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    directory: *const c_char,
    streams: [RawFd; 3],
    bond: RawFd,
    parent: libc::pid_t,
    mask: SignalSet,
    /// Written by the child: the step that failed and its error number.
    failed: Option<(Step, c_int)>,
}

/// Starts the program. The caller has to reap it.
///
/// It begins with no signal blocked or caught that the caller does not ignore itself; `SIGPIPE` and
/// `SIGXFSZ`, which language runtimes ignore for themselves, have their default meaning again.
///
/// The calling **thread** must live as long as the program is wanted: its end kills the program.
///
/// # Errors
/// [`LaunchError`], which tells the step; `NotFound` or `PermissionDenied` of [`Step::Execute`] when the
/// file cannot be executed.
pub fn launch(what: &Launch<'_>) -> Result<Launched, LaunchError> {
    let at_start = |error| LaunchError { step: Step::Start, error };
    let argv = pointers(what.arguments);
    let envp = pointers(what.environment);
    let bond = Bond::new(what.lifeline).map_err(at_start)?;
    let mut stack: Vec<u128> = Vec::with_capacity(STACK_WORDS);
    let mut pidfd: c_int = -1;
    // No handler of the caller may run in the child, with which it shares its memory.
    let mask = signal::block(&SignalSet::all());
    let mut plan = Plan {
        path: what.path.as_ptr(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        directory: what.directory.map_or(ptr::null(), CStr::as_ptr),
        streams: what.streams.map(|fd| fd.as_raw_fd()),
        bond: bond.0.as_raw_fd(),
        parent: rustix::process::getpid().as_raw_pid(),
        mask: SignalSet::of(&[]),
        failed: None,
    };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: this thread sleeps until the child has executed the program or ended, so the plan, what it
    // points to and the stack (whose end is aligned) outlive the child's use of them; the child touches
    // nothing else, calls only what is safe after a fork, and no signal handler runs in it. If this
    // process dies meanwhile, the child shares its memory a moment longer and is killed by its lifeline;
    // if the child dies, this thread goes on.
    let pid = unsafe {
        libc::clone(
            child,
            stack.as_mut_ptr().add(STACK_WORDS).cast(),
            flags,
            (&raw mut plan).cast(),
            &raw mut pidfd,
        )
    };
    let error = io::Error::last_os_error();
    signal::set_mask(&mask);
    if pid == -1 {
        return Err(at_start(error));
    }
    let pid = pid.cast_unsigned();
    // SAFETY: the kernel has just made it for this call.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: the child, which wrote there, is gone or runs its program; the compiler is told to look.
    match unsafe { ptr::read_volatile(&raw const plan.failed) } {
        None => Ok(Launched { pid, pidfd, bond }),
        Some((step, number)) => {
            let _ = crate::wait::reap_blocking(pid);
            Err(LaunchError { step, error: io::Error::from_raw_os_error(number) })
        }
    }
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

extern "C" fn child(plan: *mut c_void) -> c_int {
    let plan: *mut Plan = plan.cast();
    // SAFETY: the plan of `launch`, whose thread sleeps; system calls that allocate nothing.
    unsafe {
        let failed = become_job(&*plan);
        let number = *libc::__errno_location();
        ptr::write_volatile(&raw mut (*plan).failed, Some((failed, number)));
        127
    }
}

/// Returns only if something failed: which step.
///
/// # Safety
/// Only in the child of [`launch`], whose plan it is.
unsafe fn become_job(plan: &Plan) -> Step {
    // SAFETY: as above.
    unsafe {
        if libc::setpgid(0, 0) == -1 || !die_with_parent(plan) {
            return Step::Prepare;
        }
        reset_signals();
        for (number, &fd) in (0..).zip(&plan.streams) {
            // A stream that is its own source must not be closed on exec.
            let done = if fd == number {
                libc::fcntl(fd, libc::F_SETFD, 0)
            } else {
                libc::dup2(fd, number)
            };
            if done == -1 {
                return Step::Prepare;
            }
        }
        if !plan.directory.is_null() && libc::chdir(plan.directory) == -1 {
            return Step::Directory;
        }
        signal::set_mask(&plan.mask);
        libc::execve(plan.path, plan.argv, plan.envp);
        Step::Execute
    }
}

/// Binds this process and its group to the parent's life.
///
/// # Safety
/// As for [`become_job`].
unsafe fn die_with_parent(plan: &Plan) -> bool {
    // SAFETY: as above.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == -1 {
            return false;
        }
        if libc::fcntl(plan.bond, libc::F_SETOWN, -libc::getpid()) == -1 {
            return false;
        }
        // The parent may have gone before that.
        if libc::getppid() != plan.parent {
            libc::kill(libc::getpid(), libc::SIGKILL);
        }
        // The original closes itself when the program is executed.
        [HIGH, 10].into_iter().any(|from| libc::fcntl(plan.bond, libc::F_DUPFD, from) != -1)
    }
}

/// Leaves no handler of the caller, which the child must not run, nor what runtimes ignore.
///
/// # Safety
/// As for [`become_job`].
unsafe fn reset_signals() {
    for number in 1..=64 {
        // SAFETY: the dispositions are the child's own copy.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(number, ptr::null(), &raw mut action) == -1 {
                continue;
            }
            let ignored = action.sa_sigaction == libc::SIG_IGN;
            let by_runtimes = matches!(number, libc::SIGPIPE | libc::SIGXFSZ);
            if action.sa_sigaction != libc::SIG_DFL && (!ignored || by_runtimes) {
                action = std::mem::zeroed();
                libc::sigaction(number, &raw const action, ptr::null_mut());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;
    use crate::death;
    use crate::fork::run_in_child;
    use crate::wait::{ExitStatus, reap_blocking};

    fn shell(
        line: &str,
        output: BorrowedFd<'_>,
        directory: Option<&CStr>,
    ) -> Result<Launched, LaunchError> {
        let null = File::open("/dev/null").unwrap();
        let arguments = [c"sh".to_owned(), c"-c".to_owned(), CString::new(line).unwrap()];
        let environment = [c"PATH=/usr/bin:/bin".to_owned(), c"GREETING=hello".to_owned()];
        launch(&Launch {
            path: c"/bin/sh",
            arguments: &arguments,
            environment: &environment,
            directory,
            streams: [null.as_fd(), output, output],
            lifeline: death::lifeline().unwrap(),
        })
    }

    #[test]
    fn a_job_has_its_own_streams_directory_environment_and_group() {
        let (read, write) = crate::pipe::pair().unwrap();
        let job =
            shell("echo $GREETING; pwd; ps -o pgid= -p $$ || echo $$", write.as_fd(), Some(c"/"))
                .unwrap();
        drop(write);
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        assert_eq!(reap_blocking(job.pid).unwrap(), ExitStatus::Code(0));
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(words, ["hello", "/", &job.pid.to_string()]);
    }

    #[test]
    fn a_failure_names_its_step() {
        let null = File::create("/dev/null").unwrap();
        let failed = shell("true", null.as_fd(), Some(c"/no/such/folder")).unwrap_err();
        assert_eq!((failed.step, failed.error.kind()), (Step::Directory, io::ErrorKind::NotFound));
        let arguments = [c"x".to_owned()];
        let nowhere = Launch {
            path: c"/no/such/program",
            arguments: &arguments,
            environment: &[],
            directory: None,
            streams: [null.as_fd(); 3],
            lifeline: death::lifeline().unwrap(),
        };
        let failed = launch(&nowhere).unwrap_err();
        assert_eq!((failed.step, failed.error.kind()), (Step::Execute, io::ErrorKind::NotFound));
    }

    /// The whole group holds the pipe; it ends for the reader once all of them are dead.
    #[test]
    fn a_killed_parent_takes_the_whole_group_along() {
        let (read, write) = crate::pipe::pair().unwrap();
        let parent = run_in_child(|| {
            let job = shell("sleep 600 & sleep 600 & echo x; sleep 600", write.as_fd(), None);
            if job.is_err() {
                return 1;
            }
            loop {
                std::thread::park();
            }
        })
        .unwrap();
        drop(write);
        let mut byte = [0u8; 2];
        let mut read = File::from(read);
        read.read_exact(&mut byte).unwrap();
        crate::proc::kill(parent, signal::SIGKILL);
        assert_eq!(reap_blocking(parent).unwrap(), ExitStatus::Signal(9));
        assert_eq!(read.read(&mut byte).unwrap(), 0, "nobody has the pipe any more");
    }
}
