//! Functions on their way to the workers that call them.
//!
//! A function is sent once and then named by its `id`, a hash of what was sent. How it travels
//! depends on what it is:
//!
//! | callable | form | kept by the sender | kept by the worker |
//! |---|---|---|---|
//! | function or class that can be imported | its name | yes | yes |
//! | function of `__main__` | name, fingerprint and value | while nothing it depends on changes | yes |
//! | lambda, closure, local function | value | likewise | yes |
//! | `partial`, bound method, object with `__call__` | value | never: its state may change | made anew each time |
//!
//! The fingerprint lets a worker tell whether its own `__main__` has the same function. If it has,
//! that one is called, with the globals of that process. If not (the function was defined after the
//! worker was forked, or the program is a notebook and the worker cannot import it), the value is
//! adopted into the worker's `__main__`.
mod adopt;
mod cache;
mod definition;
mod known;
mod ship;
mod value;

pub(crate) use adopt::{_adopts_main, adopt as adopt_global, begin_adopting, begin_adopting_all};
pub(crate) use cache::FunctionCache;
pub(crate) use ship::ship;

/// The first byte of a shipped function.
mod form {
    /// A pickle that gives the same function each time.
    pub(super) const NAMED: u8 = 1;
    /// A pickle of an object with state of its own.
    pub(super) const STATEFUL: u8 = 2;
    /// A name in `__main__`, a fingerprint and one of the values below.
    pub(super) const MAIN: u8 = 3;
    /// No value: the worker has the function or nothing.
    pub(super) const NO_VALUE: u8 = 0;
    /// A plain function, as `value` describes it.
    pub(super) const PLAIN: u8 = 1;
    /// A pickle by value.
    pub(super) const PICKLED: u8 = 2;
}
