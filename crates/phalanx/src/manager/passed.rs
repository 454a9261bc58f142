//! Handles of containers as arguments of processes.

use serde::{Deserialize, Serialize};

/// What stands for a handle on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Passed {
    /// In the shared memory of the family, where the receiver has a hold.
    Here(u64),
    /// At the manager with that address, under that name.
    Served(String, String),
}

/// Lets a handle travel: what lies in shared memory to a child that is being started, what is served
/// to anybody.
macro_rules! passed {
    ([$($generics:tt)*] $type:ty, $raw:ty, $what:literal) => {
        impl<$($generics)*> serde::Serialize for $type {
            /// Makes the child that is being started a holder.
            ///
            /// # Errors
            /// When no child is being started, unless the object is served by a manager.
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use crate::manager::passed::Passed;
                match &self.place {
                    Place::Here(raw) => {
                        let name = Passed::Here(raw.name()[0]);
                        let hold = |slot| raw.hold_for(slot);
                        let at = raw.name()[0];
                        crate::wire::handle::serialize($what, &name, at, hold, serializer)
                    }
                    Place::Served(remote) => {
                        let address = remote.line.address().to_owned();
                        Passed::Served(address, remote.name.to_string()).serialize(serializer)
                    }
                }
            }
        }

        impl<'de, $($generics)*> serde::Deserialize<'de> for $type {
            /// # Errors
            /// When this process was not made a holder.
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use crate::manager::line::{Line, Remote};
                use crate::manager::passed::Passed;
                let open = |passed| -> Result<Self, crate::sync::CreateError> {
                    Ok(match passed {
                        Passed::Here(offset) => <$raw>::from_offset(offset)?.into(),
                        Passed::Served(address, name) => {
                            let line = Line::new(&address);
                            Self::at(Place::Served(Remote { line, name: name.into() }))
                        }
                    })
                };
                let offset = |passed: &Passed| match passed {
                    Passed::Here(offset) => Some(*offset),
                    Passed::Served(..) => None,
                };
                crate::wire::handle::deserialize(offset, open, deserializer)
            }
        }
    };
}
pub(super) use passed;
