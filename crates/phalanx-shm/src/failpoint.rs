//! Named steps at which a test can kill the process: the kill matrix.
//!
//! `failpoint!("ring.put.written")` compiles to nothing without the feature `failpoints`. With
//! it, a process in which [`arm`] named that step sends itself SIGKILL (or SIGSTOP) there.

/// Marks a step between two writes to shared memory.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::reached($name);
    };
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ARMED: Mutex<Option<(String, i32)>> = Mutex::new(None);
    static SKIP: AtomicU32 = AtomicU32::new(0);

    /// From now on this process sends itself `signal` when it reaches the step `name` for the
    /// `nth` time (0: the first).
    pub fn arm(name: &str, signal: i32, nth: u32) {
        SKIP.store(nth, Ordering::SeqCst);
        if let Ok(mut armed) = ARMED.lock() {
            *armed = Some((name.to_owned(), signal));
        }
    }

    /// Called by the macro.
    pub fn reached(name: &str) {
        let Ok(armed) = ARMED.lock() else { return };
        let Some((wanted, signal)) = armed.as_ref() else {
            return;
        };
        if wanted != name {
            return;
        }
        if SKIP.load(Ordering::SeqCst) > 0 {
            SKIP.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        let signal = *signal;
        drop(armed);
        phalanx_os::proc::raise(signal);
    }
}

#[cfg(feature = "failpoints")]
pub use armed::{arm, reached};
