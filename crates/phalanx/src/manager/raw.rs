//! Handles to dictionaries and lists of encoded keys and values.

use std::hash::{BuildHasher, Hasher, RandomState};

use phalanx_shm::containers::{self, Glimpse, List, LockFailed, Map};
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::SlotId;

use crate::process::spawning_slot;
use crate::stash::unique;
use crate::sync::CreateError;

/// A dictionary that this thread has locked.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::manager::{Draft, Key, LockedDict, RawDict};
///
/// let dict = RawDict::new()?;
/// let key = Key { identity: b"apples", form: b"" };
/// let draft = Draft::entry(dict.family(), key, b"five")?;
/// // Two operations that are one for everybody else:
/// let mut locked: LockedDict<'_> = dict.lock(&Patience::forever())?;
/// if locked.find(b"apples").is_none() {
///     locked.put(draft)?;
/// }
/// assert_eq!(locked.len(), 1);
/// # drop(locked);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type LockedDict<'a> = containers::LockedMap<'a, Family>;
/// A list that this thread has locked.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::manager::{Draft, LockedList, RawList};
///
/// let list = RawList::new()?;
/// let drafts = [&b"one"[..], b"two"].map(|item| Draft::item(list.family(), item));
/// let mut locked: LockedList<'_> = list.lock(&Patience::forever())?;
/// for draft in drafts {
///     locked.push(draft?)?; // others see both or none
/// }
/// assert_eq!(locked.len(), 2);
/// # drop(locked);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type LockedList<'a> = containers::LockedList<'a, Family>;

macro_rules! handle {
    ($handle:ident, $object:ty, $locked:ty, $what:literal) => {
        impl $handle {
            #[doc = concat!("A handle to the ", $what, " at `offset`, of which this process was made a holder.")]
            ///
            /// # Errors
            /// [`CreateError`] when it was not, or the object is of another kind.
            #[doc(hidden)]
            pub fn from_offset(offset: u64) -> Result<Self, CreateError> {
                Ok(Self(Shared::from_offset(Family::get()?, offset)?))
            }

            #[doc = concat!("A handle to a ", $what, " that another process holds meanwhile, by its name.")]
            ///
            /// # Errors
            /// [`CreateError`] when nobody holds it any more, or it belongs to another family.
            ///
            /// ```
            /// use phalanx::prelude::*;
            #[doc = concat!("use phalanx::manager::", stringify!($handle), ";")]
            ///
            /// let names = Queue::<[u64; 2]>::unbounded()?;
            /// let keeper = Process::builder().daemon(true).fork(|| {
            #[doc = concat!("    let made = ", stringify!($handle), "::new().expect(\"memory\");")]
            ///     names.put(made.name()).expect("memory");
            ///     std::thread::sleep(std::time::Duration::from_secs(600));
            /// })?;
            #[doc = concat!("let joined = ", stringify!($handle), "::join(names.take()?)?;")]
            /// keeper.kill()?; // ours is as good as the one that it had
            /// assert!(joined.lock(&Patience::forever()).is_ok_and(|locked| locked.is_empty()));
            /// # Ok::<(), phalanx::Error>(())
            /// ```
            pub fn join(name: [u64; 2]) -> Result<Self, CreateError> {
                let [offset, tag] = name;
                let is_it = |object: &$object| object.tag() == tag;
                Ok(Self(Shared::join_if(Family::get()?, offset, is_it)?))
            }

            #[doc = concat!("What names the ", $what, " to the processes of the family: see [`", stringify!($handle), "::join`].")]
            ///
            /// ```
            #[doc = concat!("let one = phalanx::manager::", stringify!($handle), "::new()?;")]
            /// assert_eq!(one.name(), one.clone().name());
            #[doc = concat!("assert_ne!(one.name(), phalanx::manager::", stringify!($handle), "::new()?.name());")]
            /// # Ok::<(), phalanx::Error>(())
            /// ```
            #[must_use]
            pub fn name(&self) -> [u64; 2] {
                [self.0.offset(), self.0.tag()]
            }

            #[doc = concat!("Names the ", $what, " for a process that is being started, and makes it a holder:")]
            /// the one whose start this thread is preparing.
            #[doc(hidden)]
            #[must_use]
            pub fn share(&self) -> u64 {
                if let Some(slot) = spawning_slot() {
                    self.0.hold_for(slot);
                }
                self.0.offset()
            }

            /// Gives another process a hold, before the offset is sent to it.
            #[doc(hidden)]
            pub fn hold_for(&self, slot: SlotId) {
                self.0.hold_for(slot);
            }

            /// The family of processes that can share it.
            ///
            /// ```
            /// use phalanx::manager::Draft;
            ///
            #[doc = concat!("let container = phalanx::manager::", stringify!($handle), "::new()?;")]
            /// // Where the memory of what is put in comes from:
            /// assert!(Draft::item(container.family(), b"an item").is_ok());
            /// # Ok::<(), phalanx::Error>(())
            /// ```
            #[must_use]
            pub fn family(&self) -> &'static Family {
                self.0.family()
            }

            /// Locks it for one or several short operations, which others see as one.
            ///
            /// With [`Patience::none`] it spins for some microseconds at most.
            ///
            /// # Errors
            /// [`LockFailed`]: only a process that was stopped while it held the lock exhausts
            /// patience of more than some milliseconds.
            ///
            /// ```
            /// use phalanx::Patience;
            ///
            #[doc = concat!("let container = phalanx::manager::", stringify!($handle), "::new()?;")]
            /// let locked = container.lock(&Patience::forever())?;
            /// assert_eq!(locked.len(), 0);
            /// assert!(container.lock(&Patience::none()).is_err(), "we have it ourselves");
            /// # drop(locked);
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[inline]
            pub fn lock(&self, patience: &Patience<'_>) -> Result<$locked, LockFailed> {
                self.0.lock(self.0.family(), patience)
            }
        }
    };
}

/// A dictionary of encoded keys and values in shared memory. Clones are handles to the same one.
///
/// Keys are in the order in which they were first put in. Which keys are the same is their encoder's
/// affair: those whose identities have the same bytes.
///
/// ```
/// use phalanx::manager::{Dict, RawDict};
///
/// let raw = RawDict::new()?;
/// let typed: Dict<String, u64> = raw.clone().into();
/// typed.insert("one", &1)?;
/// assert_eq!(typed.raw().map(RawDict::name), Some(raw.name()));
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RawDict(Shared<Map>);

handle!(RawDict, Map, LockedDict<'_>, "dictionary");

impl RawDict {
    /// A new dictionary with nothing in it.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// use phalanx::Patience;
    ///
    /// let dict = phalanx::manager::RawDict::new()?;
    /// assert!(dict.lock(&Patience::forever())?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Result<Self, CreateError> {
        let family = Family::get()?;
        let random = || RandomState::new().build_hasher().finish();
        let seeds = [random(), random()];
        Ok(Self(Shared::new(family, |map: &Map| map.prepare(seeds, unique(family)))?))
    }

    /// Appends a short value to `out` without taking the lock, if that is possible just now: readers
    /// do not get into each other's way.
    #[doc(hidden)]
    #[inline]
    pub fn glimpse(&self, identity: &[u8], out: &mut Vec<u8>) -> Glimpse {
        self.0.glimpse(self.0.family(), identity, out)
    }
}

/// A list of encoded values in shared memory. Clones are handles to the same one.
///
/// ```
/// use phalanx::manager::{List, RawList};
///
/// let raw = RawList::new()?;
/// let typed: List<u64> = raw.clone().into();
/// typed.push(&1)?;
/// assert_eq!(typed.raw().map(RawList::name), Some(raw.name()));
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RawList(Shared<List>);

handle!(RawList, List, LockedList<'_>, "list");

impl RawList {
    /// A new list with nothing in it.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// use phalanx::Patience;
    ///
    /// let list = phalanx::manager::RawList::new()?;
    /// assert!(list.lock(&Patience::forever())?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Result<Self, CreateError> {
        let family = Family::get()?;
        Ok(Self(Shared::new(family, |list: &List| list.prepare(unique(family)))?))
    }

    /// Appends a short item to `out` without taking the lock, if that is possible just now: that at the
    /// place which `which` makes of the length.
    #[doc(hidden)]
    #[inline]
    pub fn glimpse(&self, which: impl Fn(usize) -> Option<usize>, out: &mut Vec<u8>) -> Glimpse {
        self.0.glimpse(self.0.family(), which, out)
    }
}
