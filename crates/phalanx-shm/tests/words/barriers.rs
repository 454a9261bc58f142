//! Barriers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use phalanx_shm::words::End;
use phalanx_shm::words::barrier::{Barrier, BarrierHead, NotPassed};

use crate::{As, FOREVER, each, slot, soon};

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
