//! Functions that other processes can be asked to run.
//!
//! [`#[phalanx::task]`](macro@crate::task) leaves a function as it is and enters it into a list that the
//! linker makes; `f::task()` gives a [`Function`], its handle. What travels to another process is the
//! function's number in that list, which every process that runs the same program can look up: a forked
//! one, a copy of the [zygote](crate::process::StartMethod), or the program started again. So a function that
//! is no task cannot be sent by mistake, and nothing depends on where code lies in memory.
//!
//! A task's arguments and result are any types that serde can serialize and deserialize
//! ([`wire::Message`](crate::wire::Message)); they are values, not references, since the other process
//! sees nothing of the caller's memory.
//!
//! [`SharedBytes`](crate::bytes::SharedBytes) anywhere inside are not copied, however large they are: those
//! of an argument of a pool's task are read where they lie, and kept until the task is answered; those of
//! a result are handed over, if the task has no other view of them. Handles of other shared objects
//! (queues, locks, values) travel in arguments and results alike: an object lives as long as a handle to
//! it, or an argument or result with one that has not been read. Ends of pipes and channels are fetched
//! from the process that sent them, which has to live until then: they can be in a result of a pool's
//! task, but not in that of a [process](crate::process::Process), which ends with it.
//!
//! ```
//! #[phalanx::task]
//! fn area(width: u64, height: u64) -> u64 {
//!     width * height
//! }
//!
//! assert_eq!(area(3, 4), 12);
//! let handle = area::task();
//! assert!(handle.name().ends_with("::area"));
//! assert_eq!(handle.call((3, 4)), 12);
//! ```

mod cancel;
mod panic;
mod registry;
mod run;

use std::fmt;

pub use cancel::cancelled;
#[doc(hidden)]
pub use cancel::{Flag, watching};
pub use panic::Panic;
pub(crate) use panic::{catch, recorded};
pub(crate) use registry::find;
#[doc(hidden)]
pub use registry::{Registered, TASKS};
pub(crate) use run::encode_result;
#[doc(hidden)]
pub use run::{Failed, Out, Outcome, run};

/// The handle of a function that other processes can run: what `f::task()` gives of a function that is
/// marked with [`#[phalanx::task]`](macro@crate::task).
///
/// A function of one argument has it as `A`; one of several takes them as a tuple; one without any
/// takes `()`.
///
/// ```
/// use phalanx::task::Function;
///
/// #[phalanx::task]
/// fn area(width: u64, height: u64) -> u64 {
///     width * height
/// }
///
/// let handle: Function<(u64, u64), u64> = area::task();
/// assert_eq!(handle.call((3, 4)), area(3, 4));
/// assert!(handle.name().ends_with("area"));
/// ```
pub struct Function<A, R> {
    registered: &'static Registered,
    call: fn(A) -> R,
}

impl<A, R> Function<A, R> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(registered: &'static Registered, call: fn(A) -> R) -> Self {
        Self { registered, call }
    }

    /// The function's name: `module::path::name`.
    ///
    /// ```
    /// #[phalanx::task]
    /// fn area(width: u64, height: u64) -> u64 {
    ///     width * height
    /// }
    ///
    /// assert!(area::task().name().ends_with("::area"));
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.registered.name()
    }

    /// Calls the function, here and now.
    ///
    /// ```
    /// #[phalanx::task]
    /// fn area(width: u64, height: u64) -> u64 {
    ///     width * height
    /// }
    ///
    /// assert_eq!(area::task().call((3, 4)), 12);
    /// ```
    pub fn call(&self, argument: A) -> R {
        (self.call)(argument)
    }

    pub(crate) const fn registered(&self) -> &'static Registered {
        self.registered
    }
}

impl<A, R> Clone for Function<A, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, R> Copy for Function<A, R> {}

impl<A, R> fmt::Debug for Function<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").field(&self.name()).finish()
    }
}
