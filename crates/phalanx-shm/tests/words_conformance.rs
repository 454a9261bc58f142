//! What every word promises, wherever it lies: on the heap between threads, in an anonymous shared
//! file between threads, and in that file between processes.
//!
//! Each scene gets one memory with all words in it, and workers that meet there.

#![cfg(not(loom))]
#![allow(unsafe_code, clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use phalanx_os::clock::Deadline;
use phalanx_os::memory::SharedRegion;
use phalanx_shm::engine_lock::EngineLock;
use phalanx_shm::event_count::EventCount;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::words::barrier::{Barrier, BarrierHead};
use phalanx_shm::words::condition::{Condition, ConditionHead, WaiterCell};
use phalanx_shm::words::event::EventWord;
use phalanx_shm::words::lock::LockWord;
use phalanx_shm::words::permits::{Permits, PermitsHead};
use phalanx_shm::words::rlock::RLockWord;
use phalanx_shm::words::{Acquired, Holder, NotHeld, Policy};

mod support;
use support::{Watchdog, forked};

const FOREVER: Patience<'static> = Patience::forever();
const WORKERS: u16 = 4;
const PERMITS: u32 = 2;
const ROUNDS: u32 = 2_000;

/// A worker, which takes all others for alive.
#[derive(Clone, Copy)]
struct Worker(u16);

impl Peers for Worker {
    fn me(&self) -> SlotId {
        SlotId::from_raw(self.0).unwrap()
    }
    fn pid(&self, slot: SlotId) -> u32 {
        u32::from(slot.raw()) + 1000
    }
    fn check(&self, _slot: SlotId) -> bool {
        true
    }
}

/// All words, and numbers for what they guard. As few as possible are atomic read-modify-writes: a
/// word that does not exclude loses counts.
#[repr(C)]
struct Words {
    lock: LockWord,
    rlock: RLockWord,
    permits: PermitsHead,
    permit_cells: [AtomicU32; PERMITS as usize],
    condition: ConditionHead,
    waiter_cells: [WaiterCell; WORKERS as usize],
    events: [EventWord; 2],
    barrier: BarrierHead,
    barrier_cells: [AtomicU64; WORKERS as usize],
    engine_lock: EngineLock,
    changed: [EventCount; 2],
    number: AtomicU32,
    inside: AtomicU32,
}

impl Words {
    fn new() -> Self {
        Self {
            lock: LockWord::default(),
            rlock: RLockWord::new(Policy::Raise),
            permits: PermitsHead::new(PERMITS, true, Policy::Raise),
            permit_cells: Default::default(),
            condition: ConditionHead::default(),
            waiter_cells: Default::default(),
            events: [EventWord::new(), EventWord::new()],
            barrier: BarrierHead::new(u32::from(WORKERS)),
            barrier_cells: Default::default(),
            engine_lock: EngineLock::new(),
            changed: Default::default(),
            number: AtomicU32::new(0),
            inside: AtomicU32::new(0),
        }
    }

    fn permits(&self) -> Permits<'_> {
        Permits::new(&self.permits, &self.permit_cells)
    }

    fn condition(&self) -> Condition<'_> {
        Condition::new(&self.condition, &self.waiter_cells)
    }

    fn barrier(&self) -> Barrier<'_> {
        Barrier::new(&self.barrier, &self.barrier_cells)
    }

    /// Adds one in a way that loses counts unless nobody else does so meanwhile.
    fn add_one(&self) {
        let now = self.number.load(SeqCst);
        std::hint::black_box(());
        self.number.store(now + 1, SeqCst);
    }
}

/// Where words lie, and what works on them.
trait Ground {
    fn words() -> &'static Words;
    /// Runs workers 1 to `count` at the same time; each must come to its end.
    fn each(count: u16, body: &(dyn Fn(Worker) + Sync));
}

fn in_shared_file() -> &'static Words {
    let region = Box::leak(Box::new(SharedRegion::create("words", 1 << 16).unwrap()));
    let place = region.base().cast::<Words>();
    // SAFETY: a mapping of its own, aligned to a page, large enough and never unmapped.
    unsafe {
        place.write(Words::new());
        &*place
    }
}

fn in_threads(count: u16, body: &(dyn Fn(Worker) + Sync)) {
    std::thread::scope(|scope| {
        for raw in 1..=count {
            scope.spawn(move || body(Worker(raw)));
        }
    });
}

struct OnHeap;
impl Ground for OnHeap {
    fn words() -> &'static Words {
        Box::leak(Box::new(Words::new()))
    }
    fn each(count: u16, body: &(dyn Fn(Worker) + Sync)) {
        in_threads(count, body);
    }
}

struct Threads;
impl Ground for Threads {
    fn words() -> &'static Words {
        in_shared_file()
    }
    fn each(count: u16, body: &(dyn Fn(Worker) + Sync)) {
        in_threads(count, body);
    }
}

struct Processes;
impl Ground for Processes {
    fn words() -> &'static Words {
        in_shared_file()
    }
    fn each(count: u16, body: &(dyn Fn(Worker) + Sync)) {
        let children: Vec<_> = (1..=count).map(|raw| forked(move || body(Worker(raw)))).collect();
        children.into_iter().for_each(|child| assert_eq!(child.wait(), 0));
    }
}

fn soon() -> Patience<'static> {
    Patience::timeout(Some(Duration::from_millis(20)))
}

fn a_lock_excludes<G: Ground>() {
    let words = G::words();
    G::each(WORKERS, &|me| {
        for _ in 0..ROUNDS {
            assert_eq!(words.lock.acquire(&me, &FOREVER), Ok(Acquired::Clean));
            words.add_one();
            words.lock.release(&me).unwrap();
        }
    });
    assert_eq!(words.number.load(SeqCst), ROUNDS * u32::from(WORKERS));
    assert_eq!(words.lock.holder(), Holder::Nobody);
}

fn a_lock_that_is_taken_keeps_time_and_may_be_released_by_others<G: Ground>() {
    let words = G::words();
    assert_eq!(words.lock.acquire(&Worker(WORKERS + 1), &FOREVER), Ok(Acquired::Clean));
    G::each(2, &|me| {
        let start = Instant::now();
        assert_eq!(words.lock.acquire(&me, &soon()), Err(GaveUp::TimedOut));
        assert!(start.elapsed() >= Duration::from_millis(20));
    });
    G::each(1, &|me| words.lock.release(&me).unwrap());
    assert_eq!(words.lock.holder(), Holder::Nobody);
    assert_eq!(words.lock.release(&Worker(1)), Err(NotHeld));
}

fn a_reentrant_lock_excludes_all_but_its_owner<G: Ground>() {
    let words = G::words();
    G::each(WORKERS, &|me| {
        let thread = u64::from(me.0);
        for round in 0..ROUNDS {
            let depth = 1 + round % 3;
            for _ in 0..depth {
                assert!(words.rlock.acquire(thread, &me, &FOREVER).is_ok());
            }
            assert_eq!(words.rlock.depth(), depth);
            assert_eq!(words.rlock.release(thread + 1, &me), Err(NotHeld));
            words.add_one();
            for _ in 0..depth {
                words.rlock.release(thread, &me).unwrap();
            }
        }
    });
    assert_eq!(words.number.load(SeqCst), ROUNDS * u32::from(WORKERS));
    assert_eq!(words.rlock.holder(), Holder::Nobody);
}

fn permits_are_no_more_than_there_are<G: Ground>() {
    let words = G::words();
    G::each(WORKERS, &|me| {
        for _ in 0..ROUNDS {
            assert_eq!(words.permits().acquire(&me, &FOREVER), Ok(Acquired::Clean));
            assert!(words.inside.fetch_add(1, SeqCst) < PERMITS);
            words.inside.fetch_sub(1, SeqCst);
            words.permits().release(&me).unwrap();
        }
    });
    assert_eq!(words.permits().value(), PERMITS);
    assert_eq!(words.permits().release(&Worker(1)), Err(NotHeld), "a bounded one has its bound");
    for _ in 0..PERMITS {
        assert!(words.permits().try_acquire(&Worker(1)).is_some());
    }
    G::each(1, &|me| assert_eq!(words.permits().acquire(&me, &soon()), Err(GaveUp::TimedOut)));
}

fn a_condition_hands_things_over<G: Ground>() {
    let words = G::words();
    let enter = |me: &Worker| assert!(words.lock.acquire(me, &FOREVER).is_ok());
    let leave = |me: &Worker| words.lock.release(me).unwrap();
    G::each(WORKERS, &|me| {
        for _ in 0..ROUNDS {
            enter(&me);
            if me.0.is_multiple_of(2) {
                words.number.store(words.number.load(SeqCst) + 1, SeqCst);
                words.condition().notify(1);
            } else {
                while words.number.load(SeqCst) == 0 {
                    let waited =
                        words.condition().wait(&me, &FOREVER, || leave(&me), || enter(&me));
                    assert_eq!(waited.end, Ok(()));
                }
                words.number.store(words.number.load(SeqCst) - 1, SeqCst);
            }
            leave(&me);
        }
    });
    assert_eq!(words.number.load(SeqCst), 0);
    assert_eq!(words.condition().waiting(), 0);
}

fn a_condition_wakes_all<G: Ground>() {
    let words = G::words();
    let enter = |me: &Worker| assert!(words.lock.acquire(me, &FOREVER).is_ok());
    let leave = |me: &Worker| words.lock.release(me).unwrap();
    G::each(WORKERS, &|me| {
        if me.0 == WORKERS {
            while words.condition().waiting() < usize::from(WORKERS) - 1 {
                std::thread::yield_now();
            }
            enter(&me);
            words.number.store(1, SeqCst);
            assert_eq!(words.condition().notify_all(), usize::from(WORKERS) - 1);
        } else {
            enter(&me);
            while words.number.load(SeqCst) == 0 {
                let waited = words.condition().wait(&me, &FOREVER, || leave(&me), || enter(&me));
                assert_eq!(waited.end, Ok(()));
            }
        }
        leave(&me);
    });
}

fn events_take_turns<G: Ground>() {
    let words = G::words();
    assert_eq!(words.events[0].wait(&soon()), Err(GaveUp::TimedOut));
    G::each(2, &|me| {
        let [mine, theirs] = if me.0 == 1 { [0, 1] } else { [1, 0] };
        for _ in 0..ROUNDS {
            if me.0 == 1 {
                words.add_one();
                words.events[theirs].set();
            }
            assert_eq!(words.events[mine].wait(&FOREVER), Ok(()));
            words.events[mine].clear();
            if me.0 == 2 {
                words.add_one();
                words.events[theirs].set();
            }
        }
    });
    assert_eq!(words.number.load(SeqCst), 2 * ROUNDS);
}

fn a_barrier_lets_all_go_together<G: Ground>() {
    let words = G::words();
    G::each(WORKERS, &|me| {
        for round in 1..=ROUNDS / 4 {
            words.number.fetch_add(1, SeqCst);
            let order = words.barrier().wait(&me, &FOREVER, None).unwrap();
            assert!(words.number.load(SeqCst) >= round * u32::from(WORKERS));
            words.inside.fetch_add(order, SeqCst);
        }
    });
    assert_eq!(words.inside.load(SeqCst), ROUNDS / 4 * (0..u32::from(WORKERS)).sum::<u32>());
    assert_eq!(words.barrier().waiting(), 0);
}

fn the_engine_lock_excludes<G: Ground>() {
    let words = G::words();
    G::each(WORKERS, &|me| {
        for _ in 0..ROUNDS {
            words.engine_lock.lock(&me, &FOREVER).unwrap();
            words.add_one();
            words.engine_lock.unlock();
        }
    });
    assert_eq!(words.number.load(SeqCst), ROUNDS * u32::from(WORKERS));
    assert_eq!(words.engine_lock.holder(), None);
}

fn an_event_count_loses_no_wake_up<G: Ground>() {
    let words = G::words();
    G::each(2, &|me| {
        let mine = u32::from(me.0 - 1);
        for _ in 0..ROUNDS {
            // Sleeps without an end: a wake-up that was lost would be noticed by the watchdog.
            while words.number.load(SeqCst) % 2 != mine {
                let ticket = words.changed[mine as usize].register();
                if words.number.load(SeqCst) % 2 != mine {
                    let _ = words.changed[mine as usize].sleep(ticket, None::<Deadline>);
                }
            }
            words.number.fetch_add(1, SeqCst);
            words.changed[1 - mine as usize].notify_one();
        }
    });
    assert_eq!(words.number.load(SeqCst), 2 * ROUNDS);
}

macro_rules! on {
    ($($ground:ident => $module:ident: [$($scene:ident),* $(,)?])*) => {
        $(mod $module {
            $(#[test]
            fn $scene() {
                let _watchdog = super::Watchdog::start(60);
                super::$scene::<super::$ground>();
            })*
        })*
    };
}

macro_rules! scenes {
    ($($scenes:tt)*) => {
        on! {
            OnHeap => on_the_heap: [$($scenes)*]
            Threads => in_a_shared_file_between_threads: [$($scenes)*]
            Processes => in_a_shared_file_between_processes: [$($scenes)*]
        }
    };
}

scenes! {
    a_lock_excludes,
    a_lock_that_is_taken_keeps_time_and_may_be_released_by_others,
    a_reentrant_lock_excludes_all_but_its_owner,
    permits_are_no_more_than_there_are,
    a_condition_hands_things_over,
    a_condition_wakes_all,
    events_take_turns,
    a_barrier_lets_all_go_together,
    the_engine_lock_excludes,
    an_event_count_loses_no_wake_up,
}
