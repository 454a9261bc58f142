//! How long to busy-wait before sleeping: the one spin policy of the project.
//!
//! A wake-up costs about 6 us, so a short busy-wait pays when the other side answers sooner and
//! there is a processor to spare. The policy is adaptive: every process keeps a budget for each
//! kind of wait, moves it towards twice the time that successful spins took, lowers it when spins
//! fail, and probes again now and then. Rounds of pause instructions are separated by a
//! `sched_yield`, whose own duration tells whether somebody else needed the core. The length of a
//! round adapts as well: a peer on another processor answers while we spin, one on ours only when
//! we give way. Long rounds make the scheduler move the peer to an idle processor, if there is one,
//! and then answers take half a microsecond; if there is none they only cost time. So they are tried
//! for some milliseconds three times a second, and kept as long as they work.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::Deadline;

/// Checks between two looks at the clock.
const CHECKS: u32 = 16;
/// A long round. Measured, not counted: a pause instruction takes anything from 5 to 140 cycles, and
/// the answers of a running peer come within a microsecond or two.
const ROUND_NS: u64 = 1_500;
/// A short round: for peers that answer only when we give way, being on the same processor.
const SHORT_ROUND_NS: u64 = 150;
/// A round of a wait for a lock.
const LOCK_ROUND_NS: u64 = 300;
/// A lock that a waiter gets within this time is hot; handing it over takes as long.
const HOT_NS: u32 = 200;
const HOT_PAUSES: u32 = 100;
const HOT_PROBE_EVERY: u32 = 16;
/// How long messages of a stream are left to gather, before they are taken together.
const GATHER_NS: u64 = 3_000;
/// So many have to have come by then; otherwise it is not tried again for so many waits, and for twice as
/// many the next time.
const GATHERED: usize = 16;
const LET_BE_LEAST: u32 = 16;
const LET_BE_MOST: u32 = 1024;
/// Pauses between two looks of a wait that is not urgent.
const SELDOM_PAUSES: u32 = 16;
/// Long enough for the scheduler to move a peer to a processor that is idle.
const LONG_PHASE_NS: u64 = 12_000_000;
const SHORT_PHASE_NS: u64 = 300_000_000;
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
    phase: Phase,
    long_round_ns: u64,
    pauses: u32,
    hot: Option<Hot>,
    stream: Stream,
}

/// Whether rounds are long or short at present, and what came of it.
#[derive(Debug)]
struct Phase {
    is_short: AtomicU32,
    /// On the monotonic clock, in nanoseconds.
    end: AtomicU64,
    waits: AtomicU32,
    /// Waits that ended within their first round.
    hits: AtomicU32,
}

impl Phase {
    const fn new() -> Self {
        Self {
            is_short: AtomicU32::new(0),
            end: AtomicU64::new(0),
            waits: AtomicU32::new(0),
            hits: AtomicU32::new(0),
        }
    }

    /// The length of the rounds of a wait that begins now.
    fn round(&self, now: u64, long: u64) -> u64 {
        if now >= self.end.load(Ordering::Relaxed) {
            self.turn(now);
        }
        if self.is_short.load(Ordering::Relaxed) == 0 { long } else { SHORT_ROUND_NS }
    }

    /// Long rounds go on if one wait in four ended within its first; otherwise they are tried again
    /// after a while of short ones.
    fn turn(&self, now: u64) {
        let waits = self.waits.swap(0, Ordering::Relaxed);
        let hits = self.hits.swap(0, Ordering::Relaxed);
        let was_long = self.is_short.load(Ordering::Relaxed) == 0;
        let goes_short = was_long && hits.saturating_mul(4) < waits;
        self.is_short.store(u32::from(goes_short), Ordering::Relaxed);
        let length = if goes_short { SHORT_PHASE_NS } else { LONG_PHASE_NS };
        self.end.store(now + length, Ordering::Relaxed);
    }

    fn note(&self, is_first_round: bool) {
        let add = |count: &AtomicU32| {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        };
        add(&self.waits);
        if is_first_round {
            add(&self.hits);
        }
    }
}

/// Whether a lock is *hot*: held for less time than it takes to hand it to another processor. Then who
/// waits does better to look seldom, and leave lock and data for a while to the processor that has
/// them in its cache. Some waits look as often as they can, to find out.
#[derive(Debug)]
struct Hot {
    waits: AtomicU32,
    typical_ns: AtomicU32,
}

impl Hot {
    const fn new() -> Self {
        Self { waits: AtomicU32::new(0), typical_ns: AtomicU32::new(u32::MAX / 8) }
    }

    /// Pause instructions between two looks, and whether this wait is one to find out.
    fn pauses(&self) -> (u32, bool) {
        let waits = self.waits.load(Ordering::Relaxed).wrapping_add(1);
        self.waits.store(waits, Ordering::Relaxed);
        let is_hot = self.typical_ns.load(Ordering::Relaxed) < HOT_NS;
        let probes = !is_hot || waits.is_multiple_of(HOT_PROBE_EVERY);
        (if probes { 1 } else { HOT_PAUSES }, probes)
    }

    fn note(&self, used: u64) {
        let old = self.typical_ns.load(Ordering::Relaxed);
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        self.typical_ns.store(old - old / 4 + used / 4, Ordering::Relaxed);
    }
}

/// Whether messages come as a stream: faster than a processor can tell another of each. Who takes each at
/// once then takes the lines in which they lie out of the hands of who writes them, many times over, so
/// that both are several times slower. Whether it is one can only be found out by letting some gather, and
/// so that is tried now and then.
#[derive(Debug)]
struct Stream {
    /// Waits until the next try.
    let_be: AtomicU32,
    next_let_be: AtomicU32,
}

impl Stream {
    const fn new() -> Self {
        Self { let_be: AtomicU32::new(0), next_let_be: AtomicU32::new(LET_BE_LEAST) }
    }

    /// Whether this wait lets messages gather.
    fn gathers(&self) -> bool {
        let left = self.let_be.load(Ordering::Relaxed);
        if left > 0 {
            self.let_be.store(left - 1, Ordering::Relaxed);
        }
        left == 0
    }

    fn note(&self, gathered: usize) {
        if gathered >= GATHERED {
            self.next_let_be.store(LET_BE_LEAST, Ordering::Relaxed);
        } else {
            let waits = self.next_let_be.load(Ordering::Relaxed);
            self.let_be.store(waits, Ordering::Relaxed);
            self.next_let_be.store((waits * 2).min(LET_BE_MOST), Ordering::Relaxed);
        }
    }
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
            phase: Phase::new(),
            long_round_ns: ROUND_NS,
            pauses: 1,
            hot: None,
            stream: Stream::new(),
        }
    }

    /// One for locks, which are held for less than it takes to answer a message: rounds are short,
    /// so that a holder that was preempted gets the processor back soon, and looks at a hot lock are
    /// rare.
    #[must_use]
    pub const fn for_locks() -> Self {
        let mut spin = Self::new();
        spin.long_round_ns = LOCK_ROUND_NS;
        spin.hot = Some(Hot::new());
        spin
    }

    /// One for waits that are not urgent, and whose looks disturb those who are waited for: they are rare.
    #[must_use]
    pub const fn seldom() -> Self {
        let mut spin = Self::new();
        spin.pauses = SELDOM_PAUSES;
        spin
    }

    /// Sets the most that one wait may spin; zero turns spinning off.
    pub fn set_cap(&self, cap: Duration) {
        let ns = u32::try_from(cap.as_nanos()).unwrap_or(u32::MAX);
        self.cap_ns.store(ns, Ordering::Relaxed);
        self.budget_ns.fetch_min(ns, Ordering::Relaxed);
    }

    /// Busy-waits until a message is `there` or the budget is used up; whether one is. If they come as a
    /// stream, by the `count` of them, some are left to gather before the first look.
    pub fn until_some(&self, there: impl Fn() -> bool, count: impl Fn() -> usize) -> bool {
        if !cfg!(loom) && self.cap_ns.load(Ordering::Relaxed) > 0 && self.stream.gathers() {
            let end = Deadline::now().as_nanos() + GATHER_NS;
            while Deadline::now().as_nanos() < end {
                (0..CHECKS).for_each(|_| std::hint::spin_loop());
            }
            let gathered = count();
            self.stream.note(gathered);
            if gathered > 0 {
                return true;
            }
        }
        self.until(|| there().then_some(())).is_some()
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
        let length = self.phase.round(start, self.long_round_ns);
        let (pauses, probes) = self.hot.as_ref().map_or((self.pauses, false), Hot::pauses);
        let mut charged = 0;
        let mut round = 0;
        loop {
            let mut before = Deadline::now().as_nanos();
            let round_end = before + length;
            while before < round_end {
                for _ in 0..CHECKS {
                    if let Some(value) = ready() {
                        let used = Deadline::now().as_nanos() - start;
                        self.phase.note(round == 0);
                        self.succeeded(used, cap);
                        if probes && let Some(hot) = &self.hot {
                            hot.note(used);
                        }
                        return Some(value);
                    }
                    for _ in 0..pauses {
                        std::hint::spin_loop();
                    }
                }
                before = Deadline::now().as_nanos();
            }
            round += 1;
            // Two rounds at least, whatever the budget has come to.
            if round >= 2 && before - start + charged >= budget {
                self.phase.note(false);
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
