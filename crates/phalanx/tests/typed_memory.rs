//! Locks with data, values and arrays between processes, and deaths of those who use them.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use phalanx::prelude::*;
use phalanx::process::Reservation;
use phalanx::sync::{OwnerDied, Policy};
use phalanx::wire;
use support::{alone, child, join, joined_well, shared};

const SHORT: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C)]
struct Account {
    balance: i64,
    bookings: u32,
    owner: [u8; 12],
}

const EMPTY: Account = Account { balance: 0, bookings: 0, owner: *b"nobody......" };

#[test]
fn a_lock_protects_its_data() {
    let _alone = alone();
    let before = shared();
    let account = Lock::new(EMPTY).expect("memory");
    let clerk = || {
        child(|| {
            for _ in 0..20_000 {
                let mut account = account.lock().expect("nobody died");
                account.balance += i64::from(account.bookings);
                account.bookings += 1;
            }
        })
    };
    let clerks = [clerk(), clerk(), clerk()];
    clerks.iter().for_each(joined_well);
    let total = account.lock().expect("nobody died");
    assert_eq!((total.bookings, total.balance), (60_000, 59_999 * 30_000));
    assert_eq!(&total.owner, b"nobody......");
    drop(total);
    drop(account);
    assert_eq!(shared(), before);
}

#[test]
fn data_of_any_alignment_and_size() {
    #[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
    #[repr(C, align(64))]
    struct Line([u8; 64]);
    let _alone = alone();
    let line = Lock::new(Line([7; 64])).expect("memory");
    let guard = line.lock().expect("free");
    assert!(std::ptr::from_ref(&*guard).addr().is_multiple_of(64));
    assert_eq!(guard.0, [7; 64]);
    let byte = Lock::new(9u8).expect("memory");
    *byte.lock().expect("free") += 1;
    let nothing = Lock::new(()).expect("memory");
    assert_eq!((*byte.lock().expect("free"), *nothing.lock().expect("free")), (10, ()));
    let large = Lock::new([1u64; 4096]).expect("memory");
    assert_eq!(large.lock().expect("free").iter().sum::<u64>(), 4096);
}

#[test]
fn who_waits_too_long_is_told() {
    let _alone = alone();
    let lock = Lock::new(0u8).expect("memory");
    let held = lock.lock().expect("free");
    assert!(lock.is_locked());
    joined_well(&child(|| {
        assert!(matches!(lock.try_lock(), Err(LockError::TimedOut)));
        assert!(matches!(lock.lock_timeout(SHORT), Err(LockError::TimedOut)));
        let error = Error::from(lock.lock_deadline(Deadline::after(SHORT)).expect_err("held"));
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }));
    drop(held);
    assert!(!lock.is_locked() && lock.try_lock().is_ok());
}

#[test]
fn the_data_of_a_dead_holder_comes_with_the_news() {
    let _alone = alone();
    let lock = Lock::new([0u64; 2]).expect("memory");
    let holds = Event::new().expect("memory");
    let victim = child(|| {
        let mut data = lock.lock().expect("free");
        data[0] = 1;
        holds.set();
        std::thread::sleep(Duration::from_secs(60));
        data[1] = 1;
    });
    holds.wait();
    victim.kill().expect("it can be killed");
    match lock.lock() {
        Err(LockError::OwnerDied(OwnerDied { mut guard, pid })) => {
            assert_eq!((*guard, pid), ([1, 0], victim.pid()), "half done, and said to be");
            guard[0] = 0;
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(*lock.lock().expect("whole again"), [0, 0]);
    join(&victim);

    let forgiving = Lock::with_policy(5i32, Policy::Release).expect("memory");
    let victim = child(|| {
        let _held = forgiving.lock().expect("free");
        phalanx_os::proc::kill(std::process::id(), 9);
    });
    join(&victim);
    assert_eq!(*forgiving.lock().expect("nothing is said"), 5);
}

#[test]
fn a_guard_belongs_to_the_process_that_took_it() {
    let _alone = alone();
    let lock = Lock::new(1u32).expect("memory");
    let mut guard = Some(lock.lock().expect("free"));
    joined_well(&child(|| {
        std::panic::set_hook(Box::new(|_| {}));
        let mut copy = guard.take().expect("it was copied with everything else");
        assert!(catch_unwind(AssertUnwindSafe(|| *copy)).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| *copy = 2)).is_err());
        drop(copy);
        assert!(lock.is_locked(), "a copy releases nothing");
    }));
    assert!(lock.is_locked());
    assert_eq!(guard.as_deref(), Some(&1));
}

#[test]
fn a_condition_waits_for_the_data() {
    let _alone = alone();
    let (stage, changed) = (Lock::new(0u32).expect("memory"), Condition::new().expect("memory"));
    let follower = child(|| {
        let mut guard = stage.lock().expect("free");
        for n in (1..100).step_by(2) {
            guard = changed.wait_while(guard, |stage| *stage != n).expect("nobody died");
            *guard += 1;
            changed.notify_all();
        }
    });
    let mut guard = stage.lock().expect("free");
    for n in (0..100).step_by(2) {
        guard = changed.wait_while(guard, |stage| *stage != n).expect("nobody died");
        *guard += 1;
        changed.notify_all();
    }
    guard = changed.wait_while(guard, |stage| *stage != 100).expect("nobody died");
    joined_well(&follower);
    let (guard, notified) = changed.wait_timeout(guard, SHORT).expect("nobody died");
    assert!(!notified);
    let (guard, came) =
        changed.wait_while_timeout(guard, SHORT, |stage| *stage == 100).expect("nobody died");
    assert!(!came && *guard == 100, "the lock is held again");
}

#[test]
fn numbers_are_changed_in_one_step() {
    let _alone = alone();
    let before = shared();
    let (sum, fraction) = (Value::new(-5i16).expect("memory"), Value::new(0.0f64).expect("memory"));
    let cells = Array::<u8>::zeroed(5).expect("memory");
    let adding = || {
        child(|| {
            for n in 0..10_000usize {
                sum.fetch_add(1);
                fraction.fetch_add(0.5);
                cells.fetch_sub(n % 5, 1);
            }
        })
    };
    let adders = [adding(), adding(), adding()];
    adders.iter().for_each(joined_well);
    assert_eq!((sum.load(), fraction.load()), (29_995, 15_000.0));
    assert_eq!(cells.to_vec(), [(0u8).wrapping_sub((6000 % 256) as u8); 5]);
    drop((sum, fraction, cells));
    assert_eq!(shared(), before);
}

#[test]
fn operations_say_what_was_there() {
    let _alone = alone();
    let value = Value::new(7u32).expect("memory");
    assert_eq!(value.fetch_sub(8), 7);
    assert_eq!(value.swap(3), u32::MAX, "it has wrapped around");
    assert_eq!(value.compare_exchange(4, 5), Err(3));
    assert_eq!(value.compare_exchange(3, 5), Ok(3));
    assert_eq!((value.fetch_max(4), value.fetch_max(6), value.fetch_min(2)), (5, 5, 6));
    assert_eq!(value.fetch_update(|old| old.checked_sub(3)), Err(2));
    assert_eq!(value.fetch_update(|old| old.checked_sub(1)), Ok(2));
    assert_eq!((value.load(), format!("{value:?}").as_str()), (1, "Value(1)"));
    let nan = Value::new(f32::NAN).expect("memory");
    assert!(nan.fetch_max(1.0).is_nan() && nan.load().is_nan());
    assert!(nan.compare_exchange(f32::NAN, 1.0).is_ok(), "the bits are the same");
}

#[test]
fn arrays_of_structures_and_their_limits() {
    let _alone = alone();
    let accounts = Array::from_slice(&[EMPTY; 3]).expect("memory");
    joined_well(&child(|| accounts.store(1, Account { balance: -7, ..EMPTY })));
    assert_eq!(accounts.iter().map(|account| account.balance).collect::<Vec<_>>(), [0, -7, 0]);
    let mut two = [EMPTY; 2];
    accounts.read(1, &mut two);
    assert_eq!(two[0].balance, -7);
    accounts.write(0, &two);
    assert_eq!(accounts.get(0).map(|account| account.balance), Some(-7));
    assert_eq!(accounts.get(3), None);
    std::panic::set_hook(Box::new(|_| {}));
    let beyond = catch_unwind(AssertUnwindSafe(|| accounts.write(2, &two)));
    let at_end = catch_unwind(AssertUnwindSafe(|| accounts.load(3)));
    drop(std::panic::take_hook());
    assert!(beyond.is_err() && at_end.is_err());
    assert!(Array::<u64>::zeroed(0).expect("memory").is_empty());
    assert!(Array::<u64>::zeroed(usize::MAX / 2).is_err());
}

#[test]
fn handles_are_passed_to_a_child_that_is_being_started() {
    let _alone = alone();
    let before = shared();
    let all = (
        Lock::new(1u64).expect("memory"),
        Value::new(2.5f64).expect("memory"),
        Array::from_slice(&[3u16, 4]).expect("memory"),
        (
            Event::new().expect("memory"),
            Semaphore::new(5).expect("memory"),
            BoundedSemaphore::new(6).expect("memory"),
            (Condition::new().expect("memory"), Barrier::new(7).expect("memory")),
            RLock::new().expect("memory"),
        ),
    );
    let mut bytes = Vec::new();
    assert!(wire::encode(&all, &mut bytes).is_err(), "no child is being started");
    let place = Reservation::new().expect("a place");
    place.while_packing(|| wire::encode(&all, &mut bytes)).expect("a child is being started");
    type All = (
        Lock<u64>,
        Value<f64>,
        Array<u16>,
        (Event, Semaphore, BoundedSemaphore, (Condition, Barrier), RLock),
    );
    let again: All = wire::decode(&bytes).expect("this process is a holder too");
    drop(all);
    assert_eq!((*again.0.lock().expect("free"), again.1.load()), (1, 2.5));
    assert_eq!((again.2.to_vec(), again.3.1.value()), (vec![3, 4], 5));
    assert_eq!((again.3.2.value(), again.3.3.1.parties()), (6, 7));
    drop((again, place));
    assert_eq!(shared(), before);

    let wrong = Value::new(1u8).expect("memory");
    assert!(Value::<u8>::from_offset(wrong.offset()).is_ok());
    assert!(Value::<u16>::from_offset(wrong.offset()).is_err(), "too small");
    assert!(Lock::<u8>::from_offset(wrong.offset()).is_err(), "of another kind");
    let lock = Lock::new(1u32).expect("memory");
    assert!(Lock::<u64>::from_offset(lock.offset()).is_err(), "of another size");
    assert!(phalanx::sync::RawLock::from_offset(lock.offset()).is_err(), "data and lock are one");
}
