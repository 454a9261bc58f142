//! A map and a list in shared memory, changed by many processes, any of which may be killed at any
//! instruction. How they are made and repaired is told in `README.md` beside this file.

mod cells;
mod core;
mod glimpse;
mod list;
#[cfg(all(test, loom))]
mod loom_tests;
mod map;
mod record;
mod rows;

pub use cells::Cells;
pub use core::{LockFailed, Version};
pub use glimpse::Glimpse;
pub use list::{List, LockedList};
pub use map::{Found, LockedMap, Map};
pub use record::{Key, Record, Shape, Staged};
