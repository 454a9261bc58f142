//! How a process for one task is made.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use phalanx_os::surroundings::Stream;
use phalanx_shm::family::Family;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::birth::{self, Birth, STREAMS, Surroundings};
use super::error::StartError;
use super::method::{Given, StartMethod, start_fresh};
use super::report::Report;
use super::running::Process;
use super::stdio::{self, Ends, Stdio, settled};
use super::{Reservation, fork};
use crate::entry::Role;
use crate::task::{Function, encode_result};
use crate::wire::{self, tickets::Watch};

/// How a process is to be started.
///
/// ```
/// use std::io::Read;
/// use phalanx::process::{Process, StartMethod, Stdio};
///
/// #[phalanx::task]
/// fn greet(whom: String) -> usize {
///     println!("hello, {whom}, from {}", std::env::var("PLACE").unwrap_or_default());
///     whom.len()
/// }
///
/// let mut process = Process::builder()
///     .name("greeter")
///     .method(StartMethod::Fork)
///     .stdout(Stdio::piped())
///     .env("PLACE", "here")
///     .current_dir("/")
///     .start(greet::task(), "world".to_owned())?;
/// let mut text = String::new();
/// process.take_stdout().expect("it is piped").read_to_string(&mut text)?;
/// assert_eq!(text, "hello, world, from here\n");
/// assert_eq!(process.join()?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "`start` or `fork` starts the process"]
pub struct Builder {
    method: Option<StartMethod>,
    daemon: bool,
    streams: [Stdio; 3],
    surroundings: Surroundings,
}

impl Builder {
    /// A process by the default method, with the standard streams of this one.
    ///
    /// ```
    /// use phalanx::process::Builder;
    ///
    /// let process = Builder::new().fork(|| 6 * 7)?;
    /// assert_eq!(process.join()?, 42);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The process's name, for errors and for `ps`, which shows the first 15 bytes. If it is not given
    /// there is one with a number.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::builder().name("counter").fork(|| -> u64 { panic!("no luck") })?;
    /// assert!(process.join().unwrap_err().to_string().contains("counter"));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.surroundings.name = name.into();
        self
    }

    /// How it begins; see [`StartMethod`] for the default.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// #[phalanx::task]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// #[phalanx::main]
    /// fn main() -> Result<(), phalanx::Error> {
    ///     let process = Process::builder().method(StartMethod::Spawn).start(square::task(), 7)?;
    ///     assert_eq!(process.join()?, 49);
    ///     Ok(())
    /// }
    /// ```
    pub fn method(mut self, method: StartMethod) -> Self {
        self.method = Some(method);
        self
    }

    /// Whether nobody has to wait for it: a daemon's [`Process`] can be dropped while it runs, and it
    /// goes on in the background until it or this process ends. Dropping that of any other process waits
    /// for its end.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let beats = Value::new(0u64)?;
    /// let watcher = Process::builder().daemon(true).fork(|| -> () {
    ///     loop {
    ///         beats.fetch_add(1);
    ///         std::thread::sleep(std::time::Duration::from_millis(1));
    ///     }
    /// })?;
    /// assert!(watcher.is_daemon());
    /// drop(watcher); // does not wait: it goes on until this process ends
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.daemon = daemon;
        self
    }

    /// What its standard input is.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// // There is nothing to be read:
    /// let process = Process::builder().stdin(Stdio::null()).fork(|| {
    ///     let mut line = String::new();
    ///     std::io::stdin().read_line(&mut line).ok()
    /// })?;
    /// assert_eq!(process.join()?, Some(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stdin(mut self, stdio: Stdio) -> Self {
        self.streams[0] = stdio;
        self
    }

    /// Where its standard output goes.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// # let path = std::env::temp_dir().join(format!("phalanx-doc-stdout-{}", std::process::id()));
    /// let file = std::fs::File::create(&path)?;
    /// Process::builder().stdout(file.into()).fork(|| println!("hello"))?.join()?;
    /// assert_eq!(std::fs::read(&path)?, b"hello\n");
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stdout(mut self, stdio: Stdio) -> Self {
        self.streams[1] = stdio;
        self
    }

    /// Where its standard error goes.
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
    pub fn stderr(mut self, stdio: Stdio) -> Self {
        self.streams[2] = stdio;
        self
    }

    /// Sets a variable of its environment.
    ///
    /// The environment is changed before the task begins, but after the process has: what reads
    /// variables earlier, as the dynamic loader does, sees those of this process.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::builder().env("PLACE", "here").fork(|| std::env::var("PLACE").ok())?;
    /// assert_eq!(process.join()?.as_deref(), Some("here"));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let variable = (name.as_ref().to_owned(), Some(value.as_ref().to_owned()));
        self.surroundings.variables.push(variable);
        self
    }

    /// Removes a variable from its environment.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::builder().env_remove("PATH").fork(|| std::env::var("PATH").is_err())?;
    /// assert!(process.join()? && std::env::var("PATH").is_ok());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.surroundings.variables.push((name.as_ref().to_owned(), None));
        self
    }

    /// Begins with an empty environment instead of this process's. What was set before is forgotten.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::builder().env_clear().env("ONE", "1").fork(|| std::env::vars().count())?;
    /// assert_eq!(process.join()?, 1);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn env_clear(mut self) -> Self {
        self.surroundings.clear = true;
        self.surroundings.variables.clear();
        self
    }

    /// The directory that it works in; this process's if it is not given.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::builder().current_dir("/").fork(|| std::env::current_dir().ok())?;
    /// assert_eq!(process.join()?.as_deref(), Some("/".as_ref()));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.surroundings.directory = Some(directory.as_ref().as_os_str().to_owned());
        self
    }

    /// Starts the process: it runs the function with the argument and ends.
    ///
    /// With `Fork` the argument is the caller's own value in the child's copy of the memory; otherwise
    /// it travels encoded. Handles of shared objects (queues, locks, values) can be among it: the child
    /// becomes a holder of them.
    ///
    /// # Errors
    /// [`StartError`]: the argument cannot be encoded, the method needs
    /// [`phalanx::init`](crate::init), or the kernel refuses another process, memory or a descriptor.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// #[phalanx::task]
    /// fn fill(results: Queue<u64>, count: u64) -> bool {
    ///     (0..count).all(|n| results.put(n * n).is_ok())
    /// }
    ///
    /// let results = Queue::unbounded()?;
    /// let process = Process::builder().name("filler").start(fill::task(), (results.clone(), 3))?;
    /// assert!(process.join()?);
    /// assert_eq!(results.drain().flatten().collect::<Vec<u64>>(), [0, 1, 4]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn start<A, R>(
        self,
        function: Function<A, R>,
        argument: A,
    ) -> Result<Process<R>, StartError>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let method = self.method.unwrap_or_default();
        if method == StartMethod::Fork {
            return self.fork(move || function.call(argument));
        }
        let task = function.registered();
        task.check().map_err(|unknown| StartError::Task(unknown.to_string()))?;
        method.check()?;

        let mut prepared = self.prepare()?;
        let reservation = Reservation::new()?;
        let mut payload = Role::Task.payload();
        let (streams, fds) = given(method, std::mem::take(&mut prepared.streams));
        if method == StartMethod::Zygote && prepared.surroundings.directory.is_none() {
            // The zygote's may be another.
            prepared.surroundings.directory =
                std::env::current_dir().ok().map(|directory| directory.into_os_string());
        }
        let birth = Birth {
            function: task.id(),
            report: prepared.report.offset(),
            surroundings: prepared.surroundings,
            streams,
        };
        let watch = Watch::begin();
        reservation.while_packing(|| {
            wire::encode(&birth, &mut payload)?;
            wire::encode(&argument, &mut payload)
        })?;
        if let Some(place) = reservation.place() {
            prepared.report.hold_for(place);
        }
        let child = start_fresh(method, reservation, &payload, &fds)?;
        watch.sent();
        let name = birth.surroundings.name;
        Ok(Process::new(child, name, prepared.daemon, prepared.report, prepared.ends))
    }

    /// Starts the process as a fork of this one, in which it runs the closure and ends.
    ///
    /// It has a copy of all memory of this process, but only the calling thread: `body` must not need a
    /// lock that another thread may be holding now.
    ///
    /// # Errors
    /// [`StartError::Method`] if the builder names another method; or the kernel's refusal of another
    /// process, memory or a descriptor.
    ///
    /// ```
    /// use phalanx::process::Process;
    ///
    /// let words = vec!["some", "words"];
    /// let process = Process::builder().name("counter").fork(|| words.len())?;
    /// assert_eq!(process.join()?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fork<R>(self, body: impl FnOnce() -> R) -> Result<Process<R>, StartError>
    where
        R: Serialize + DeserializeOwned,
    {
        if let Some(method) = self.method.filter(|method| *method != StartMethod::Fork) {
            return Err(StartError::Method(method));
        }
        let Prepared { report, surroundings, streams, ends, daemon } = self.prepare()?;
        let name = surroundings.name.clone();
        let ends = Cell::new(ends);
        let child = settled(|| {
            fork::run(|| {
                // The child's copies: with them it would wait for the end of its own input.
                drop(ends.take());
                birth::run(&report, surroundings, &streams, |out| encode_result(&body(), out))
            })
        })?;
        Ok(Process::new(child, name, daemon, report, ends.into_inner()))
    }

    fn prepare(self) -> Result<Prepared, StartError> {
        static STARTED: AtomicU64 = AtomicU64::new(1);
        let Self { daemon, streams, mut surroundings, .. } = self;
        if surroundings.name.is_empty() {
            let number = STARTED.fetch_add(1, Ordering::Relaxed);
            surroundings.name = format!("Process-{number}");
        }
        let report = Report::new(Family::get()?)?;
        let mut ends = Ends::default();
        let streams = stdio::open(streams, &mut ends)?;
        Ok(Prepared { report, surroundings, streams, ends, daemon })
    }
}

struct Prepared {
    report: Report,
    surroundings: Surroundings,
    streams: Vec<(Stream, OwnedFd)>,
    ends: Ends,
    daemon: bool,
}

/// What a fresh process is told of its standard streams, and the descriptors that it gets. A child of
/// the zygote would have the zygote's: it gets ours.
pub(crate) fn given(
    method: StartMethod,
    mut streams: Vec<(Stream, OwnedFd)>,
) -> (Vec<(u8, Given)>, Vec<OwnedFd>) {
    use std::os::fd::AsFd;
    if method == StartMethod::Zygote {
        let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        for (stream, own) in STREAMS.into_iter().zip([input.as_fd(), output.as_fd(), error.as_fd()])
        {
            if !streams.iter().any(|(replaced, _)| *replaced == stream)
                && let Ok(own) = own.try_clone_to_owned()
            {
                streams.push((stream, own));
            }
        }
    }
    let number = |stream| STREAMS.iter().position(|known| *known == stream).unwrap_or(0) as u8;
    let told = streams.iter().enumerate();
    let told =
        told.map(|(nth, (stream, fd))| (number(*stream), Given::of(method, nth, fd))).collect();
    (told, streams.into_iter().map(|(_, fd)| fd).collect())
}
