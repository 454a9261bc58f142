//! Every order of steps of the small cases: `RUSTFLAGS="--cfg loom" cargo test --release loom`.
//!
//! A sleep that nobody ends is a deadlock here, which loom reports: time does not pass.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::condition::{Condition, ConditionHead, WaiterCell};
use super::event::EventWord;
use super::holder::{Acquired, End, Holder, Policy};
use super::lock::LockWord;
use super::permits::{Permits, PermitsHead};
use super::rlock::RLockWord;
use crate::patience::Patience;
use crate::peers::{Peers, SlotId};
use crate::sync::{AtomicU32, Deadline};

struct Me(u16);

impl Peers for Me {
    fn me(&self) -> SlotId {
        SlotId::from_raw(self.0).expect("slots begin at 1")
    }
    fn pid(&self, slot: SlotId) -> u32 {
        u32::from(slot.raw()) + 1000
    }
    fn check(&self, _slot: SlotId) -> bool {
        true
    }
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn loom_lock_excludes_and_wakes() {
    explore(|| {
        let shared = Arc::new((LockWord::default(), AtomicUsize::new(0)));
        let enter = |shared: &(LockWord, AtomicUsize), me: u16| {
            let me = Me(me);
            let how = shared.0.acquire(&me, &Patience::forever());
            assert_eq!(how, Ok(Acquired::Clean));
            assert_eq!(shared.1.fetch_add(1, Ordering::Relaxed), 0);
            shared.1.fetch_sub(1, Ordering::Relaxed);
            shared.0.release(&me).expect("held");
        };
        let others: Vec<_> = (2..4)
            .map(|slot| {
                let shared = shared.clone();
                thread::spawn(move || enter(&shared, slot))
            })
            .collect();
        enter(&shared, 1);
        for other in others {
            other.join().expect("no panic");
        }
        assert_eq!(shared.0.holder(), Holder::Nobody);
    });
}

#[test]
fn loom_lock_leaver_passes_its_wake_up_on() {
    explore(|| {
        let lock = Arc::new(LockWord::default());
        let _ = lock.acquire(&Me(1), &Patience::forever());
        let patient = {
            let lock = lock.clone();
            thread::spawn(move || lock.acquire(&Me(2), &Patience::forever()).is_ok())
        };
        let hasty = {
            let lock = lock.clone();
            thread::spawn(move || {
                let soon = Patience::until(Some(Deadline::from_nanos(1)));
                if lock.acquire(&Me(3), &soon).is_ok() {
                    lock.release(&Me(3)).expect("held");
                }
            })
        };
        lock.release(&Me(1)).expect("held");
        hasty.join().expect("no panic");
        assert!(patient.join().expect("no panic"));
    });
}

#[test]
fn loom_lock_is_taken_over_from_the_dead() {
    explore(|| {
        let lock = Arc::new(LockWord::new(Policy::Raise));
        let _ = lock.acquire(&Me(9), &Patience::forever());
        let waiter = {
            let lock = lock.clone();
            thread::spawn(move || lock.acquire(&Me(2), &Patience::forever()))
        };
        let second = {
            let lock = lock.clone();
            thread::spawn(move || lock.on_death(Me(9).me(), 77, End::Abnormal))
        };
        lock.on_death(Me(9).me(), 77, End::Abnormal);
        second.join().expect("no panic");
        assert_eq!(waiter.join().expect("no panic"), Ok(Acquired::OwnerDied { pid: 77 }));
        assert_eq!(lock.holder(), Holder::Process(Me(2).me()));
    });
}

#[test]
fn loom_rlock_of_two_threads_of_one_process() {
    explore(|| {
        let lock = Arc::new(RLockWord::default());
        let twice = |lock: &RLockWord, thread: u64| {
            for _ in 0..2 {
                let _ = lock.acquire(thread, &Me(1), &Patience::forever());
            }
            assert_eq!(lock.depth(), 2);
            assert!(lock.is_mine(thread, &Me(1)));
            for _ in 0..2 {
                lock.release(thread, &Me(1)).expect("mine");
            }
        };
        let other = {
            let lock = lock.clone();
            thread::spawn(move || twice(&lock, 20))
        };
        twice(&lock, 10);
        other.join().expect("no panic");
        assert_eq!(lock.holder(), Holder::Nobody);
    });
}

#[test]
fn loom_permits_never_exceed_and_wake() {
    explore(|| {
        let shared = Arc::new((
            PermitsHead::new(1, true, Policy::Raise),
            [AtomicU32::new(0)],
            AtomicUsize::new(0),
        ));
        let enter = |shared: &(PermitsHead, [AtomicU32; 1], AtomicUsize), me: u16| {
            let me = Me(me);
            let permits = Permits::new(&shared.0, &shared.1);
            let _ = permits.acquire(&me, &Patience::forever());
            assert_eq!(shared.2.fetch_add(1, Ordering::Relaxed), 0);
            shared.2.fetch_sub(1, Ordering::Relaxed);
            permits.release(&me).expect("held");
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || enter(&shared, 2))
        };
        enter(&shared, 1);
        other.join().expect("no panic");
        assert_eq!(Permits::new(&shared.0, &shared.1).value(), 1);
    });
}

#[test]
fn loom_event_lets_all_pass_who_waited() {
    explore(|| {
        let event = Arc::new(EventWord::new());
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let event = event.clone();
                thread::spawn(move || event.wait(&Patience::forever()))
            })
            .collect();
        event.set();
        for waiter in waiters {
            assert_eq!(waiter.join().expect("no panic"), Ok(()));
        }
    });
}

#[test]
fn loom_condition_hands_a_change_over() {
    explore(|| {
        struct Shared {
            lock: LockWord,
            head: ConditionHead,
            cells: [WaiterCell; 2],
            ready: AtomicUsize,
        }
        let shared = Arc::new(Shared {
            lock: LockWord::default(),
            head: ConditionHead::default(),
            cells: Default::default(),
            ready: AtomicUsize::new(0),
        });
        let waiter = {
            let shared = shared.clone();
            thread::spawn(move || {
                let me = Me(2);
                let condition = Condition::new(&shared.head, &shared.cells);
                let _ = shared.lock.acquire(&me, &Patience::forever());
                while shared.ready.load(Ordering::Relaxed) == 0 {
                    let _ = condition.wait(
                        &me,
                        &Patience::forever(),
                        || shared.lock.release(&me).expect("held"),
                        || shared.lock.acquire(&me, &Patience::forever()),
                    );
                }
                shared.lock.release(&me).expect("held");
            })
        };
        let me = Me(1);
        let _ = shared.lock.acquire(&me, &Patience::forever());
        shared.ready.store(1, Ordering::Relaxed);
        Condition::new(&shared.head, &shared.cells).notify(1);
        shared.lock.release(&me).expect("held");
        waiter.join().expect("no panic");
    });
}

#[test]
fn loom_barrier_of_two_passes_two_phases() {
    use super::barrier::{Barrier, BarrierHead};
    use crate::sync::AtomicU64;
    explore(|| {
        let shared = Arc::new((BarrierHead::new(2), [AtomicU64::new(0), AtomicU64::new(0)]));
        let run = |shared: &(BarrierHead, [AtomicU64; 2]), me: u16| {
            let barrier = Barrier::new(&shared.0, &shared.1);
            let wait = || barrier.wait(&Me(me), &Patience::forever(), None);
            [wait().expect("whole"), wait().expect("whole")]
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || run(&shared, 2))
        };
        let mine = run(&shared, 1);
        let theirs = other.join().expect("no panic");
        for phase in 0..2 {
            assert_eq!(mine[phase] + theirs[phase], 1);
        }
    });
}
