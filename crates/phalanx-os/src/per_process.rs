//! A global value that a forked child does not inherit.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicPtr, Ordering};

/// A value made at its first use in each process: after a fork the child makes its own.
///
/// The parent's value is not dropped in the child, since it may have been in use by a thread
/// that the child does not have; it stays in memory, unreachable. Its descriptors stay open.
#[derive(Debug)]
pub struct PerProcess<T: 'static>(AtomicPtr<(u32, T)>);

impl<T: Send + Sync + 'static> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    /// A place whose value has not been made yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// The value of the calling process, if it has been made.
    pub fn get(&self) -> Option<&'static T> {
        let place = self.0.load(Ordering::Acquire);
        // SAFETY: null, or a box that was leaked below, complete before it was published. Memory
        // of this process alone.
        let (owner, value) = unsafe { place.as_ref() }?;
        (*owner == std::process::id()).then_some(value)
    }

    /// The value of the calling process; `make` makes it if there is none yet. Of several
    /// threads that come at once all get the same value, and what the others made is dropped.
    pub fn get_or_make(&self, make: impl FnOnce() -> T) -> &'static T {
        if let Some(value) = self.get() {
            return value;
        }
        let old = self.0.load(Ordering::Acquire);
        let new = Box::into_raw(Box::new((std::process::id(), make())));
        match self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: just leaked, and never freed from now on.
            Ok(_) => unsafe { &(*new).1 },
            Err(other) => {
                // SAFETY: ours was never published; the other is never freed.
                unsafe {
                    drop(Box::from_raw(new));
                    &(*other).1
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_makes_its_own() -> std::io::Result<()> {
        static PLACE: PerProcess<u32> = PerProcess::new();
        assert!(PLACE.get().is_none());
        assert_eq!(PLACE.get_or_make(std::process::id), &std::process::id());
        let child = crate::fork::run_in_child(|| {
            let fresh = PLACE.get().is_none();
            let own = *PLACE.get_or_make(std::process::id) == std::process::id();
            i32::from(fresh) + 2 * i32::from(own)
        })?;
        assert_eq!(crate::wait::reap_blocking(child)?, crate::wait::ExitStatus::Code(3));
        Ok(())
    }
}
