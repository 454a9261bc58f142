//! Containers within containers: how deep they are, and whether a message refers to one twice.
//!
//! The native form writes a container where it stands, so one that is referred to twice would arrive as
//! two, and one that holds itself never end. What only its holder refers to cannot be met again but by
//! way of a holder that is; so it is enough to remember those that anything else refers to, and the
//! tuples of that kind from the moment that something mutable is found in them.
use std::collections::HashSet;

use pyo3::prelude::*;

use super::frame::MAX_DEPTH;
use crate::ffi::is_shared;

type Address = *const ();

/// The containers around the value that is being written, and those that must not be met again.
pub(super) struct Nesting {
    depth: usize,
    /// The message itself, until it is among the met.
    root: Option<Address>,
    /// Shared tuples around the value in which nothing mutable has been found yet.
    open: Vec<Address>,
    met: HashSet<Address>,
}

impl Nesting {
    /// For the message `root`, which is a container.
    #[inline]
    pub(super) fn new(root: Borrowed<'_, '_, PyAny>) -> Self {
        Self { depth: 1, root: Some(address(root)), open: Vec::new(), met: HashSet::default() }
    }

    /// Goes into a container; false if it is too deep.
    #[inline]
    pub(super) fn deeper(&mut self) -> bool {
        self.depth += 1;
        self.depth <= MAX_DEPTH
    }

    /// Comes out of a container.
    #[inline]
    pub(super) fn back(&mut self) {
        self.depth -= 1;
    }

    /// Begins a tuple to which `held` of our own handles refer. The result is for
    /// [`Nesting::close_tuple`].
    #[inline]
    pub(super) fn open_tuple(&mut self, tuple: Borrowed<'_, '_, PyAny>, held: isize) -> usize {
        let before = self.open.len();
        if is_shared(tuple, held) {
            self.open.push(address(tuple));
        }
        before
    }

    /// Ends a tuple.
    #[inline]
    pub(super) fn close_tuple(&mut self, before: usize) {
        self.open.truncate(before);
    }

    /// Meets a mutable container to which `held` of our own handles refer. False if it, or a tuple
    /// around it, has been met before.
    pub(super) fn meet(&mut self, container: Borrowed<'_, '_, PyAny>, held: isize) -> bool {
        if let Some(root) = self.root.take() {
            self.met.insert(root);
        }
        let new = self.open.drain(..).all(|tuple| self.met.insert(tuple));
        new && (!is_shared(container, held) || self.met.insert(address(container)))
    }
}

fn address(object: Borrowed<'_, '_, PyAny>) -> Address {
    object.as_ptr().cast::<()>().cast_const()
}
