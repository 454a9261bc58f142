//! The values of a queue one after another.

use super::Queue;
use crate::error::RecvError;
use crate::wire::{Codec, DecodeError, Postcard};

/// Takes values for ever; see [`Queue::iter`]. An item is an error if its message was put as another
/// type.
///
/// ```
/// let queue = phalanx::Queue::unbounded()?;
/// queue.put_many(0..4u64)?;
/// // Would wait for a fourth one.
/// assert_eq!(queue.iter().take(3).flatten().sum::<u64>(), 3);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Debug)]
pub struct Iter<'a, T, C = Postcard> {
    queue: &'a Queue<T, C>,
}

impl<'a, T, C> Iter<'a, T, C> {
    pub(super) const fn new(queue: &'a Queue<T, C>) -> Self {
        Self { queue }
    }
}

impl<T, C: Codec<T>> Iterator for Iter<'_, T, C> {
    type Item = Result<T, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.queue.take() {
                Ok(value) => return Some(Ok(value)),
                Err(RecvError::Decode(e)) => return Some(Err(e)),
                // Without a deadline there is no other end of a wait.
                Err(_) => {}
            }
        }
    }
}

impl<'a, T, C: Codec<T>> IntoIterator for &'a Queue<T, C> {
    type Item = Result<T, DecodeError>;
    type IntoIter = Iter<'a, T, C>;

    fn into_iter(self) -> Iter<'a, T, C> {
        self.iter()
    }
}

/// Takes values while there are any; see [`Queue::drain`]. An item is an error if its message was put
/// as another type.
///
/// ```
/// let queue = phalanx::Queue::<u64>::unbounded()?;
/// assert!(queue.drain().next().is_none());
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Debug)]
pub struct Drain<'a, T, C = Postcard> {
    queue: &'a Queue<T, C>,
}

impl<'a, T, C> Drain<'a, T, C> {
    pub(super) const fn new(queue: &'a Queue<T, C>) -> Self {
        Self { queue }
    }
}

impl<T, C: Codec<T>> Iterator for Drain<'_, T, C> {
    type Item = Result<T, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.queue.try_take() {
            Ok(value) => value.map(Ok),
            Err(RecvError::Decode(e)) => Some(Err(e)),
            Err(_) => None,
        }
    }
}
