//! A process that runs one task, as the one that started it holds it.

use std::io::{self, PipeReader, PipeWriter};
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_os::per_process::PerProcess;
use phalanx_os::wait::ExitStatus;
use phalanx_shm::patience::Patience;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::builder::Builder;
use super::error::{ProcessError, StartError};
use super::report::{Kind, Report};
use super::stdio::Ends;
use super::{Child, WaitError};
use crate::task::Function;
use crate::wire;

/// A process that runs a function and then ends; its result, or what became of it, comes back by
/// [`Process::join`].
///
/// ```
/// use phalanx::process::{Process, ProcessError};
///
/// #[phalanx::task]
/// fn divide(a: u64, b: u64) -> u64 {
///     a / b
/// }
///
/// let process = Process::start(divide::task(), (84, 2))?;
/// assert_eq!(process.join()?, 42);
///
/// let error = Process::start(divide::task(), (1, 0))?.join().unwrap_err();
/// assert!(error.to_string().contains("attempt to divide by zero"));
/// assert!(matches!(error, ProcessError::Panicked { panic, .. } if panic.location().is_some()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What happens when a process dies
///
/// Killed at any moment, it is an error of `join` that says how it ended; what it held of shared objects
/// is repaired as for any other process. If the process that started it dies, it is killed too.
///
/// Dropping a `Process` waits for its end, unless it is a [daemon](Builder::daemon); while the thread
/// panics it is killed instead.
#[derive(Debug)]
#[must_use = "dropping it waits for the process"]
pub struct Process<R> {
    child: Option<Child>,
    name: String,
    daemon: bool,
    report: Report,
    ends: Ends,
    result: PhantomData<fn() -> R>,
}

impl Process<()> {
    /// How to start a process that is to be other than [`Process::start`] makes it.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::builder().name("adder").env("LANG", "C").fork(|| 1 + 1)?;
    /// assert_eq!(process.name(), "adder");
    /// assert_eq!(process.join()?, 2);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Starts a process that runs the function with the argument, by the
    /// [default method](super::StartMethod).
    ///
    /// # Errors
    /// As for [`Builder::start`].
    ///
    /// ```
    /// #[phalanx::task]
    /// fn area(width: u64, height: u64) -> u64 {
    ///     width * height
    /// }
    ///
    /// let process = phalanx::Process::start(area::task(), (3, 4))?;
    /// assert_eq!(process.join()?, 12);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn start<A, R>(function: Function<A, R>, argument: A) -> Result<Process<R>, StartError>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Builder::new().start(function, argument)
    }

    /// Starts a process as a fork of this one that runs the closure.
    ///
    /// # Errors
    /// As for [`Builder::fork`].
    ///
    /// ```
    /// let numbers = vec![1, 2, 3]; // the child has a copy
    /// let process = phalanx::Process::fork(|| numbers.iter().sum::<u64>())?;
    /// assert_eq!(process.join()?, 6);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn fork<R>(body: impl FnOnce() -> R) -> Result<Process<R>, StartError>
    where
        R: Serialize + DeserializeOwned,
    {
        Builder::new().fork(body)
    }
}

impl<R> Process<R> {
    pub(super) fn new(
        child: Child,
        name: String,
        daemon: bool,
        report: Report,
        ends: Ends,
    ) -> Self {
        sweep_up();
        Self { child: Some(child), name, daemon, report, ends, result: PhantomData }
    }

    fn child(&self) -> &Child {
        // Taken out by `drop` alone.
        self.child.as_ref().unwrap_or_else(|| unreachable!("the process is being dropped"))
    }

    /// The process id.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::fork(|| std::process::id())?;
    /// let pid = process.pid();
    /// assert_eq!(process.join()?, pid);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child().pid()
    }

    /// The process's name.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::builder().name("counter").fork(|| 0)?;
    /// assert_eq!(process.name(), "counter");
    /// # process.join()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a [daemon](Builder::daemon).
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::fork(|| 0)?;
    /// let daemon = Process::builder().daemon(true).fork(|| 0)?;
    /// assert!(daemon.is_daemon() && !process.is_daemon());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub const fn is_daemon(&self) -> bool {
        self.daemon
    }

    /// How it ended; `None` while it runs. Does not wait.
    ///
    /// # Errors
    /// The kernel's refusal.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// use phalanx::prelude::*;
    /// use phalanx::process::wait_readable;
    ///
    /// let process = Process::fork(|| -> u64 { std::process::exit(3) })?;
    /// wait_readable(process.as_fd(), Patience::forever())?; // its end, however it comes
    /// assert_eq!(process.exit_status()?, Some(ExitStatus::Code(3)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit_status(&self) -> io::Result<Option<ExitStatus>> {
        self.child().try_status()
    }

    /// Whether it has not ended yet.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let gate = Event::new()?;
    /// let process = Process::fork(|| gate.wait())?;
    /// assert!(process.is_running());
    /// gate.set();
    /// process.join()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.exit_status(), Ok(None))
    }

    /// Asks it to end: `SIGTERM`. Does nothing if it has ended.
    ///
    /// # Errors
    /// `PermissionDenied` when it runs as another user by now.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::fork(|| std::thread::sleep(std::time::Duration::from_secs(600)))?;
    /// process.terminate()?;
    /// let died = process.join();
    /// assert!(matches!(died, Err(ProcessError::Died { status: ExitStatus::Signal(15), .. })));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn terminate(&self) -> io::Result<()> {
        self.child().terminate()
    }

    /// Ends it at once: `SIGKILL`. Does nothing if it has ended.
    ///
    /// # Errors
    /// As for [`Process::terminate`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::fork(|| std::thread::sleep(std::time::Duration::from_secs(600)))?;
    /// process.kill()?;
    /// let died = process.join();
    /// assert!(matches!(died, Err(ProcessError::Died { status: ExitStatus::Signal(9), .. })));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn kill(&self) -> io::Result<()> {
        self.child().kill()
    }

    /// Our end of its standard input, if that is [piped](super::Stdio::piped) and was not taken before.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use phalanx::process::{Process, Stdio};
    ///
    /// let mut process = Process::builder().stdin(Stdio::piped()).fork(|| {
    ///     let mut text = String::new();
    ///     std::io::stdin().read_to_string(&mut text).map_or(0, |_| text.len())
    /// })?;
    /// process.take_stdin().expect("it is piped").write_all(b"hello")?;
    /// assert_eq!(process.join()?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_stdin(&mut self) -> Option<PipeWriter> {
        self.ends.input.take()
    }

    /// Our end of its standard output, if that is [piped](super::Stdio::piped) and was not taken before.
    ///
    /// ```
    /// use std::io::Read;
    /// use phalanx::prelude::*;
    ///
    /// let mut process = Process::builder().stdout(Stdio::piped()).fork(|| println!("hello"))?;
    /// let mut text = String::new();
    /// process.take_stdout().expect("it is piped").read_to_string(&mut text)?;
    /// assert_eq!(text, "hello\n");
    /// assert!(process.take_stdout().is_none(), "it was taken before");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_stdout(&mut self) -> Option<PipeReader> {
        self.ends.output.take()
    }

    /// Our end of its standard error, if that is [piped](super::Stdio::piped) and was not taken before.
    ///
    /// ```
    /// use std::io::Read;
    /// use phalanx::prelude::*;
    ///
    /// let mut process = Process::builder().stderr(Stdio::piped()).fork(|| eprintln!("oh"))?;
    /// let mut text = String::new();
    /// process.take_stderr().expect("it is piped").read_to_string(&mut text)?;
    /// assert_eq!(text, "oh\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_stderr(&mut self) -> Option<PipeReader> {
        self.ends.error.take()
    }

    /// Waits for its end, with the descriptor of its standard input closed if nobody has taken it.
    fn wait(&mut self, patience: Patience<'_>) -> Result<ExitStatus, WaitError> {
        drop(self.ends.input.take());
        self.child().wait(patience)
    }
}

impl<R: DeserializeOwned> Process<R> {
    /// Waits for its end and returns what its function returned.
    ///
    /// # Errors
    /// [`ProcessError`]: the function panicked, the process died, or its result cannot be sent.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::fork(|| -> u64 { panic!("no luck") })?;
    /// let error = process.join().unwrap_err();
    /// assert!(error.to_string().contains("no luck"));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn join(mut self) -> Result<R, ProcessError> {
        loop {
            match self.wait(Patience::forever()) {
                Ok(status) => return self.result(status),
                Err(WaitError::Io(e)) => return Err(ProcessError::Io(e)),
                // Without a deadline nobody gives up.
                Err(WaitError::GaveUp(_)) => {}
            }
        }
    }

    /// Waits for its end for so long at most, and returns what its function returned.
    ///
    /// # Errors
    /// The process itself if it still runs then; inside, as for [`Process::join`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::process::Process;
    ///
    /// let process = Process::fork(|| std::thread::sleep(Duration::from_secs(600)))?;
    /// let process = process.join_timeout(Duration::from_millis(10)).unwrap_err();
    /// process.kill()?;
    /// assert!(process.join().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_timeout(mut self, timeout: Duration) -> Result<Result<R, ProcessError>, Self> {
        match self.wait(Patience::timeout(Some(timeout))) {
            Ok(status) => Ok(self.result(status)),
            Err(WaitError::Io(e)) => Ok(Err(ProcessError::Io(e))),
            Err(WaitError::GaveUp(_)) => Err(self),
        }
    }

    /// Waits for its end until `deadline`, and returns what its function returned.
    ///
    /// # Errors
    /// As for [`Process::join_timeout`].
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use phalanx::prelude::*;
    ///
    /// let processes = [Process::fork(|| 1)?, Process::fork(|| 2)?];
    /// let deadline = Instant::now() + Duration::from_secs(60);
    /// for process in processes {
    ///     match process.join_deadline(deadline) {
    ///         Ok(result) => assert!(result? > 0),
    ///         Err(late) => late.kill()?,
    ///     }
    /// }
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn join_deadline(
        self,
        deadline: impl Into<Deadline>,
    ) -> Result<Result<R, ProcessError>, Self> {
        self.join_timeout(deadline.into().remaining())
    }

    fn result(&self, status: ExitStatus) -> Result<R, ProcessError> {
        let name = self.name.clone();
        let Some((kind, bytes, beside)) = self.report.read() else {
            let memory = self.child().footprint();
            return Err(ProcessError::Died { name, pid: self.pid(), status, memory });
        };
        let reason = || String::from_utf8_lossy(&bytes).into_owned();
        match kind {
            Kind::Value => wire::apart::open(&bytes, beside)
                .map_err(|error| ProcessError::Undecodable { name, error }),
            Kind::Panicked => match wire::decode(&bytes) {
                Ok(panic) => Err(ProcessError::Panicked { name, panic }),
                Err(error) => Err(ProcessError::Undecodable { name, error }),
            },
            Kind::Argument => Err(ProcessError::Argument { reason: reason(), name }),
            Kind::Result => Err(ProcessError::Unsendable { reason: reason(), name }),
            Kind::Surroundings => Err(ProcessError::NotBegun { reason: reason(), name }),
        }
    }
}

/// The sentinel: readable once the process has ended.
impl<R> AsFd for Process<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.child().sentinel()
    }
}

impl<R> Drop for Process<R> {
    fn drop(&mut self) {
        drop(self.ends.input.take());
        let Some(child) = self.child.take() else { return };
        if self.daemon {
            if !matches!(child.try_status(), Ok(Some(_))) {
                left_alone().push(child);
            }
            return;
        }
        if std::thread::panicking() {
            // Who knows whether it would ever end without what this thread was about to do.
            let _ = child.kill();
        }
        // What the kernel refuses to tell cannot be waited for.
        let _ = child.wait(Patience::forever());
    }
}

/// Daemons that nobody holds: each start collects those that have ended.
static LEFT_ALONE: PerProcess<Mutex<Vec<Child>>> = PerProcess::new();

fn left_alone() -> std::sync::MutexGuard<'static, Vec<Child>> {
    LEFT_ALONE.get_or_make(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn sweep_up() {
    if LEFT_ALONE.get().is_some() {
        left_alone().retain(|child| !matches!(child.try_status(), Ok(Some(_))));
    }
}
