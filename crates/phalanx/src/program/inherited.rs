//! What this program was passed when it was started.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use super::{AnyLock, InheritError, Number, Passed, Synchronized, SynchronizedArray};
use crate::entry;
use crate::plain::{self, Plain, PlainFormat};
use crate::queue::Queue;
use crate::sync::{Barrier, Event, RLock, RawLock, Semaphore};

/// What the program that started this one passed to it.
///
/// Calls [`phalanx::init`](crate::init) if that has not been done; do so first in `main`, best by
/// `#[phalanx::main]`, since from then on this process dies with its parent.
///
/// # Errors
/// [`InheritError::Nothing`] when this process was not started as a [`Program`](super::Program) of
/// phalanx, [`InheritError::Plain`] when what it was told makes no sense.
///
/// ```
/// use phalanx::program::InheritError;
///
/// fn main() {
///     // This one was started by hand.
///     assert!(matches!(phalanx::inherited(), Err(InheritError::Nothing)));
/// }
/// ```
pub fn inherited() -> Result<&'static Inherited, InheritError> {
    static ALL: OnceLock<Result<Inherited, InheritError>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let payload = entry::passed().ok_or(InheritError::Nothing)?;
        Ok(Inherited(plain::decode_into(payload, &[])?))
    });
    all.as_ref().map_err(Clone::clone)
}

/// Objects by name: see [`inherited`].
///
/// Each method makes a new handle to the object. All fail with [`InheritError::Missing`] when nothing has
/// that name, with [`InheritError::Kind`] when it is something else, and with [`InheritError::Lost`] when
/// the object cannot be had although it was passed.
///
/// ```
/// use phalanx::plain::Plain;
///
/// #[phalanx::main]
/// fn main() -> Result<(), phalanx::Error> {
///     # let Ok(inherited) = phalanx::inherited() else {
///     #     use phalanx::plain::PlainFormat;
///     #     let lock = phalanx::sync::RawLock::new()?;
///     #     let cells = phalanx::program::SynchronizedArray::<f64>::new(3)?;
///     #     let jobs = phalanx::Queue::<Plain>::unbounded()?.with_codec::<PlainFormat>();
///     #     jobs.put(1.5.into())?;
///     #     let mut program = phalanx::program::Program::new(std::env::current_exe()?);
///     #     program.pass("lock", &lock);
///     #     program.pass("cells", &cells);
///     #     program.pass("jobs", &jobs);
///     #     let status = program.start()?.wait(phalanx::Patience::forever())?;
///     #     assert_eq!(status, phalanx::process::ExitStatus::Code(0));
///     #     return Ok(());
///     # };
///     let inherited = phalanx::inherited()?;
///     let lock = inherited.lock("lock")?;
///     let cells = inherited.array::<f64>("cells")?;
///     let jobs = inherited.queue::<Plain>("jobs")?;
///     for job in jobs.drain() {
///         let _held = lock.lock()?;
///         cells.set(0, job?.as_float().unwrap_or(0.0));
///     }
///     assert_eq!(cells.get(0), Some(1.5));
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Inherited(BTreeMap<String, Passed>);

macro_rules! objects {
    ($($(#[$doc:meta])* $method:ident: $type:ty = $variant:ident, $wanted:literal;)*) => {
        $($(#[$doc])*
        pub fn $method(&self, name: &str) -> Result<$type, InheritError> {
            match self.named(name)? {
                Passed::$variant(offset) => Ok(<$type>::from_offset(*offset)?),
                other => Err(wrong(name, $wanted, other)),
            }
        })*
    };
}

impl Inherited {
    /// The names of all objects, in alphabetical order.
    ///
    /// ```
    /// # use phalanx::prelude::*;
    /// # use phalanx::process::ExitStatus;
    /// # use phalanx::program::{Program, Synchronized, SynchronizedArray};
    /// # use phalanx::plain::{Plain, PlainFormat};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let Ok(inherited) = phalanx::inherited() else {
    /// #     let done = Event::new()?;
    /// #     let mut program = Program::new(std::env::current_exe()?);
    /// #     let child = program.pass("done", &done).start()?;
    /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
    /// #     return Ok(());
    /// # };
    /// let names: Vec<&str> = inherited.names().collect();
    /// assert_eq!(names, ["done"]); // `program.pass("done", &done)` said the parent
    /// # Ok(())
    /// # }
    /// ```
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What is known by that name.
    ///
    /// # Errors
    /// [`InheritError::Missing`].
    ///
    /// ```
    /// # use phalanx::prelude::*;
    /// # use phalanx::process::ExitStatus;
    /// # use phalanx::program::{Program, Synchronized, SynchronizedArray};
    /// # use phalanx::plain::{Plain, PlainFormat};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let Ok(inherited) = phalanx::inherited() else {
    /// #     let done = Event::new()?;
    /// #     let mut program = Program::new(std::env::current_exe()?);
    /// #     let child = program.pass("done", &done).start()?;
    /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
    /// #     return Ok(());
    /// # };
    /// use phalanx::program::{InheritError, Passed};
    ///
    /// assert!(matches!(inherited.named("done")?, Passed::Event(_)));
    /// assert!(matches!(inherited.named("doone"), Err(InheritError::Missing { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn named(&self, name: &str) -> Result<&Passed, InheritError> {
        self.0.get(name).ok_or_else(|| {
            let there = self.0.iter().map(|(name, passed)| format!("{name:?} ({passed})"));
            InheritError::Missing { name: name.to_owned(), there: there.collect() }
        })
    }

    objects! {
        /// A lock.
        ///
        /// # Errors
        /// [`InheritError`].
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// # use phalanx::process::ExitStatus;
        /// # use phalanx::program::Program;
        /// # fn main() -> Result<(), phalanx::Error> {
        /// # let Ok(inherited) = phalanx::inherited() else {
        /// #     let lock = phalanx::sync::RawLock::new()?;
        /// #     let mut program = Program::new(std::env::current_exe()?);
        /// #     let child = program.pass("lock", &lock).start()?;
        /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
        /// #     return Ok(());
        /// # };
        /// let lock = inherited.lock("lock")?; // the parent has said `program.pass("lock", &lock)`
        /// let _held = lock.lock()?;
        /// assert!(lock.is_ours());
        /// # Ok(())
        /// # }
        /// ```
        lock: RawLock = Lock, "a lock";
        /// A re-entrant lock.
        ///
        /// # Errors
        /// [`InheritError`].
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// # use phalanx::process::ExitStatus;
        /// # use phalanx::program::Program;
        /// # fn main() -> Result<(), phalanx::Error> {
        /// # let Ok(inherited) = phalanx::inherited() else {
        /// #     let lock = RLock::new()?;
        /// #     let mut program = Program::new(std::env::current_exe()?);
        /// #     let child = program.pass("lock", &lock).start()?;
        /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
        /// #     return Ok(());
        /// # };
        /// let lock = inherited.rlock("lock")?;
        /// let _held = (lock.lock()?, lock.lock()?);
        /// assert_eq!(lock.depth(), 2);
        /// assert!(inherited.lock("lock").is_err(), "it is of the other kind");
        /// # Ok(())
        /// # }
        /// ```
        rlock: RLock = RLock, "a re-entrant lock";
        /// A semaphore.
        ///
        /// # Errors
        /// [`InheritError`].
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// # use phalanx::process::ExitStatus;
        /// # use phalanx::program::Program;
        /// # fn main() -> Result<(), phalanx::Error> {
        /// # let Ok(inherited) = phalanx::inherited() else {
        /// #     let licences = Semaphore::new(2)?;
        /// #     let mut program = Program::new(std::env::current_exe()?);
        /// #     let child = program.pass("licences", &licences).start()?;
        /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
        /// #     return Ok(());
        /// # };
        /// let licences = inherited.semaphore("licences")?;
        /// let _permit = licences.wait()?;
        /// assert_eq!((licences.value(), licences.start()), (1, 2));
        /// # Ok(())
        /// # }
        /// ```
        semaphore: Semaphore = Semaphore, "a semaphore";
        /// An event.
        ///
        /// # Errors
        /// [`InheritError`].
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// # use phalanx::process::ExitStatus;
        /// # use phalanx::program::Program;
        /// # fn main() -> Result<(), phalanx::Error> {
        /// # let Ok(inherited) = phalanx::inherited() else {
        /// #     let ready = Event::new()?; ready.set();
        /// #     let mut program = Program::new(std::env::current_exe()?);
        /// #     let child = program.pass("ready", &ready).start()?;
        /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
        /// #     return Ok(());
        /// # };
        /// let ready = inherited.event("ready")?;
        /// ready.wait(); // the parent sets it
        /// assert!(ready.is_set());
        /// # Ok(())
        /// # }
        /// ```
        event: Event = Event, "an event";
        /// A barrier.
        ///
        /// # Errors
        /// [`InheritError`].
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// # use phalanx::process::ExitStatus;
        /// # use phalanx::program::Program;
        /// # fn main() -> Result<(), phalanx::Error> {
        /// # let Ok(inherited) = phalanx::inherited() else {
        /// #     let all_here = Barrier::new(1)?;
        /// #     let mut program = Program::new(std::env::current_exe()?);
        /// #     let child = program.pass("all_here", &all_here).start()?;
        /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
        /// #     return Ok(());
        /// # };
        /// let all_here = inherited.barrier("all_here")?;
        /// assert_eq!(all_here.parties(), 1);
        /// all_here.wait()?;
        /// # Ok(())
        /// # }
        /// ```
        barrier: Barrier = Barrier, "a barrier";
    }

    /// A queue of plain values, as [`Plain`] or as a type of the program's own.
    ///
    /// # Errors
    /// [`InheritError`].
    ///
    /// ```
    /// # use phalanx::prelude::*;
    /// # use phalanx::process::ExitStatus;
    /// # use phalanx::program::{Program, Synchronized, SynchronizedArray};
    /// # use phalanx::plain::{Plain, PlainFormat};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let Ok(inherited) = phalanx::inherited() else {
    /// #     let jobs = Queue::<(u32, String)>::unbounded()?.with_codec::<PlainFormat>(); jobs.put((1, "one".to_owned()))?;
    /// #     let mut program = Program::new(std::env::current_exe()?);
    /// #     let child = program.pass("jobs", &jobs).start()?;
    /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
    /// #     return Ok(());
    /// # };
    /// // What the parent has put, or a program in another language:
    /// let jobs = inherited.queue::<(u32, String)>("jobs")?;
    /// let (number, name) = jobs.take()?;
    /// assert_eq!((number, name.as_str()), (1, "one"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn queue<T>(&self, name: &str) -> Result<Queue<T, PlainFormat>, InheritError> {
        self.queue_of(name)
    }

    /// A queue whose messages have another format, such as [`Postcard`](crate::wire::Postcard) between
    /// two programs in Rust.
    ///
    /// # Errors
    /// [`InheritError`].
    ///
    /// ```
    /// # use phalanx::prelude::*;
    /// # use phalanx::process::ExitStatus;
    /// # use phalanx::program::{Program, Synchronized, SynchronizedArray};
    /// # use phalanx::plain::{Plain, PlainFormat};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let Ok(inherited) = phalanx::inherited() else {
    /// #     let jobs = Queue::<u64>::unbounded()?; jobs.put(7)?;
    /// #     let mut program = Program::new(std::env::current_exe()?);
    /// #     let child = program.pass("jobs", &jobs).start()?;
    /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
    /// #     return Ok(());
    /// # };
    /// use phalanx::wire::Postcard;
    ///
    /// let jobs = inherited.queue_of::<u64, Postcard>("jobs")?; // as the parent made it
    /// assert_eq!(jobs.take()?, 7);
    /// # Ok(())
    /// # }
    /// ```
    pub fn queue_of<T, C>(&self, name: &str) -> Result<Queue<T, C>, InheritError> {
        match self.named(name)? {
            Passed::Queue(offset) => Ok(Queue::from_offset(*offset)?),
            other => Err(wrong(name, "a queue", other)),
        }
    }

    /// A number, of the very type that it was made with.
    ///
    /// # Errors
    /// [`InheritError`].
    ///
    /// ```
    /// # use phalanx::prelude::*;
    /// # use phalanx::process::ExitStatus;
    /// # use phalanx::program::{Program, Synchronized, SynchronizedArray};
    /// # use phalanx::plain::{Plain, PlainFormat};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let Ok(inherited) = phalanx::inherited() else {
    /// #     let total = Synchronized::new(40i64)?;
    /// #     let mut program = Program::new(std::env::current_exe()?);
    /// #     let child = program.pass("total", &total).start()?;
    /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
    /// #     return Ok(());
    /// # };
    /// let total = inherited.value::<i64>("total")?;
    /// assert_eq!(total.update(|total| total + 2), 42); // the parent sees it
    /// assert!(inherited.value::<f64>("total").is_err(), "it is no float");
    /// # Ok(())
    /// # }
    /// ```
    pub fn value<T: Number>(&self, name: &str) -> Result<Synchronized<T>, InheritError> {
        match self.named(name)? {
            Passed::Value { block, code, lock } if T::CODES.contains(*code) => {
                Synchronized::open(*block, lock_of(name, lock.as_deref())?)
            }
            other => Err(wrong(name, &format!("a value of {}", T::NAME), other)),
        }
    }

    /// Numbers, of the very type that they were made with.
    ///
    /// # Errors
    /// [`InheritError`].
    ///
    /// ```
    /// # use phalanx::prelude::*;
    /// # use phalanx::process::ExitStatus;
    /// # use phalanx::program::{Program, Synchronized, SynchronizedArray};
    /// # use phalanx::plain::{Plain, PlainFormat};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let Ok(inherited) = phalanx::inherited() else {
    /// #     let cells = SynchronizedArray::<f64>::new(3)?; cells.set(1, 2.5);
    /// #     let mut program = Program::new(std::env::current_exe()?);
    /// #     let child = program.pass("cells", &cells).start()?;
    /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
    /// #     return Ok(());
    /// # };
    /// let cells = inherited.array::<f64>("cells")?;
    /// assert_eq!(cells.to_vec(), [0.0, 2.5, 0.0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn array<T: Number>(&self, name: &str) -> Result<SynchronizedArray<T>, InheritError> {
        match self.named(name)? {
            Passed::Array { block, code, len, lock } if T::CODES.contains(*code) => {
                let len = usize::try_from(*len).unwrap_or(usize::MAX);
                SynchronizedArray::open(*block, len, lock_of(name, lock.as_deref())?)
            }
            other => Err(wrong(name, &format!("an array of {}", T::NAME), other)),
        }
    }

    /// A plain value, as [`Plain`] or as a type of the program's own.
    ///
    /// # Errors
    /// [`InheritError`].
    ///
    /// ```
    /// # use phalanx::prelude::*;
    /// # use phalanx::process::ExitStatus;
    /// # use phalanx::program::{Program, Synchronized, SynchronizedArray};
    /// # use phalanx::plain::{Plain, PlainFormat};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let Ok(inherited) = phalanx::inherited() else {
    /// #     let limit = Plain::from(1.5);
    /// #     let mut program = Program::new(std::env::current_exe()?);
    /// #     let child = program.pass("limit", &limit).start()?;
    /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
    /// #     return Ok(());
    /// # };
    /// let limit: f64 = inherited.plain("limit")?;
    /// assert_eq!(limit, 1.5);
    /// assert!(inherited.plain::<String>("limit").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn plain<T: DeserializeOwned>(&self, name: &str) -> Result<T, InheritError> {
        match self.named(name)? {
            Passed::Plain(value) => Ok(plain::from(value)?),
            other => Err(wrong(name, "a plain value", other)),
        }
    }

    /// The plain value of a name, as it is; `None` if there is none.
    ///
    /// ```
    /// # use phalanx::prelude::*;
    /// # use phalanx::process::ExitStatus;
    /// # use phalanx::program::{Program, Synchronized, SynchronizedArray};
    /// # use phalanx::plain::{Plain, PlainFormat};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let Ok(inherited) = phalanx::inherited() else {
    /// #     let limit = Plain::from(1.5);
    /// #     let mut program = Program::new(std::env::current_exe()?);
    /// #     let child = program.pass("limit", &limit).start()?;
    /// #     assert_eq!(child.wait(Patience::forever())?, ExitStatus::Code(0));
    /// #     return Ok(());
    /// # };
    /// assert_eq!(inherited.get("limit"), Some(&Plain::Float(1.5)));
    /// assert_eq!(inherited.get("no limit"), None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Plain> {
        if let Some(Passed::Plain(value)) = self.0.get(name) { Some(value) } else { None }
    }
}

fn lock_of(name: &str, lock: Option<&Passed>) -> Result<Option<AnyLock>, InheritError> {
    Ok(match lock {
        None => None,
        Some(Passed::Lock(offset)) => Some(AnyLock::Lock(RawLock::from_offset(*offset)?)),
        Some(Passed::RLock(offset)) => Some(AnyLock::RLock(RLock::from_offset(*offset)?)),
        Some(other) => return Err(wrong(name, "a value with a lock", other)),
    })
}

fn wrong(name: &str, wanted: &str, found: &Passed) -> InheritError {
    InheritError::Kind {
        name: name.to_owned(),
        wanted: wanted.to_owned(),
        found: found.to_string(),
    }
}
