//! Events and conditions.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::words::Holder;
use phalanx_shm::words::condition::{Condition, ConditionHead, WaiterCell};
use phalanx_shm::words::event::EventWord;
use phalanx_shm::words::lock::LockWord;

use crate::{As, FOREVER, NOW, each, slot, soon, waited_at_least};

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
