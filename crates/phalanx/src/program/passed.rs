//! What an object is called on its way to another program.

use std::fmt;
use std::io;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::plain::Plain;
use crate::process::spawning_slot;
use crate::queue::{Queue, RawQueue};
use crate::sync::{Barrier, Event, RLock, RawLock, Semaphore};

/// What another program is told of an object: its kind, and where it lies in shared memory.
///
/// ```
/// use phalanx::program::Passed;
///
/// # fn main() -> Result<(), phalanx::Error> {
/// # let Ok(inherited) = phalanx::inherited() else {
/// #     let jobs = phalanx::Queue::<u64>::unbounded()?;
/// #     let mut program = phalanx::program::Program::new(std::env::current_exe()?);
/// #     program.pass("jobs", &jobs);
/// #     let status = program.start()?.wait(phalanx::Patience::forever())?;
/// #     assert_eq!(status, phalanx::process::ExitStatus::Code(0));
/// #     return Ok(());
/// # };
/// match phalanx::inherited()?.named("jobs")? {
///     Passed::Queue(_) => println!("a queue"),
///     other => panic!("{other} was passed"),
/// }
/// # assert!(matches!(inherited.named("jobs")?, Passed::Queue(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Passed {
    /// A queue.
    Queue(u64),
    /// A lock that any process may release.
    Lock(u64),
    /// A lock that its thread may take again.
    RLock(u64),
    /// A semaphore.
    Semaphore(u64),
    /// An event.
    Event(u64),
    /// A barrier.
    Barrier(u64),
    /// A number of the type with that [code](super::Number::CODES), and its lock.
    Value {
        /// Its memory.
        block: u64,
        /// The code of its type.
        code: char,
        /// Its lock.
        lock: Option<Box<Passed>>,
    },
    /// Numbers of the type with that code, and their lock.
    Array {
        /// Their memory.
        block: u64,
        /// The code of their type.
        code: char,
        /// How many there are.
        len: u64,
        /// Their lock.
        lock: Option<Box<Passed>>,
    },
    /// A plain value, which is copied.
    Plain(Plain),
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |code: char| super::number::name_of(code);
        match self {
            Self::Queue(_) => f.write_str("a queue"),
            Self::Lock(_) => f.write_str("a lock"),
            Self::RLock(_) => f.write_str("a re-entrant lock"),
            Self::Semaphore(_) => f.write_str("a semaphore"),
            Self::Event(_) => f.write_str("an event"),
            Self::Barrier(_) => f.write_str("a barrier"),
            Self::Value { code, .. } => write!(f, "a value of {}", name(*code)),
            Self::Array { code, len, .. } => write!(f, "an array of {len} {}", name(*code)),
            Self::Plain(value) => write!(f, "{} that is no shared object", value.kind()),
        }
    }
}

/// What can be passed to a [`Program`](super::Program): shared objects and plain values.
///
/// ```
/// use phalanx::prelude::*;
/// use phalanx::program::Program;
///
/// let (jobs, done) = (Queue::<u64>::unbounded()?, Event::new()?);
/// let mut program = Program::new("/bin/true");
/// program.pass("jobs", &jobs).pass("done", &done);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub trait Pass {
    /// Names the object for the process that is being started, and makes that a holder
    /// ([`spawning_slot`]).
    ///
    /// # Errors
    /// When it cannot be passed.
    ///
    /// ```
    /// use phalanx::plain::Plain;
    /// use phalanx::program::{Pass, Passed};
    ///
    /// /// A type of one's own is passed as what it is made of.
    /// struct Settings { limit: f64 }
    ///
    /// impl Pass for Settings {
    ///     fn passed(&self) -> std::io::Result<Passed> {
    ///         Plain::from(self.limit).passed()
    ///     }
    /// }
    /// assert_eq!(Settings { limit: 1.5 }.passed()?, Passed::Plain(Plain::Float(1.5)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn passed(&self) -> io::Result<Passed>;
}

impl Pass for RawQueue {
    fn passed(&self) -> io::Result<Passed> {
        if let Some(slot) = spawning_slot() {
            self.hold_for(slot);
        }
        Ok(Passed::Queue(self.offset()))
    }
}

impl<T, C> Pass for Queue<T, C> {
    fn passed(&self) -> io::Result<Passed> {
        self.raw().passed()
    }
}

macro_rules! pass {
    ($($type:ident: $variant:ident),*) => {
        $(impl Pass for $type {
            fn passed(&self) -> io::Result<Passed> {
                Ok(Passed::$variant(self.share()))
            }
        })*
    };
}

pass!(RawLock: Lock, RLock: RLock, Semaphore: Semaphore, Event: Event, Barrier: Barrier);

impl Pass for Plain {
    fn passed(&self) -> io::Result<Passed> {
        // What is wrong with it is to be known now.
        crate::plain::encode(self, &mut Vec::new()).map_err(io::Error::other)?;
        Ok(Passed::Plain(self.clone()))
    }
}

/// All of them, as a map in order.
pub(super) struct Named(pub(super) Vec<(String, Passed)>);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, passed)| map.serialize_entry(name, passed))?;
        map.end()
    }
}
