//! Futures of executors: what the standard library's are, made for tens of thousands at a time.
//!
//! The standard library's future is seven objects, and the interpreter's collector visits each of them
//! again and again. This one is a single object: its lock is a word, and its lists exist once somebody
//! looks at them. What the functions of `concurrent.futures` touch inside of a future (`_condition`,
//! `_state`, `_waiters` and so on) is there under these names, so that they work on it as they are.

mod base;
mod condition;
mod gate;
mod hold;
mod lock;
mod phase;
mod settling;
mod state;
mod tally;
mod waiters;

pub(crate) use base::FutureBase;
pub(crate) use condition::FutureCondition;
pub(super) use tally::Tally;
