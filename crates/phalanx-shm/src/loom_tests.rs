//! Every order of steps of the lock and the event count, in small cases:
//! `RUSTFLAGS="--cfg loom" cargo test -p phalanx-shm --release loom`.
//!
//! A sleep that nobody ends is a deadlock here, which loom reports: time does not pass.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::engine_lock::EngineLock;
use crate::event_count::EventCount;
use crate::patience::Patience;
use crate::peers::{Peers, SlotId};
use crate::sync::{AtomicU32, Ordering};

pub(crate) struct Me(pub(crate) u16);

impl Peers for Me {
    fn me(&self) -> SlotId {
        SlotId::from_raw(self.0).expect("slots begin at 1")
    }
    fn pid(&self, slot: SlotId) -> u32 {
        u32::from(slot.raw())
    }
    fn check(&self, _slot: SlotId) -> bool {
        true
    }
}

pub(crate) fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

struct Guarded {
    lock: EngineLock,
    value: UnsafeCell<u32>,
}

// SAFETY: the lock guards the value; that is what the model checks.
#[allow(unsafe_code)]
unsafe impl Sync for Guarded {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Send for Guarded {}

#[test]
fn loom_engine_lock_excludes_and_wakes() {
    explore(3, || {
        let shared = Arc::new(Guarded { lock: EngineLock::new(), value: UnsafeCell::new(0) });
        let add = |shared: &Guarded, me: u16| {
            let held = shared.lock.guard(&Me(me), &Patience::forever()).expect("no deadline");
            // SAFETY: under the lock; loom reports it if somebody else is here.
            #[allow(unsafe_code)]
            shared.value.with_mut(|value| unsafe { *value += 1 });
            drop(held);
        };
        let others: Vec<_> = (2..4)
            .map(|me| {
                let shared = shared.clone();
                thread::spawn(move || add(&shared, me))
            })
            .collect();
        add(&shared, 1);
        others.into_iter().for_each(|other| other.join().expect("no panic"));
        // SAFETY: the others have ended.
        #[allow(unsafe_code)]
        shared.value.with(|value| assert_eq!(unsafe { *value }, 3));
        assert_eq!(shared.lock.holder(), None);
    });
}

#[test]
fn loom_engine_lock_is_taken_over_once() {
    explore(3, || {
        let lock = Arc::new(EngineLock::new());
        let dead = SlotId::from_raw(9).expect("not 0");
        assert!(lock.try_lock(dead));
        let take_over = move |lock: &EngineLock, me: u16| {
            let me = SlotId::from_raw(me).expect("not 0");
            let mine = lock.take_over(me, |holder| holder == dead);
            if mine {
                assert_eq!(lock.holder(), Some(me));
                lock.release_dead();
            }
            u32::from(mine)
        };
        let other = {
            let lock = lock.clone();
            thread::spawn(move || take_over(&lock, 2))
        };
        let sum = take_over(&lock, 1) + other.join().expect("no panic");
        assert_eq!(sum, 1);
        assert_eq!(lock.holder(), None);
    });
}

/// Sleeps until the flag is up.
fn await_flag(shared: &(EventCount, AtomicU32), value: u32) {
    while shared.1.load(Ordering::Acquire) < value {
        let ticket = shared.0.register();
        if shared.1.load(Ordering::Acquire) < value {
            let _ = shared.0.sleep(ticket, None);
        }
    }
}

#[test]
fn loom_event_count_wakes_each_sleeper_once() {
    explore(3, || {
        let shared = Arc::new((EventCount::new(), AtomicU32::new(0)));
        let sleepers: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || await_flag(&shared, 1))
            })
            .collect();
        shared.1.fetch_add(1, Ordering::SeqCst);
        shared.0.notify_one();
        shared.0.notify_one();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().expect("no panic"));
    });
}

#[test]
fn loom_event_count_bears_tokens_of_those_who_left() {
    explore(3, || {
        let shared = Arc::new((EventCount::new(), AtomicU32::new(0)));
        let fickle = {
            let shared = shared.clone();
            thread::spawn(move || {
                let _ = shared.0.register();
            })
        };
        let sleeper = {
            let shared = shared.clone();
            thread::spawn(move || await_flag(&shared, 1))
        };
        shared.1.fetch_add(1, Ordering::SeqCst);
        // One token at least is there for each sleeper, and one wake-up wakes one who sleeps.
        shared.0.notify_one();
        fickle.join().expect("no panic");
        sleeper.join().expect("no panic");
    });
}

#[test]
fn loom_event_count_notifies_all() {
    explore(3, || {
        let shared = Arc::new((EventCount::new(), AtomicU32::new(0)));
        let sleepers: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || await_flag(&shared, 1))
            })
            .collect();
        shared.1.fetch_add(1, Ordering::SeqCst);
        shared.0.notify_all();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().expect("no panic"));
    });
}
