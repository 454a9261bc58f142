//! Dictionaries and lists that processes share.
//!
//! [`Dict`] and [`List`] lie in the family's shared memory: an operation on one is a few loads and
//! stores, no message to anybody. What is read is a copy; what is to be changed inside a value has to be
//! stored again. [`RawDict`] and [`RawList`] are the same with keys and values that the caller encodes;
//! there, several operations under one hold of the lock are one for everybody else.
//!
//! A [`Manager`] is a process that keeps dictionaries, lists and values under names, also for
//! processes that are no relatives.
//!
//! Killed at any instruction, a process leaves each entry as it was or as it was to become; the next
//! to use the container repairs the rest. The essay is beside
//! [`phalanx_shm::containers`].
//!
//! ```
//! use phalanx::Patience;
//! use phalanx::manager::{Draft, Key, RawDict};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dict = RawDict::new()?;
//! let key = Key { identity: b"apples", form: b"" };
//! let draft = Draft::entry(dict.family(), key, b"five")?;
//! dict.lock(&Patience::forever())?.put(draft)?;
//!
//! let locked = dict.lock(&Patience::forever())?;
//! let (_, record) = locked.find(b"apples").ok_or("not found")?;
//! let mut value = Vec::new();
//! record.value(&mut value);
//! assert_eq!(value, b"five");
//! # Ok(())
//! # }
//! ```

mod dict;
mod draft;
mod error;
mod line;
mod list;
mod named;
mod operation;
mod passed;
mod protocol;
mod raw;
mod server;

pub use dict::{Dict, KeyOf};
pub use draft::{Draft, Stored};
#[doc(hidden)]
pub use draft::{draft_parcel, fetch};
pub use error::AccessError;
pub use list::List;
pub use named::{Manager, Variable};
#[doc(hidden)]
pub use phalanx_shm::containers::Glimpse;
pub use phalanx_shm::containers::{Found, Key, LockFailed, Shape, Version};
pub use raw::{LockedDict, LockedList, RawDict, RawList};
