//! Shared memory with a name, for processes that are no relatives.
//!
//! A [`Segment`] stays until somebody removes it, and any process that knows its name can open it.
//! So a program that is killed would leave it behind: [`tracker`] is what a small process of its own
//! does to prevent that.
//!
//! ```
//! use phalanx::named::{self, Segment};
//!
//! let made = Segment::create(None, 4096)?;
//! let opened = Segment::open(made.name())?;
//! assert_eq!(opened.len(), 4096);
//! named::remove(made.name())?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod segment;
pub mod tracker;

pub use segment::{Segment, remove, some_name};
