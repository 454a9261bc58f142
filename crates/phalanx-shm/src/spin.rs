//! How long to busy-wait before sleeping: the one spin policy of the project.
//!
//! A wake-up costs about 6 us, so a short busy-wait pays when the other side answers sooner and
//! there is a processor to spare. The policy is adaptive: every process keeps a budget for each
//! kind of wait, moves it towards twice the time that successful spins took, lowers it when spins
//! fail, and probes again now and then. Rounds of pause instructions are separated by a
//! `sched_yield`, whose own duration tells whether somebody else needed the core.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::sync::Deadline;

/// Checks between two looks at the clock.
const CHECKS: u32 = 16;
/// The length of a round. Measured, not counted: a pause instruction takes anything from 5 to 140
/// cycles, and the answers of a running peer come within a microsecond or two.
const ROUND_NS: u64 = 1_500;
const SLOW_YIELD_NS: u64 = 1_500;
const PROBE_EVERY: u32 = 32;

/// The most that one wait may spin; see [`Spin::set_cap`].
pub const DEFAULT_CAP: Duration = Duration::from_micros(40);

/// An adaptive spin budget, private to the process.
#[derive(Debug)]
pub struct Spin {
    budget_ns: AtomicU32,
    failures: AtomicU32,
    cap_ns: AtomicU32,
}

impl Default for Spin {
    fn default() -> Self {
        Self::new()
    }
}

impl Spin {
    /// A budget that starts at half the default cap.
    #[must_use]
    pub const fn new() -> Self {
        let cap = DEFAULT_CAP.as_nanos() as u32;
        Self {
            budget_ns: AtomicU32::new(cap / 2),
            failures: AtomicU32::new(0),
            cap_ns: AtomicU32::new(cap),
        }
    }

    /// Sets the most that one wait may spin; zero turns spinning off.
    pub fn set_cap(&self, cap: Duration) {
        let ns = u32::try_from(cap.as_nanos()).unwrap_or(u32::MAX);
        self.cap_ns.store(ns, Ordering::Relaxed);
        self.budget_ns.fetch_min(ns, Ordering::Relaxed);
    }

    /// Busy-waits until `ready` gives a value or the budget is used up.
    pub fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
        let cap = u64::from(self.cap_ns.load(Ordering::Relaxed));
        if cap == 0 || cfg!(loom) {
            return ready();
        }
        let mut budget = u64::from(self.budget_ns.load(Ordering::Relaxed));
        if self.failures.load(Ordering::Relaxed) % PROBE_EVERY == PROBE_EVERY - 1 {
            budget = cap;
        }
        let start = Deadline::now().as_nanos();
        let mut charged = 0;
        let mut round = 0;
        loop {
            let mut before = Deadline::now().as_nanos();
            let round_end = before + ROUND_NS;
            while before < round_end {
                for _ in 0..CHECKS {
                    if let Some(value) = ready() {
                        self.succeeded(Deadline::now().as_nanos() - start, cap);
                        return Some(value);
                    }
                    std::hint::spin_loop();
                }
                before = Deadline::now().as_nanos();
            }
            round += 1;
            // Two rounds at least, whatever the budget has come to.
            if round >= 2 && before - start + charged >= budget {
                self.failed();
                return None;
            }
            std::thread::yield_now();
            if Deadline::now().as_nanos() - before > SLOW_YIELD_NS {
                charged += cap / 16;
            }
        }
    }

    fn succeeded(&self, used: u64, cap: u64) {
        let old = u64::from(self.budget_ns.load(Ordering::Relaxed));
        let aim = (used * 2).min(cap);
        let new = old - old / 4 + aim / 4;
        self.budget_ns.store(new as u32, Ordering::Relaxed);
    }

    fn failed(&self) {
        let old = self.budget_ns.load(Ordering::Relaxed);
        self.budget_ns.store(old - old / 4, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}
