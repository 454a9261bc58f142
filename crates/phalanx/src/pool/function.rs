//! What a pool's workers call: closures, functions, and functions with a name of their own.

use crate::task::Function;

/// Something that a pool can run for each task. Every `Fn(A) -> R` is one.
pub trait Callable<A, R> {
    /// Its name, for errors.
    fn name(&self) -> &'static str;

    /// Runs it.
    fn call(&self, argument: A) -> R;
}

impl<A, R, F: Fn(A) -> R> Callable<A, R> for F {
    fn name(&self) -> &'static str {
        std::any::type_name::<F>()
    }

    fn call(&self, argument: A) -> R {
        self(argument)
    }
}

impl<A, R> Callable<A, R> for Function<A, R> {
    fn name(&self) -> &'static str {
        Self::name(self)
    }

    fn call(&self, argument: A) -> R {
        Self::call(self, argument)
    }
}
