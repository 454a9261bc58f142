//! The only unsafe room of this crate: what it needs from the raw CPython API, as safe functions
//! over typed handles.
//!
//! Everything here works on objects of this process' own heap. Nothing touches shared memory, so
//! the death of another process cannot change what a block below relies on; each note says so in
//! its own terms.
#![allow(unsafe_code)]

mod block;
mod build;
mod call;
mod fd;
mod fill;
mod fork;
mod function;
mod lock_methods;
mod payload;
mod quick_property;
mod segment;
mod shared_buffer;
mod thread_call;
mod view;

pub(crate) use block::SharedBlock;
pub(crate) use build::{list_from, str_from_utf8, tuple_from};
pub(crate) use call::call_with_keyword;
pub(crate) use fd::borrow_fds;
pub(crate) use fill::fill_new;
pub(crate) use fork::{Forked, fork, has_other_threads};
pub(crate) use function::FunctionParts;
pub(crate) use lock_methods::{QuickLock, quicken};
pub(crate) use payload::Payload;
pub(crate) use quick_property::{QuickProperty, quick_property};
pub(crate) use segment::Segment;
pub(crate) use shared_buffer::SharedBuffer;
pub(crate) use thread_call::call_in_thread;
pub(crate) use view::{View, each_item, is_shared, utf8, view};
