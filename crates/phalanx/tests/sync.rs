//! Synchronization between real processes that share a family.

use std::sync::atomic::Ordering;
use std::time::Duration;

use phalanx::process::{Child, ExitStatus, fork};
use phalanx::sync::{
    Acquired, Barrier, BarrierError, BoundedSemaphore, Condition, Event, LockError, Policy, RLock,
    RawLock, Semaphore,
};
use phalanx_shm::family::Family;
use phalanx_shm::object::{Bytes, Shared};
use phalanx_shm::patience::Patience;

const FOREVER: Patience<'static> = Patience::forever();

/// Ends the test program if the test still runs after a minute; drop it at the test's end.
#[must_use]
fn watchdog() -> std::sync::mpsc::Sender<()> {
    let (alive, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::sync::mpsc::RecvTimeoutError::Timeout;
        if ended.recv_timeout(Duration::from_secs(60)) == Err(Timeout) {
            eprintln!("watchdog: the test has hung");
            std::process::abort();
        }
    });
    alive
}

/// Runs `body` in a child; a panic there is exit code 1.
fn child(body: impl FnOnce()) -> Child {
    fork::run(|| {
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        i32::from(end.is_err())
    })
    .expect("a child")
}

fn join(child: &Child) -> ExitStatus {
    child.wait(FOREVER).expect("it can be waited for")
}

fn joined_well(children: &[Child]) {
    for child in children {
        assert_eq!(join(child), ExitStatus::Code(0));
    }
}

fn kill_self() {
    phalanx_os::proc::raise(9);
}

fn until(mut ready: impl FnMut() -> bool) {
    while !ready() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A number that all processes see, which loses counts if it is changed without a lock.
fn number() -> Shared<Bytes> {
    Shared::new(Family::get().expect("a family"), |_: &Bytes| ()).expect("memory")
}

fn add_one(number: &Shared<Bytes>) {
    number.tag.store(number.tag.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[test]
fn locks_and_semaphores_protect_a_number() {
    let _watchdog = watchdog();
    let (lock, rlock) = (RawLock::new().expect("a lock"), RLock::new().expect("a lock"));
    let semaphore = BoundedSemaphore::new(1).expect("a semaphore");
    let numbers = [number(), number(), number()];
    let work = || {
        for _ in 0..5_000 {
            {
                let _held = lock.lock().expect("clean");
                add_one(&numbers[0]);
            }
            {
                let _held = rlock.lock().expect("clean");
                let _again = rlock.lock().expect("mine");
                add_one(&numbers[1]);
            }
            let _permit = semaphore.wait().expect("clean");
            add_one(&numbers[2]);
        }
    };
    let children: Vec<_> = (0..4).map(|_| child(work)).collect();
    joined_well(&children);
    for number in &numbers {
        assert_eq!(number.tag.load(Ordering::Relaxed), 20_000);
    }
    assert!(!lock.is_locked() && !rlock.is_locked());
    assert_eq!(semaphore.value(), 1);
}

#[test]
fn the_next_gets_the_lock_of_a_killed_process_and_is_told() {
    let _watchdog = watchdog();
    let (lock, rlock) = (RawLock::new().expect("a lock"), RLock::new().expect("a lock"));
    let semaphore = Semaphore::new(2).expect("a semaphore");
    let dead = child(|| {
        assert!(rlock.acquire(&FOREVER).is_ok() && rlock.acquire(&FOREVER).is_ok());
        assert!(semaphore.acquire(&FOREVER).is_ok());
        assert!(lock.acquire(&FOREVER).is_ok());
        kill_self();
    });
    until(|| lock.is_locked());
    // Also before anybody has collected the child.
    let died = match lock.lock() {
        Err(LockError::OwnerDied(died)) => died,
        other => panic!("{other:?}"),
    };
    assert_eq!(died.pid, dead.pid());
    assert!(lock.is_mine());
    drop(died);
    assert!(!lock.is_locked());
    assert!(lock.lock().is_ok(), "told once");

    assert_eq!(join(&dead), ExitStatus::Signal(9));
    let how = rlock.acquire(&FOREVER);
    assert_eq!(how, Ok(Acquired::OwnerDied { pid: dead.pid() }));
    assert_eq!(rlock.depth(), 1);
    rlock.release().expect("mine");
    assert_eq!(semaphore.value(), 1);
    assert_eq!(semaphore.try_acquire(), Some(Acquired::Clean));
    assert_eq!(semaphore.try_acquire(), Some(Acquired::OwnerDied { pid: dead.pid() }));
}

#[test]
fn a_waiter_is_freed_although_nobody_collects_the_dead() {
    let _watchdog = watchdog();
    let lock = RawLock::with_policy(Policy::Release).expect("a lock");
    let taken = Event::new().expect("an event");
    let holder = child(|| {
        assert!(lock.acquire(&FOREVER).is_ok());
        taken.set();
        std::thread::sleep(Duration::from_millis(100));
        kill_self();
    });
    taken.wait();
    let waiter = child(|| assert_eq!(lock.acquire(&FOREVER), Ok(Acquired::Clean)));
    // The waiter is no parent of the holder, which stays a zombie until the waiter has ended.
    assert_eq!(join(&waiter), ExitStatus::Code(0));
    assert_eq!(join(&holder), ExitStatus::Signal(9));
}

#[test]
fn a_lock_kept_by_a_process_that_ended_well_stays_a_mark() {
    let _watchdog = watchdog();
    let once = RawLock::new().expect("a lock");
    for first in [true, false, false] {
        let visitor = child(|| assert_eq!(once.try_acquire().is_some(), first));
        assert_eq!(join(&visitor), ExitStatus::Code(0));
    }
    assert!(once.is_locked());
    once.release().expect("another process may release it");
    assert_eq!(once.try_acquire(), Some(Acquired::Clean));
}

#[test]
fn a_forked_child_does_not_hold_what_its_parent_holds() {
    let _watchdog = watchdog();
    let (lock, rlock) = (RawLock::new().expect("a lock"), RLock::new().expect("a lock"));
    let _held = lock.lock().expect("clean");
    let _mine = rlock.lock().expect("clean");
    let other = child(|| {
        assert!(!lock.is_mine() && !rlock.is_mine());
        assert!(matches!(lock.try_lock(), Err(LockError::TimedOut)));
        assert!(matches!(rlock.try_lock(), Err(LockError::TimedOut)));
        assert!(rlock.release().is_err());
    });
    assert_eq!(join(&other), ExitStatus::Code(0));
    assert!(lock.is_mine() && rlock.is_mine());
}

#[test]
fn conditions_hand_things_from_process_to_process() {
    let _watchdog = watchdog();
    let (lock, condition) = (RLock::new().expect("a lock"), Condition::new().expect("one"));
    let things = number();
    let consume = || {
        for _ in 0..1_000 {
            let _held = lock.lock().expect("clean");
            while things.tag.load(Ordering::Relaxed) == 0 {
                let woken = condition.wait_rlock(&lock, &FOREVER).expect("held");
                assert_eq!((woken.end, woken.relocked), (Ok(()), Ok(Acquired::Clean)));
            }
            things.tag.fetch_sub(1, Ordering::Relaxed);
        }
    };
    let consumers: Vec<_> = (0..2).map(|_| child(consume)).collect();
    for _ in 0..2_000 {
        let _held = lock.lock().expect("clean");
        add_one(&things);
        condition.notify(1);
    }
    joined_well(&consumers);
    assert_eq!(condition.waiting(), 0);
    assert!(condition.wait_rlock(&lock, &FOREVER).is_err(), "the lock is not held");
}

#[test]
fn a_killed_waiter_swallows_no_notification() {
    let _watchdog = watchdog();
    let (lock, condition) = (RawLock::new().expect("a lock"), Condition::new().expect("one"));
    let wait = || {
        let _held = lock.lock().expect("clean");
        let woken = condition.wait_lock(&lock, &FOREVER).expect("held");
        assert!(woken.end.is_ok());
    };
    let doomed = child(wait);
    until(|| condition.waiting() == 1);
    let other = child(wait);
    until(|| condition.waiting() == 2);
    // Under the lock: neither is about to release it any more.
    drop(lock.lock().expect("clean"));
    doomed.kill().expect("it runs");
    join(&doomed);
    assert_eq!(condition.waiting(), 1);
    assert_eq!(condition.notify(1), 1);
    assert_eq!(join(&other), ExitStatus::Code(0));
}

#[test]
fn a_barrier_breaks_when_a_party_is_killed_there() {
    let _watchdog = watchdog();
    let barrier = Barrier::new(3).expect("a barrier");
    let doomed = child(|| assert!(barrier.wait().is_err()));
    let other = child(|| assert_eq!(barrier.wait(), Err(BarrierError::Broken)));
    until(|| barrier.waiting() == 2);
    doomed.kill().expect("it runs");
    // The other one finds out by itself.
    assert_eq!(join(&other), ExitStatus::Code(0));
    join(&doomed);
    assert!(barrier.is_broken());
    barrier.reset();
    let pass = || assert!(barrier.wait().is_ok());
    let parties: Vec<_> = (0..2).map(|_| child(pass)).collect();
    pass();
    joined_well(&parties);
}

#[test]
fn random_kills_leave_a_lock_that_works() {
    let _watchdog = watchdog();
    let (lock, semaphore) = (RawLock::new().expect("a lock"), Semaphore::new(2).expect("one"));
    let work = || loop {
        let held = lock.lock().or_else(LockError::recover).expect("nobody interrupts");
        let permit = semaphore.wait().or_else(LockError::recover).expect("nobody interrupts");
        drop((held, permit));
    };
    for round in 0..40u64 {
        let users: Vec<_> = (0..3).map(|_| child(work)).collect();
        std::thread::sleep(Duration::from_micros(500 + 137 * round));
        for user in &users {
            user.kill().expect("it runs");
            join(user);
        }
    }
    drop(lock.lock().or_else(LockError::recover).expect("nobody interrupts"));
    assert!(!lock.is_locked());
    let both = [(); 2].map(|()| semaphore.wait().or_else(LockError::recover).expect("two"));
    assert_eq!(semaphore.value(), 0, "two permits, as at the start");
    drop(both);
    assert_eq!(semaphore.value(), 2);
}
