//! What a pool's workers call: closures, functions, and functions with a name of their own.

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

/// A function with the name by which it can be told from all others of the program: what
/// `#[phalanx::task]` makes of a function. A function of several arguments takes them as a tuple.
#[derive(Debug)]
pub struct Function<A, R> {
    name: &'static str,
    call: fn(A) -> R,
}

impl<A, R> Clone for Function<A, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, R> Copy for Function<A, R> {}

impl<A, R> Function<A, R> {
    /// The function under its name, by convention `module_path::name`.
    #[must_use]
    pub const fn new(name: &'static str, call: fn(A) -> R) -> Self {
        Self { name, call }
    }

    /// The function's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<A, R> Callable<A, R> for Function<A, R> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn call(&self, argument: A) -> R {
        (self.call)(argument)
    }
}
