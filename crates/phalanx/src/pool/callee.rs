//! What a pool's workers call: tasks of the program, and closures that they were forked with.

use std::fmt;
use std::marker::PhantomData;

use crate::task::Function;

/// Names a function to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callee {
    pub(super) name: &'static str,
    pub(super) target: Target,
}

/// Where a worker finds the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// In the program's list of tasks, under that number.
    Task(u64),
    /// Among the closures of the builder with that number.
    Closure { builder: u64, index: usize },
}

impl Target {
    /// What a batch says of its function.
    pub(super) fn tag(self) -> [u64; 2] {
        match self {
            Self::Task(id) => [0, id],
            Self::Closure { builder, index } => [builder, index as u64],
        }
    }

    pub(super) fn from_tag([builder, number]: [u64; 2]) -> Self {
        match builder {
            0 => Self::Task(number),
            builder => Self::Closure { builder, index: number as usize },
        }
    }
}

/// What [`Pool`](super::Pool) can run for each item: a [task's handle](Function), or a [`Closure`].
///
/// There is nothing to implement.
///
/// ```
/// use phalanx::pool::{Callable, Pool, PoolError};
///
/// /// Works with tasks of the program and with closures.
/// fn total(pool: &Pool, f: impl Callable<u64, u64>, up_to: u64) -> Result<u64, PoolError> {
///     Ok(pool.map(f, 0..up_to)?.into_iter().sum())
/// }
///
/// let (pool, square) = Pool::fork(2, |x: u64| x * x)?;
/// assert_eq!(total(&pool, square, 4)?, 14);
/// # Ok::<(), PoolError>(())
/// ```
pub trait Callable<A, R>: Copy + sealed::Sealed {
    /// Names the function to a worker.
    ///
    /// # Errors
    /// Why no worker would find it.
    #[doc(hidden)]
    fn callee(&self) -> Result<Callee, String>;
}

mod sealed {
    pub trait Sealed {}
    impl<A, R> Sealed for super::Function<A, R> {}
    impl<A, R> Sealed for super::Closure<A, R> {}
}

impl<A, R> Callable<A, R> for Function<A, R> {
    fn callee(&self) -> Result<Callee, String> {
        let registered = self.registered();
        registered.check().map_err(|unknown| unknown.to_string())?;
        Ok(Callee { name: registered.name(), target: Target::Task(registered.id()) })
    }
}

/// Names a closure that a pool's workers were forked with: see
/// [`Builder::closure`](super::Builder::closure).
///
/// ```
/// use phalanx::pool::{Closure, Pool};
///
/// let limit = 10; // known to the workers, which are forked
/// let (pool, is_small): (Pool, Closure<u64, bool>) = Pool::fork(2, move |x| x < limit)?;
/// assert_eq!(pool.map(is_small, [5, 15])?, [true, false]);
/// # Ok::<(), phalanx::pool::PoolError>(())
/// ```
pub struct Closure<A, R> {
    callee: Callee,
    types: PhantomData<fn(A) -> R>,
}

impl<A, R> Closure<A, R> {
    pub(super) fn new(builder: u64, index: usize, name: &'static str) -> Self {
        let target = Target::Closure { builder, index };
        Self { callee: Callee { name, target }, types: PhantomData }
    }
}

impl<A, R> Callable<A, R> for Closure<A, R> {
    fn callee(&self) -> Result<Callee, String> {
        Ok(self.callee)
    }
}

impl<A, R> Clone for Closure<A, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, R> Copy for Closure<A, R> {}

impl<A, R> fmt::Debug for Closure<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Closure").field(&self.callee.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_names_its_function() {
        for target in [Target::Task(0), Target::Task(7), Target::Closure { builder: 3, index: 1 }] {
            assert_eq!(Target::from_tag(target.tag()), target);
        }
    }
}
