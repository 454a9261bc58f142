//! The manager itself: a process that keeps containers under names.

use std::fmt;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use phalanx_os::net::{self, Address};

use super::line::{Line, Remote, unexpected};
use super::protocol::{Kind, Reply, Request};
use super::raw::{RawDict, RawList};
use super::{AccessError, Dict, List, dict, list, server};
use crate::process::{Process, StartError};
use crate::wire::Message;

/// How many may have connected without having been accepted yet.
const BACKLOG: i32 = 128;

/// Containers with names, kept by a process of their own until that ends.
///
/// Whoever has a manager, or knows its [address](Manager::address), gets the container of a name; the
/// first to ask makes it. For processes of the manager's family it lies in shared memory, and
/// operations ask nobody. Other processes of the same user have each operation done by the manager,
/// which serves all of them from one thread and waits for none. Other users are turned away.
///
/// When the manager's process ends, by [`Manager::stop`], with its parent or killed, those who have
/// a container in shared memory can go on using it; operations that it served are errors from then on.
///
/// ```
/// use phalanx::manager::Manager;
///
/// let manager = Manager::start()?;
/// let stock = manager.dict::<String, u32>("stock")?;
/// stock.insert(&"apples".to_owned(), &5)?;
///
/// // Perhaps in another process, which was told the address.
/// let same = Manager::connect(&manager.address())?;
/// assert_eq!(same.dict::<String, u32>("stock")?.get(&"apples".to_owned())?, Some(5));
/// manager.stop()?;
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone)]
pub struct Manager {
    line: Line,
    process: Option<Arc<Process<()>>>,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("address", &self.line.address()).finish()
    }
}

impl Manager {
    /// Starts a manager, as a fork of this process. It ends when [`Manager::stop`] is called, and with
    /// this process.
    ///
    /// # Errors
    /// [`StartError`] when the kernel refuses a process, a socket or memory.
    ///
    /// ```
    /// let manager = phalanx::manager::Manager::start()?;
    /// assert!(manager.pid().is_some());
    /// assert!(manager.names()?.is_empty());
    /// manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn start() -> Result<Self, StartError> {
        let address = random_name()?;
        let listener = net::listen(&Address::Abstract(address.clone().into_bytes()), BACKLOG)?;
        net::never_block(&listener)?;
        // Of the same family only if there is one already.
        phalanx_shm::family::Family::get()?;
        let process = Process::builder().name("phalanx-manager").daemon(true).fork(|| {
            // The parent's copy is closed with its own variable; this one is the child's.
            let listener: std::io::Result<OwnedFd> = listener.try_clone();
            if let Err(why) = listener.and_then(server::serve) {
                panic!("the manager cannot serve: {why}");
            }
        })?;
        Ok(Self { line: Line::new(&address), process: Some(Arc::new(process)) })
    }

    /// The manager at an address.
    ///
    /// # Errors
    /// [`AccessError::Disconnected`] when none is there, or it belongs to another user.
    ///
    /// ```
    /// use phalanx::manager::{AccessError, Manager};
    ///
    /// let nobody = Manager::connect("nobody has this address").map(|_| ());
    /// assert!(matches!(nobody, Err(AccessError::Disconnected(_))));
    /// ```
    pub fn connect(address: &str) -> Result<Self, AccessError> {
        let manager = Self { line: Line::new(address), process: None };
        manager.names()?;
        Ok(manager)
    }

    /// What other processes of the same user [connect](Manager::connect) to. It has no meaning for
    /// other machines, and vanishes with the manager.
    ///
    /// ```
    /// use phalanx::manager::Manager;
    ///
    /// let manager = Manager::start()?;
    /// let address: String = manager.address(); // to be told to the others, as by an environment variable
    /// assert!(Manager::connect(&address).is_ok());
    /// # manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn address(&self) -> String {
        self.line.address().to_owned()
    }

    /// The process that keeps the containers, if this handle started it.
    ///
    /// ```
    /// use phalanx::manager::Manager;
    ///
    /// let manager = Manager::start()?;
    /// assert!(manager.pid().is_some_and(|pid| pid != std::process::id()));
    /// assert_eq!(Manager::connect(&manager.address())?.pid(), None, "somebody else's");
    /// # manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid())
    }

    /// The dictionary of that name, which is made if there is none.
    ///
    /// That its types are those which others use is for the program to see to; what does not fit is
    /// [`AccessError::Decode`] when it is read.
    ///
    /// # Errors
    /// [`AccessError::Refused`] when the name belongs to a list, [`AccessError::Disconnected`] when the
    /// manager has ended.
    ///
    /// ```
    /// # let manager = phalanx::manager::Manager::start()?;
    /// let stock = manager.dict::<String, u32>("stock")?;
    /// stock.insert("apples", &5)?;
    /// assert_eq!(manager.dict::<String, u32>("stock")?.get("apples")?, Some(5));
    /// # manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn dict<K: Message, V: Message>(&self, name: &str) -> Result<Dict<K, V>, AccessError> {
        let place = match self.open(name, Kind::Dict)? {
            Some(offset) => dict::Place::Here(RawDict::from_offset(offset).map_err(gone)?),
            None => dict::Place::Served(self.remote(name)),
        };
        Ok(Dict::at(place))
    }

    /// The list of that name, which is made if there is none.
    ///
    /// # Errors
    /// As for [`Manager::dict`].
    ///
    /// ```
    /// # let manager = phalanx::manager::Manager::start()?;
    /// let log = manager.list::<String>("log")?;
    /// log.push(&"begun".to_owned())?;
    /// assert_eq!(manager.list::<String>("log")?.len()?, 1);
    /// # manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn list<T: Message>(&self, name: &str) -> Result<List<T>, AccessError> {
        let place = match self.open(name, Kind::List)? {
            Some(offset) => list::Place::Here(RawList::from_offset(offset).map_err(gone)?),
            None => list::Place::Served(self.remote(name)),
        };
        Ok(List::at(place))
    }

    /// The value of that name, which is `initial` if there is none.
    ///
    /// # Errors
    /// As for [`Manager::dict`].
    ///
    /// ```
    /// # let manager = phalanx::manager::Manager::start()?;
    /// let best = manager.value("best", ("nobody".to_owned(), 0u64))?;
    /// best.update(|(name, score)| if score < 10 { ("Ada".to_owned(), 10) } else { (name, score) })?;
    /// assert_eq!(best.get()?, ("Ada".to_owned(), 10));
    /// # manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn value<T: Message>(&self, name: &str, initial: T) -> Result<Variable<T>, AccessError> {
        let cell = self.dict(name)?;
        cell.get_or_insert_with(&(), || initial)?;
        Ok(Variable { cell })
    }

    /// Lets the manager forget a name; returns whether there was one. Those who have the container
    /// in shared memory keep it.
    ///
    /// # Errors
    /// [`AccessError::Disconnected`] when the manager has ended.
    ///
    /// ```
    /// # let manager = phalanx::manager::Manager::start()?;
    /// manager.list::<u64>("numbers")?;
    /// assert!(manager.forget("numbers")? && !manager.forget("numbers")?);
    /// # manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn forget(&self, name: &str) -> Result<bool, AccessError> {
        use super::operation::Answer;
        match self.line.ask(&Request::Forget(name))? {
            Reply::Answer(Answer::Flag(known)) => Ok(known),
            _ => Err(unexpected()),
        }
    }

    /// The names of all containers, in alphabetical order.
    ///
    /// # Errors
    /// [`AccessError::Disconnected`] when the manager has ended.
    ///
    /// ```
    /// # let manager = phalanx::manager::Manager::start()?;
    /// manager.list::<String>("log")?;
    /// manager.dict::<String, u32>("ages")?;
    /// assert_eq!(manager.names()?, ["ages", "log"]);
    /// # manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn names(&self) -> Result<Vec<String>, AccessError> {
        match self.line.ask(&Request::Names)? {
            Reply::Names(names) => Ok(names),
            _ => Err(unexpected()),
        }
    }

    /// Ends the manager, which answers nobody any more when this returns. Only processes of its family can.
    ///
    /// # Errors
    /// [`AccessError::Disconnected`] when it has ended already, [`AccessError::Refused`] when this process
    /// is of another family.
    ///
    /// ```
    /// let manager = phalanx::manager::Manager::start()?;
    /// let log = manager.list::<u64>("log")?;
    /// manager.stop()?;
    /// // What lies in the family's shared memory outlives the manager.
    /// log.push(&1)?;
    /// assert_eq!(log.len()?, 1);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn stop(&self) -> Result<(), AccessError> {
        self.line.tell(&Request::Stop)
    }

    fn open(&self, name: &str, kind: Kind) -> Result<Option<u64>, AccessError> {
        match self.line.ask(&Request::Open(name, kind))? {
            Reply::Here(offset) => Ok(Some(offset)),
            Reply::Served => Ok(None),
            _ => Err(unexpected()),
        }
    }

    fn remote(&self, name: &str) -> Remote {
        Remote { line: self.line.clone(), name: name.into() }
    }
}

/// One value that processes share, kept by a [`Manager`]. Clones are handles to the same one.
///
/// Any value that can be sent will do; numbers that change often are better kept in a
/// [`Value`](crate::value). Killed at any instruction, a process leaves the old value or the new one.
///
/// ```
/// # let manager = phalanx::manager::Manager::start()?;
/// let title = manager.value("title", "none".to_owned())?;
/// title.set(&"some".to_owned())?;
/// assert_eq!(manager.value("title", String::new())?.get()?, "some");
/// # manager.stop()?;
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Variable<T> {
    cell: Dict<(), T>,
}

impl<T> Clone for Variable<T> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone() }
    }
}

impl<T> fmt::Debug for Variable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Variable").field(&self.cell).finish()
    }
}

impl<T: Message> Variable<T> {
    /// A copy of the value.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// # let manager = phalanx::manager::Manager::start()?;
    /// let title = manager.value("title", "none".to_owned())?;
    /// assert_eq!(title.get()?, "none");
    /// # manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn get(&self) -> Result<T, AccessError> {
        self.cell.get(&())?.ok_or(AccessError::Retired)
    }

    /// Replaces the value.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// # let manager = phalanx::manager::Manager::start()?;
    /// let (mine, yours) = (manager.value("best", 0u64)?, manager.value("best", 0u64)?);
    /// mine.set(&7)?;
    /// assert_eq!(yours.get()?, 7, "they have one name");
    /// # manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn set(&self, value: &T) -> Result<(), AccessError> {
        self.cell.insert(&(), value).map(drop)
    }

    /// Changes the value to what `change` makes of it, so that no other change comes between.
    ///
    /// `change` is not called under a lock, and again whenever the value has changed meanwhile.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// # use phalanx::prelude::*;
    /// # let manager = Manager::start()?;
    /// let words = manager.value("words", Vec::<String>::new())?;
    /// let add = |word: &str| words.update(|mut words| {
    ///     words.push(word.to_owned());
    ///     words
    /// });
    /// let other = Process::fork(|| add("one").is_ok())?;
    /// add("two")?;
    /// assert!(other.join()?);
    /// assert_eq!(words.get()?.len(), 2, "none has overwritten the other");
    /// # manager.stop()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn update(&self, mut change: impl FnMut(T) -> T) -> Result<(), AccessError> {
        self.cell.update(&(), |value| value.map(&mut change))
    }
}

#[cold]
fn gone(why: crate::sync::CreateError) -> AccessError {
    AccessError::Refused(why.to_string())
}

/// A name that nobody can guess, so that nobody can have taken it.
fn random_name() -> std::io::Result<String> {
    let mut random = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(format!("phalanx-manager-{:032x}", u128::from_le_bytes(random)))
}
