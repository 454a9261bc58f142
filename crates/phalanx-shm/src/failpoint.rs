//! Named steps at which a test can kill the process: the kill matrix.
//!
//! `failpoint!("ring.put.written")` compiles to nothing without the feature `failpoints`. With
//! it, a process in which `arm` named that step sends itself SIGKILL (or SIGSTOP) there.
//!
//! Under loom the same steps are where a thread of a model can stop for good: see the module `model` there.

/// Marks a step between two writes to shared memory.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::reached($name);
        #[cfg(loom)]
        $crate::failpoint::model::step();
    };
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

    struct Step {
        name: String,
        signal: i32,
        skip: AtomicU32,
    }

    /// A pointer and no lock: another thread might hold a lock while this one forks.
    static ARMED: AtomicPtr<Step> = AtomicPtr::new(std::ptr::null_mut());

    /// From now on this process sends itself `signal` when it reaches the step `name` for the
    /// `nth` time (0: the first).
    pub fn arm(name: &str, signal: i32, nth: u32) {
        let step = Step { name: name.to_owned(), signal, skip: AtomicU32::new(nth) };
        ARMED.store(Box::leak(Box::new(step)), Ordering::Release);
    }

    /// From now on this process passes all steps.
    pub fn disarm() {
        ARMED.store(std::ptr::null_mut(), Ordering::Release);
    }

    /// Called by the macro.
    pub fn reached(name: &str) {
        let armed = ARMED.load(Ordering::Acquire);
        // SAFETY: null or a leaked box.
        #[allow(unsafe_code)]
        let Some(step) = (unsafe { armed.as_ref() }) else { return };
        if step.name != name {
            return;
        }
        let skipped =
            step.skip.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if skipped.is_err() {
            disarm();
            phalanx_os::proc::raise(step.signal);
        }
    }
}

#[cfg(feature = "failpoints")]
pub use armed::{arm, disarm, reached};

/// Deaths of a model's threads: one stops at the step that it was told, as if its process had been killed
/// there, and runs no destructor that would tidy up.
#[cfg(loom)]
pub mod model {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    struct Died;

    loom::thread_local! {
        static LEFT: Cell<Option<u32>> = Cell::new(None);
    }

    /// Runs `work` up to its step number `nth`, the first being 0. True if it came that far, and died.
    ///
    /// What `work` drops as it dies must do nothing that the model checker sees.
    pub fn dies_at(nth: u32, work: impl FnOnce()) -> bool {
        LEFT.with(|left| left.set(Some(nth)));
        let end = catch_unwind(AssertUnwindSafe(work));
        LEFT.with(|left| left.set(None));
        match end {
            Ok(()) => false,
            Err(payload) if payload.is::<Died>() => true,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// A step between two writes.
    pub fn step() {
        match LEFT.with(Cell::get) {
            Some(0) => resume_unwind(Box::new(Died)),
            Some(n) => LEFT.with(|left| left.set(Some(n - 1))),
            None => {}
        }
    }

    /// Whether this thread is dying: then what it holds stays held.
    pub fn is_dying() -> bool {
        std::thread::panicking()
    }
}
