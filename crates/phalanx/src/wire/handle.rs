//! Handles of shared objects as values: the object's name goes to whoever decodes it, who is made a holder
//! before that.
//!
//! | where it is encoded | who holds the object until it is decoded |
//! |---|---|
//! | an argument of a child that is being started | the child, from before it exists |
//! | a message of a queue, pipe or channel | the message: [`phalanx_shm::passage`] |
//! | a result of a task | the message that it is in: the same |
//! | an argument of a pool's task | the process that submitted it, until it is answered |

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use phalanx_shm::family::Family;
use phalanx_shm::passage::Hold;
use phalanx_shm::peers::SlotId;

use super::error::because;
use super::luggage::{self, Way};
use crate::process::spawning_slot;

/// Encodes the name of the object at `offset`, and calls `hold` with the place of the child that will
/// decode it, if it is one.
pub(crate) fn serialize<S: Serializer>(
    what: &str,
    name: &impl Serialize,
    offset: u64,
    hold: impl FnOnce(SlotId),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let again = || Hold::again(Family::get().ok()?, offset).ok();
    let is_lent = match luggage::take_along(again) {
        Some(way) => way == Way::Lent,
        None => {
            let Some(slot) = spawning_slot() else {
                let text = format!(
                    "{what} can only be passed to a process as an argument of its start, in a message \
                     of a queue, pipe or channel, or in an argument or result of a task"
                );
                because(text.clone());
                return Err(ser::Error::custom(text));
            };
            hold(slot);
            false
        }
    };
    (is_lent, name).serialize(serializer)
}

/// Decodes a name and makes a handle of it by `open`. `offset` says where the object lies.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, N: Deserialize<'de>, T, E>(
    offset: impl FnOnce(&N) -> Option<u64>,
    open: impl FnOnce(N) -> Result<T, E>,
    deserializer: D,
) -> Result<T, D::Error>
where
    E: std::fmt::Display,
{
    let (is_lent, name) = <(bool, N)>::deserialize(deserializer)?;
    let refuse = |why: &dyn std::fmt::Display| {
        because(why.to_string());
        de::Error::custom(why)
    };
    // Whoever lent the object keeps it until the task is answered, and so until this is done.
    let _until_opened = match offset(&name) {
        Some(offset) if is_lent => {
            let family = Family::get().map_err(|e| refuse(&e))?;
            Some(Hold::join(family, offset).map_err(|e| refuse(&e))?)
        }
        _ => None,
    };
    open(name).map_err(|e| refuse(&e))
}

/// Implements both for a handle type that has `offset`, `hold_for` and `from_offset`.
macro_rules! passed_by_offset {
    ([$($generics:tt)*] $type:ty, $what:expr) => {
        impl<$($generics)*> serde::Serialize for $type {
            /// Makes whoever decodes it a holder: a child that is being started, whoever receives the
            /// message, or the worker that gets the task.
            ///
            /// # Errors
            /// When it is encoded for something else.
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let hold = |slot| self.hold_for(slot);
                let at = self.offset();
                crate::wire::handle::serialize($what, &at, at, hold, serializer)
            }
        }

        impl<'de, $($generics)*> serde::Deserialize<'de> for $type {
            /// # Errors
            /// When this process was not made a holder.
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let offset = |offset: &u64| Some(*offset);
                crate::wire::handle::deserialize(offset, Self::from_offset, deserializer)
            }
        }
    };
}
pub(crate) use passed_by_offset;
