//! Locks and re-entrant locks.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use phalanx_shm::patience::GaveUp;
use phalanx_shm::words::lock::LockWord;
use phalanx_shm::words::rlock::RLockWord;
use phalanx_shm::words::{Acquired, End, Holder, NotHeld, Policy};

use crate::{As, FOREVER, NOW, add_one, each, slot, soon, waited_at_least};

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
