//! Semaphores.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use phalanx_shm::patience::GaveUp;
use phalanx_shm::words::permits::{MAX_CELLS, Permits, PermitsHead, cells_for};
use phalanx_shm::words::{Acquired, End, NotHeld, Policy};

use crate::{As, FOREVER, each, slot, soon, waited_at_least};

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
