//! Handles of shared objects as values: the object's name goes to a child that is being started, which
//! is made a holder before it exists.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use phalanx_shm::peers::SlotId;

use super::error::because;
use crate::process::spawning_slot;

/// Encodes the name of an object, and calls `hold` with the place of the child that will decode it.
pub(crate) fn serialize<S: Serializer>(
    what: &str,
    name: &impl Serialize,
    hold: impl FnOnce(SlotId),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let Some(slot) = spawning_slot() else {
        let text = format!(
            "{what} can only be passed to a process when that is started, as one of its arguments"
        );
        because(text.clone());
        return Err(ser::Error::custom(text));
    };
    hold(slot);
    name.serialize(serializer)
}

/// Decodes a name and makes a handle of it by `open`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, N: Deserialize<'de>, T, E>(
    open: impl FnOnce(N) -> Result<T, E>,
    deserializer: D,
) -> Result<T, D::Error>
where
    E: std::fmt::Display,
{
    let name = N::deserialize(deserializer)?;
    open(name).map_err(|e| {
        because(e.to_string());
        de::Error::custom(e)
    })
}

/// Implements both for a handle type that has `offset`, `hold_for` and `from_offset`.
macro_rules! passed_by_offset {
    ([$($generics:tt)*] $type:ty, $what:expr) => {
        impl<$($generics)*> serde::Serialize for $type {
            /// Makes the child that is being started a holder.
            ///
            /// # Errors
            /// When no child is being started.
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let hold = |slot| self.hold_for(slot);
                crate::wire::handle::serialize($what, &self.offset(), hold, serializer)
            }
        }

        impl<'de, $($generics)*> serde::Deserialize<'de> for $type {
            /// # Errors
            /// When this process was not made a holder.
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::wire::handle::deserialize(Self::from_offset, deserializer)
            }
        }
    };
}
pub(crate) use passed_by_offset;
