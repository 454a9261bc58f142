//! Other programs as child processes, which use the same shared objects.
//!
//! A [`Program`] is an executable file, written in whatever language has a front door to the engine. It
//! is started with objects by name: queues, locks, semaphores, events, barriers, values and arrays, and
//! [plain values](crate::plain). In the child, [`inherited()`] has them under the same names.
//!
//! ```
//! use phalanx::program::{Program, Synchronized};
//! use phalanx::plain::{Plain, PlainFormat};
//! use phalanx::{Patience, Queue};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if let Ok(inherited) = phalanx::inherited() {
//! #     let (number, _name) = inherited.queue::<(u32, String)>("jobs")?.take()?;
//! #     inherited.value::<i64>("total")?.update(|total| total + i64::from(number));
//! #     return Ok(());
//! # }
//! # let worker = std::env::current_exe()?;
//! // In the parent, which knows the path of the worker's file:
//! let jobs = Queue::<(u32, String)>::unbounded()?.with_codec::<PlainFormat>();
//! let total = Synchronized::new(0i64)?;
//! let mut program = Program::new(worker);
//! program.arg("--verbose").pass("jobs", &jobs).pass("total", &total);
//! let child = program.pass("limit", &Plain::from(1.5)).start()?;
//! jobs.put((1, "one".to_owned()))?;
//! child.wait(Patience::forever())?;
//! assert_eq!(total.get(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! ```
//! // In the child:
//! #[phalanx::main]
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     # let Ok(inherited) = phalanx::inherited() else {
//!     #     use phalanx::plain::{Plain, PlainFormat};
//!     #     let jobs = phalanx::Queue::<(u32, String)>::unbounded()?.with_codec::<PlainFormat>();
//!     #     jobs.put((1, "one".to_owned()))?;
//!     #     let total = phalanx::program::Synchronized::new(0i64)?;
//!     #     let limit = Plain::from(1.5);
//!     #     let mut program = phalanx::program::Program::new(std::env::current_exe()?);
//!     #     program.pass("jobs", &jobs);
//!     #     program.pass("total", &total);
//!     #     program.pass("limit", &limit);
//!     #     let status = program.start()?.wait(phalanx::Patience::forever())?;
//!     #     assert_eq!(status, phalanx::process::ExitStatus::Code(0));
//!     #     return Ok(());
//!     # };
//!     let inherited = phalanx::inherited()?;
//!     let jobs = inherited.queue::<(u32, String)>("jobs")?;
//!     let total = inherited.value::<i64>("total")?;
//!     let limit: f64 = inherited.plain("limit")?;
//!     let (number, name) = jobs.take()?;
//!     total.update(|total| total + i64::from(number));
//!     Ok(())
//! }
//! ```
//!
//! The child belongs to its parent's family. It dies with its parent, as soon as it has called
//! [`phalanx::init`](crate::init), which `#[phalanx::main]` does first. Until then it is a process as any
//! other: one that never calls it is nobody's child but the kernel's, and Ctrl-C is not heard by it.
//!
//! | a process dies | what the others see |
//! |---|---|
//! | the parent | the child is killed with it |
//! | the child, before it has joined the family | its sentinel; its share of the objects is given up |
//! | the child, later | what every object of this crate promises for the death of a process |

mod error;
mod inherited;
mod number;
mod passed;
mod synchronized;

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use error::InheritError;
pub use inherited::{Inherited, inherited};
pub use number::Number;
pub use passed::{Pass, Passed};
pub use synchronized::{AnyGuard, AnyLock, Synchronized, SynchronizedArray};

use crate::entry::{CHILD, Role};
use crate::plain;
use crate::process::{Child, Reservation, spawn};

/// A program to be started as a child process, and what it is given.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::process::ExitStatus;
/// use phalanx::program::Program;
///
/// // Any program can be started; one that knows phalanx finds what it was passed.
/// let mut program = Program::new("sh");
/// program.arg("-c").arg("exit 3");
/// assert_eq!(program.start()?.wait(Patience::forever())?, ExitStatus::Code(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "`start` starts the program"]
pub struct Program<'a> {
    path: PathBuf,
    arguments: Vec<OsString>,
    passed: Vec<(String, &'a dyn Pass)>,
}

impl<'a> Program<'a> {
    /// The program in the file `path`; a name without a slash is looked for along `PATH`.
    ///
    /// ```
    /// use phalanx::program::Program;
    ///
    /// assert!(Program::new("true").start().is_ok());
    /// let error = Program::new("/no/such/program").start().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), arguments: Vec::new(), passed: Vec::new() }
    }

    /// Adds an argument.
    ///
    /// ```
    /// use phalanx::{Patience, process::ExitStatus, program::Program};
    ///
    /// let mut program = Program::new("sh");
    /// program.arg("-c").arg("exit 7");
    /// assert_eq!(program.start()?.wait(Patience::forever())?, ExitStatus::Code(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Passes an object under a name. Of several objects with one name the last counts.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::program::{Program, Synchronized};
    ///
    /// let (jobs, total) = (Queue::<String>::unbounded()?, Synchronized::new(0i64)?);
    /// let mut program = Program::new("true"); // one that knows phalanx asks for them by these names
    /// program.pass("jobs", &jobs).pass("total", &total);
    /// assert!(program.start().is_ok());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn pass(&mut self, name: impl Into<String>, object: &'a dyn Pass) -> &mut Self {
        self.passed.push((name.into(), object));
        self
    }

    /// Starts the program, with this one's environment, working directory and standard streams. Behind
    /// the arguments it gets one more, which tells it where to find what it was passed; [`args`] leaves
    /// that out.
    ///
    /// # Errors
    /// When the file cannot be executed, an argument contains a zero byte, an object cannot be passed,
    /// or the kernel refuses another process, memory or a descriptor.
    ///
    /// ```
    /// use phalanx::{Patience, process::ExitStatus, program::Program};
    ///
    /// let program = Program::new("false");
    /// let (one, other) = (program.start()?, program.start()?); // as often as one likes
    /// assert_eq!(one.wait(Patience::forever())?, ExitStatus::Code(1));
    /// assert_eq!(other.wait(Patience::forever())?, ExitStatus::Code(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(&self) -> io::Result<Child> {
        self.pack()?.start()
    }

    /// Does all of [`Program::start`] that looks at the passed objects.
    ///
    /// # Errors
    /// As for [`Program::start`].
    ///
    /// ```
    /// use phalanx::{Patience, prelude::*, program::Program};
    ///
    /// let (jobs, mut program) = (Queue::<u64>::unbounded()?, Program::new("true"));
    /// let packed = program.pass("jobs", &jobs).pack()?;
    /// drop(jobs); // the program has its own share of it by now
    /// packed.start()?.wait(Patience::forever())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pack(&self) -> io::Result<Packed> {
        let path = zeroless(found(&self.path)?.as_os_str())?;
        let name = zeroless(self.path.as_os_str())?;
        let arguments = self.arguments.iter().map(|argument| zeroless(argument));
        let arguments = std::iter::once(Ok(name)).chain(arguments).collect::<io::Result<_>>()?;
        let place = Reservation::new()?;
        let mut payload = Role::Program.payload();
        place.while_packing(|| {
            let one = |(name, object): &(String, &dyn Pass)| Ok((name.clone(), object.passed()?));
            let all = self.passed.iter().map(one).collect::<io::Result<Vec<_>>>()?;
            plain::encode_from(&passed::Named(all), &mut payload).map_err(io::Error::other)
        })?;
        Ok(Packed { path, arguments, payload, place })
    }
}

impl fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.passed.iter().map(|(name, _)| name).collect();
        f.debug_struct("Program").field("path", &self.path).field("passed", &names).finish()
    }
}

/// A program that is ready to be started, with its place among the processes of the family.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::program::Program;
///
/// let packed = Program::new("true").pack()?;
/// packed.start()?.wait(Patience::forever())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Packed {
    path: CString,
    arguments: Vec<CString>,
    payload: Vec<u8>,
    place: Reservation,
}

impl Packed {
    /// Starts the program.
    ///
    /// # Errors
    /// As for [`Program::start`].
    ///
    /// ```
    /// use phalanx::{Patience, process::ExitStatus, program::Program};
    ///
    /// let packed = Program::new("true").pack()?;
    /// // Without a look at the passed objects, as in another thread:
    /// let child = std::thread::spawn(move || packed.start()).join().expect("no panic")?;
    /// assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(self) -> io::Result<Child> {
        let arguments = |fd: RawFd| {
            let mut all = self.arguments.clone();
            all.push(CString::new(format!("{CHILD}{fd}")).unwrap_or_default());
            all
        };
        let program = spawn::Program { path: &self.path, arguments: &arguments };
        spawn::spawn_other(&program, self.place, &self.payload)
    }
}

/// The arguments of this process without the one by which phalanx tells it what it was passed: for
/// programs that read their arguments by a library.
///
/// ```
/// assert_eq!(phalanx::program::args().count(), std::env::args_os().count());
/// ```
pub fn args() -> impl Iterator<Item = OsString> {
    let ours = |argument: &OsString| argument.as_bytes().starts_with(CHILD.as_bytes());
    env::args_os().filter(move |argument| !ours(argument))
}

fn found(path: &Path) -> io::Result<PathBuf> {
    if path.as_os_str().as_bytes().contains(&b'/') {
        return Ok(path.to_owned());
    }
    let places = env::var_os("PATH").unwrap_or_default();
    let mut files = env::split_paths(&places).map(|place| place.join(path));
    files.find(|file| file.is_file()).ok_or_else(|| {
        let text = format!("cannot execute {}: no directory of PATH has it", path.display());
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

fn zeroless(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| {
        let text = format!("cannot start a program with a zero byte in {}", text.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}
