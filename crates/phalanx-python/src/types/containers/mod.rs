//! Dictionaries and lists in shared memory, with the methods of `dict` and `list`.

mod common;
mod dict;
mod key;
mod list;

pub(crate) use common::Unshareable;
pub(crate) use dict::SharedDict;
pub(crate) use list::SharedList;
