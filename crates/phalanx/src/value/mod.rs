//! Plain memory that processes share: numbers, arrays and structures.
//!
//! | type | what | order between processes |
//! |---|---|---|
//! | [`Value`] | one plain value | read, written and changed in one step up to 8 bytes |
//! | [`Array`] | many of them | the same for each of its values |
//! | [`Lock`](crate::sync::Lock) | a value under a lock | one process at a time |
//!
//! ```
//! use phalanx::prelude::*;
//! use phalanx::process::fork;
//!
//! let (total, squares) = (Value::new(0u64)?, Array::<f64>::zeroed(4)?);
//! let child = fork::run(|| {
//!     for n in 0..4 {
//!         squares.store(n, (n * n) as f64);
//!         total.fetch_add(n as u64);
//!     }
//!     0
//! })?;
//! child.wait(phalanx::Patience::forever()).expect("it ends");
//! assert_eq!(total.load(), 6);
//! assert_eq!(squares.to_vec(), [0.0, 1.0, 4.0, 9.0]);
//! # Ok::<(), phalanx::Error>(())
//! ```

mod array;
mod atomic;
mod block;
mod single;

pub use array::Array;
pub use atomic::Atomic;
// Addresses of shared bytes: for the front doors of other languages.
#[doc(hidden)]
pub use block::{Block, NewBlockError};
pub use single::Value;
