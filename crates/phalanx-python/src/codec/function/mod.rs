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
mod cache;
mod definition;
mod known;
mod ship;

pub(crate) use cache::{_adopt_main, _adopts_main, FunctionCache};
pub(crate) use ship::{ShippedFunction, ship};

/// The first byte of a shipped function.
mod form {
    /// A pickle that gives the same function each time.
    pub(super) const NAMED: u8 = 1;
    /// A pickle of an object with state of its own.
    pub(super) const STATEFUL: u8 = 2;
    /// A name in `__main__`, a fingerprint and perhaps a value.
    pub(super) const MAIN: u8 = 3;
}
