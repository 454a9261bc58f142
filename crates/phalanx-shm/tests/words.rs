//! What the words promise, shown between the threads of one process, each with a slot of its own.

#![cfg(not(loom))]

#[path = "support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::words::barrier::{Barrier, BarrierHead, NotPassed};
use phalanx_shm::words::condition::{Condition, ConditionHead, WaiterCell};
use phalanx_shm::words::event::EventWord;
use phalanx_shm::words::lock::LockWord;
use phalanx_shm::words::permits::{MAX_CELLS, Permits, PermitsHead, cells_for};
use phalanx_shm::words::rlock::RLockWord;
use phalanx_shm::words::{Acquired, End, Holder, NotHeld, Policy};
use support::Watchdog;

const FOREVER: Patience<'static> = Patience::forever();
const NOW: Patience<'static> = Patience::none();

/// A process with a slot, which takes all others for alive.
#[derive(Clone, Copy)]
struct As(u16);

impl Peers for As {
    fn me(&self) -> SlotId {
        slot(self.0)
    }
    fn pid(&self, slot: SlotId) -> u32 {
        u32::from(slot.raw()) + 1000
    }
    fn check(&self, _slot: SlotId) -> bool {
        true
    }
}

fn slot(raw: u16) -> SlotId {
    SlotId::from_raw(raw).expect("slots begin at 1")
}

fn soon() -> Patience<'static> {
    Patience::timeout(Some(Duration::from_millis(20)))
}

/// Runs `body` in threads with the slots 1 to `count`.
fn each(count: u16, body: impl Fn(As) + Sync) {
    let _watchdog = Watchdog::start(60);
    thread::scope(|scope| {
        for raw in 1..=count {
            let body = &body;
            scope.spawn(move || body(As(raw)));
        }
    });
}

/// Adds one in a way that loses counts unless nobody else does so meanwhile.
fn add_one(counter: &AtomicU32) {
    let now = counter.load(Ordering::Relaxed);
    std::hint::black_box(());
    counter.store(now + 1, Ordering::Relaxed);
}

fn waited_at_least(time: Duration, wait: impl FnOnce()) {
    let start = Instant::now();
    wait();
    assert!(start.elapsed() >= time, "gave up after {:?}", start.elapsed());
}

#[test]
fn a_lock_excludes() {
    let (lock, counter) = (LockWord::default(), AtomicU32::new(0));
    each(4, |me| {
        for _ in 0..20_000 {
            assert_eq!(lock.acquire(&me, &FOREVER), Ok(Acquired::Clean));
            add_one(&counter);
            lock.release(&me).expect("held");
        }
    });
    assert_eq!(counter.load(Ordering::Relaxed), 80_000);
    assert_eq!(lock.holder(), Holder::Nobody);
}

#[test]
fn a_lock_keeps_time_and_says_who_has_it() {
    let lock = LockWord::default();
    assert_eq!(lock.release(&As(1)), Err(NotHeld));
    assert_eq!(lock.try_acquire(&As(1)), Some(Acquired::Clean));
    assert_eq!(lock.holder(), Holder::Process(slot(1)));
    assert_eq!(lock.try_acquire(&As(1)), None);
    assert_eq!(lock.acquire(&As(2), &NOW), Err(GaveUp::TimedOut));
    waited_at_least(Duration::from_millis(20), || {
        assert_eq!(lock.acquire(&As(2), &soon()), Err(GaveUp::TimedOut));
    });
    lock.release(&As(2)).expect("anybody may release it");
    assert_eq!(lock.try_acquire(&As(3)), Some(Acquired::Clean));
}

#[test]
fn a_wait_ends_when_its_caller_says_so() {
    let lock = LockWord::default();
    assert!(lock.try_acquire(&As(1)).is_some());
    let give_up = || true;
    let patience = FOREVER.interruptible(&give_up);
    assert_eq!(lock.acquire(&As(2), &patience), Err(GaveUp::Interrupted));
    assert_eq!(lock.holder(), Holder::Process(slot(1)));
}

#[test]
fn the_policy_decides_what_a_death_does() {
    let taken = |policy| {
        let lock = LockWord::new(policy);
        assert!(lock.try_acquire(&As(9)).is_some());
        lock
    };
    let lock = taken(Policy::Raise);
    lock.on_death(slot(8), 88, End::Abnormal);
    assert_eq!(lock.holder(), Holder::Process(slot(9)), "another's death is no matter");
    for _ in 0..2 {
        lock.on_death(slot(9), 77, End::Abnormal);
        assert_eq!(lock.holder(), Holder::Ended { pid: 77, end: End::Abnormal });
    }
    assert_eq!(lock.try_acquire(&As(1)), Some(Acquired::OwnerDied { pid: 77 }));
    lock.release(&As(1)).expect("held");
    assert_eq!(lock.try_acquire(&As(2)), Some(Acquired::Clean), "told once");

    let lock = taken(Policy::Release);
    lock.on_death(slot(9), 77, End::Abnormal);
    assert_eq!(lock.try_acquire(&As(1)), Some(Acquired::Clean));

    let lock = taken(Policy::Wait);
    lock.on_death(slot(9), 77, End::Abnormal);
    assert_eq!(lock.holder(), Holder::Gone);
    assert_eq!(lock.acquire(&As(1), &soon()), Err(GaveUp::TimedOut));
    lock.release(&As(1)).expect("others may release it");
    assert_eq!(lock.try_acquire(&As(1)), Some(Acquired::Clean));
}

#[test]
fn a_lock_kept_at_a_normal_end_stays_a_mark_for_those_who_try() {
    let lock = LockWord::default();
    assert!(lock.try_acquire(&As(9)).is_some());
    lock.on_death(slot(9), 77, End::Normal);
    assert_eq!(lock.try_acquire(&As(1)), None);
    assert_eq!(lock.acquire(&As(1), &NOW), Err(GaveUp::TimedOut));
    assert_eq!(lock.acquire(&As(1), &FOREVER), Ok(Acquired::OwnerDied { pid: 77 }));
}

#[test]
fn a_reentrant_lock_belongs_to_a_thread() {
    let (lock, counter) = (RLockWord::default(), AtomicU32::new(0));
    each(4, |me| {
        let thread = u64::from(me.0);
        // All in one process: only the thread tells them apart.
        let process = As(1);
        for _ in 0..5_000 {
            for _ in 0..3 {
                assert!(lock.acquire(thread, &process, &FOREVER).is_ok());
            }
            assert!(lock.is_mine(thread, &process) && !lock.is_mine(thread + 1, &process));
            assert_eq!(lock.release(thread + 1, &process), Err(NotHeld));
            add_one(&counter);
            for _ in 0..3 {
                lock.release(thread, &process).expect("mine");
            }
        }
    });
    assert_eq!(counter.load(Ordering::Relaxed), 20_000);
    assert_eq!((lock.holder(), lock.depth()), (Holder::Nobody, 0));
}

#[test]
fn a_reentrant_lock_is_given_up_and_taken_back_whole() {
    let lock = RLockWord::default();
    for _ in 0..3 {
        assert!(lock.acquire(1, &As(1), &FOREVER).is_ok());
    }
    assert_eq!(lock.release_fully(1, &As(1)), Ok(3));
    assert_eq!(lock.holder(), Holder::Nobody);
    assert!(lock.acquire_fully(1, 3, &As(1), &FOREVER).is_ok());
    assert_eq!(lock.depth(), 3);
    assert_eq!(lock.release_fully(2, &As(1)), Err(NotHeld));
}

/// A semaphore on the heap.
struct Heap(PermitsHead, Vec<AtomicU32>);

impl Heap {
    fn new(value: u32, bounded: bool) -> Self {
        let cells = (0..cells_for(value)).map(|_| AtomicU32::new(0)).collect();
        Self(PermitsHead::new(value, bounded, Policy::Raise), cells)
    }

    fn view(&self) -> Permits<'_> {
        Permits::new(&self.0, &self.1)
    }
}

#[test]
fn a_semaphore_lets_so_many_in() {
    for value in [1, 3, MAX_CELLS + 3] {
        let (heap, inside) = (Heap::new(value, true), AtomicU32::new(0));
        each(6, |me| {
            for _ in 0..3_000 {
                assert_eq!(heap.view().acquire(&me, &FOREVER), Ok(Acquired::Clean));
                assert!(inside.fetch_add(1, Ordering::SeqCst) < value);
                inside.fetch_sub(1, Ordering::SeqCst);
                heap.view().release(&me).expect("held");
            }
        });
        assert_eq!(heap.view().value(), value);
        assert_eq!(heap.view().release(&As(1)), Err(NotHeld), "bounded");
    }
}

#[test]
fn a_semaphore_counts_signals() {
    let heap = Heap::new(0, false);
    each(4, |me| {
        for _ in 0..10_000 {
            if me.0 % 2 == 0 {
                heap.view().release(&me).expect("not bounded");
            } else {
                assert!(heap.view().acquire(&me, &FOREVER).is_ok());
            }
        }
    });
    assert_eq!(heap.view().value(), 0);
    assert_eq!(heap.view().try_acquire(&As(1)), None);
    waited_at_least(Duration::from_millis(20), || {
        assert_eq!(heap.view().acquire(&As(1), &soon()), Err(GaveUp::TimedOut));
    });
}

#[test]
fn a_semaphore_grows_and_can_be_released_for_others() {
    let heap = Heap::new(2, false);
    let permits = heap.view();
    for value in 3..6 {
        permits.release(&As(1)).expect("not bounded");
        assert_eq!(permits.value(), value);
    }
    for _ in 0..5 {
        assert!(permits.try_acquire(&As(1)).is_some());
    }
    assert_eq!((permits.value(), permits.held(slot(1))), (0, 2));
    permits.release(&As(2)).expect("on behalf of another");
    assert_eq!((permits.value(), permits.held(slot(1))), (1, 1));
}

#[test]
fn the_permits_of_the_dead_come_back() {
    let heap = Heap::new(3, true);
    let permits = heap.view();
    for me in [As(9), As(9), As(1)] {
        assert_eq!(permits.try_acquire(&me), Some(Acquired::Clean));
    }
    for _ in 0..2 {
        permits.on_death(slot(9), 77, End::Abnormal);
        assert_eq!(permits.value(), 0, "they are to be had, but not without a word");
    }
    for _ in 0..2 {
        assert_eq!(permits.try_acquire(&As(2)), Some(Acquired::OwnerDied { pid: 77 }));
    }
    assert_eq!(permits.try_acquire(&As(2)), None);
    for me in [As(1), As(2), As(2)] {
        permits.release(&me).expect("held");
    }
    assert_eq!((permits.value(), permits.release(&As(1))), (3, Err(NotHeld)));
}

#[test]
fn an_event_lets_pass_all_who_waited() {
    let (event, passed) = (EventWord::new(), AtomicU32::new(0));
    assert_eq!(event.wait(&NOW), Err(GaveUp::TimedOut));
    waited_at_least(Duration::from_millis(20), || {
        assert_eq!(event.wait(&soon()), Err(GaveUp::TimedOut));
    });
    each(4, |me| {
        if me.0 == 1 {
            thread::sleep(Duration::from_millis(20));
            event.set();
            event.set();
        } else {
            assert_eq!(event.wait(&FOREVER), Ok(()));
            passed.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert_eq!(passed.load(Ordering::SeqCst), 3);
    assert!(event.is_set());
    event.clear();
    assert!(!event.is_set());
    assert_eq!(event.wait(&NOW), Err(GaveUp::TimedOut));
}

#[test]
fn an_event_set_and_cleared_at_once_still_lets_pass() {
    let event = EventWord::new();
    let waiting = AtomicU32::new(0);
    each(3, |me| {
        if me.0 == 1 {
            while waiting.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(10));
            event.set();
            event.clear();
        } else {
            waiting.fetch_add(1, Ordering::SeqCst);
            assert_eq!(event.wait(&FOREVER), Ok(()));
        }
    });
}

/// A condition on the heap with its lock.
#[derive(Default)]
struct Meeting {
    lock: LockWord,
    head: ConditionHead,
    cells: [WaiterCell; 4],
}

impl Meeting {
    fn view(&self) -> Condition<'_> {
        Condition::new(&self.head, &self.cells)
    }

    fn enter(&self, me: As) {
        assert!(self.lock.acquire(&me, &FOREVER).is_ok());
    }

    fn leave(&self, me: As) {
        self.lock.release(&me).expect("held");
    }

    /// Waits with the lock held.
    fn wait(&self, me: As, patience: &Patience<'_>) -> Result<(), GaveUp> {
        self.view().wait(&me, patience, || self.leave(me), || self.enter(me)).end
    }

    fn until_waiting(&self, count: usize) {
        while self.view().waiting() != count {
            thread::yield_now();
        }
    }
}

#[test]
fn a_condition_wakes_so_many_and_the_oldest_first() {
    let meeting = Meeting::default();
    let order = AtomicU32::new(0);
    each(4, |me| {
        if me.0 == 4 {
            meeting.until_waiting(3);
            for left in (0..3).rev() {
                meeting.enter(me);
                assert_eq!(meeting.view().notify(1), 1);
                meeting.leave(me);
                assert_eq!(meeting.view().waiting(), left);
                while order.load(Ordering::SeqCst) + left as u32 != 3 {
                    thread::yield_now();
                }
            }
            assert_eq!(meeting.view().notify_all(), 0);
        } else {
            meeting.until_waiting(usize::from(me.0 - 1));
            meeting.enter(me);
            assert_eq!(meeting.wait(me, &FOREVER), Ok(()));
            assert_eq!(order.fetch_add(1, Ordering::SeqCst), u32::from(me.0 - 1));
            meeting.leave(me);
        }
    });
}

#[test]
fn a_condition_hands_things_over() {
    let (meeting, things) = (Meeting::default(), AtomicU32::new(0));
    let rounds = 3_000;
    each(4, |me| {
        for _ in 0..rounds {
            meeting.enter(me);
            if me.0 % 2 == 0 {
                things.fetch_add(1, Ordering::Relaxed);
                meeting.view().notify(1);
            } else {
                while things.load(Ordering::Relaxed) == 0 {
                    assert_eq!(meeting.wait(me, &FOREVER), Ok(()));
                }
                things.fetch_sub(1, Ordering::Relaxed);
            }
            meeting.leave(me);
        }
    });
    assert_eq!(things.load(Ordering::Relaxed), 0);
}

#[test]
fn a_condition_keeps_time_and_gives_the_lock_back() {
    let (meeting, me) = (Meeting::default(), As(1));
    meeting.enter(me);
    for patience in [NOW, soon()] {
        assert_eq!(meeting.wait(me, &patience), Err(GaveUp::TimedOut));
        assert_eq!(meeting.lock.holder(), Holder::Process(slot(1)));
    }
    assert_eq!(meeting.view().waiting(), 0);
    assert_eq!(meeting.view().notify(1), 0, "who has left is not notified");
}

#[test]
fn more_waiters_than_places_are_served_too() {
    let (meeting, open) = (Meeting::default(), AtomicU32::new(0));
    each(9, |me| {
        meeting.enter(me);
        if me.0 == 9 {
            meeting.leave(me);
            meeting.until_waiting(4);
            meeting.enter(me);
            open.store(1, Ordering::Relaxed);
            meeting.view().notify_all();
        } else {
            while open.load(Ordering::Relaxed) == 0 {
                assert_eq!(meeting.wait(me, &FOREVER), Ok(()));
            }
        }
        meeting.leave(me);
    });
}

#[test]
fn a_notification_of_one_who_is_interrupted_goes_to_the_next() {
    let meeting = Meeting::default();
    let asked = AtomicU32::new(0);
    each(3, |me| match me.0 {
        1 => {
            // Asked for the first time, it is notified and gives up at once.
            let give_up = || {
                if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                    assert_eq!(meeting.view().notify(1), 1);
                }
                true
            };
            meeting.enter(me);
            let patience = FOREVER.interruptible(&give_up);
            assert_eq!(meeting.wait(me, &patience), Err(GaveUp::Interrupted));
            meeting.leave(me);
        }
        2 => {
            meeting.until_waiting(1);
            meeting.enter(me);
            assert_eq!(meeting.wait(me, &FOREVER), Ok(()));
            meeting.leave(me);
        }
        _ => {}
    });
}

/// A barrier on the heap.
struct Gate(BarrierHead, Vec<AtomicU64>);

impl Gate {
    fn new(parties: u32) -> Self {
        Self(BarrierHead::new(parties), (0..parties).map(|_| AtomicU64::new(0)).collect())
    }

    fn view(&self) -> Barrier<'_> {
        Barrier::new(&self.0, &self.1)
    }

    fn until_waiting(&self, count: u32) {
        while self.view().waiting() != count {
            thread::yield_now();
        }
    }
}

#[test]
fn a_barrier_lets_all_go_together_again_and_again() {
    let (gate, arrived) = (Gate::new(4), AtomicU32::new(0));
    let orders = AtomicU32::new(0);
    each(4, |me| {
        for round in 1..=500 {
            arrived.fetch_add(1, Ordering::SeqCst);
            let order = gate.view().wait(&me, &FOREVER, None).expect("whole");
            assert!(
                arrived.load(Ordering::SeqCst) >= 4 * round,
                "nobody passes before all are there"
            );
            orders.fetch_add(order, Ordering::SeqCst);
        }
    });
    assert_eq!(orders.load(Ordering::SeqCst), 500 * (1 + 2 + 3));
}

#[test]
fn the_last_to_arrive_acts_before_anybody_passes() {
    let (gate, acts) = (Gate::new(3), AtomicU32::new(0));
    each(3, |me| {
        for round in 1..=200 {
            let mut act = || {
                acts.fetch_add(1, Ordering::SeqCst);
                true
            };
            gate.view().wait(&me, &FOREVER, Some(&mut act)).expect("whole");
            assert!(acts.load(Ordering::SeqCst) >= round);
        }
    });
    assert_eq!(acts.load(Ordering::SeqCst), 200);
}

#[test]
fn more_than_the_parties_may_come() {
    let (gate, arrivals) = (Gate::new(2), AtomicU32::new(0));
    each(6, |me| {
        // An even number altogether, so that nobody is left alone at the end.
        while arrivals.fetch_add(1, Ordering::SeqCst) < 1200 {
            gate.view().wait(&me, &FOREVER, None).expect("whole");
        }
    });
    assert_eq!(gate.view().waiting(), 0);
}

#[test]
fn a_barrier_breaks_by_time_abort_reset_and_a_failed_action() {
    let broken = Err(NotPassed::Broken);
    let breakers: [fn(&Gate, As); 4] = [
        |gate, me| assert_eq!(gate.view().wait(&me, &soon(), None), Err(NotPassed::Broken)),
        |gate, _| gate.view().abort(),
        |gate, _| gate.view().reset(),
        |gate, _| {
            let wait = |me: As| gate.view().wait(&me, &FOREVER, Some(&mut || false));
            thread::scope(|scope| {
                scope.spawn(move || assert!(wait(As(8)).is_err()));
                assert!(wait(As(9)).is_err());
            });
        },
    ];
    for breaker in breakers {
        let gate = Gate::new(3);
        each(2, |me| {
            if me.0 == 1 {
                assert_eq!(gate.view().wait(&me, &FOREVER, None), broken);
            } else {
                gate.until_waiting(1);
                breaker(&gate, me);
            }
        });
        if gate.view().is_broken() {
            assert_eq!(gate.view().wait(&As(1), &FOREVER, None), broken);
            gate.view().reset();
        }
        assert!(!gate.view().is_broken());
        each(3, |me| assert!(gate.view().wait(&me, &FOREVER, None).is_ok()));
    }
}

#[test]
fn an_interrupted_party_takes_its_arrival_back() {
    let gate = Gate::new(2);
    let give_up = || true;
    let patience = FOREVER.interruptible(&give_up);
    assert_eq!(gate.view().wait(&As(1), &patience, None), Err(NotPassed::Interrupted));
    assert_eq!((gate.view().waiting(), gate.view().is_broken()), (0, false));
    each(2, |me| assert!(gate.view().wait(&me, &FOREVER, None).is_ok()));
}

#[test]
fn the_death_of_a_party_breaks_the_barrier_only_while_it_waits() {
    let gate = Gate::new(2);
    each(2, |me| assert!(gate.view().wait(&me, &FOREVER, None).is_ok()));
    gate.view().on_death(slot(1), 77, End::Abnormal);
    assert!(!gate.view().is_broken(), "it had passed");
    each(2, |me| {
        if me.0 == 1 {
            assert_eq!(gate.view().wait(&me, &FOREVER, None), Err(NotPassed::Broken));
        } else {
            gate.until_waiting(1);
            gate.view().on_death(slot(1), 77, End::Abnormal);
        }
    });
}
