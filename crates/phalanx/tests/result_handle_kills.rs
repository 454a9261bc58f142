//! Kills a worker, a process and a pool's owner at each step of handing over a result with handles in it.
//! What has arrived is whole, one task is lost at most, and in the end nothing is left in shared memory.

mod pool_support;
mod support;

use phalanx::pool::{Builder, Closure, Pool, PoolError};
use phalanx::prelude::*;
use phalanx::process::ExitStatus;
use phalanx_shm::failpoint;
use pool_support::{Counters, until};
use support::{alone, child, join, shared};

const SIGKILL: i32 = 9;
const KILLED: ExitStatus = ExitStatus::Signal(9);
const TASKS: u64 = 6;
/// What every sender of a result goes through.
const SENDER: [&str; 7] = [
    "passage.load.marked",
    "passage.load.loaded",
    "ring.put.intended",
    "ring.put.attached",
    "ring.put.written",
    "ring.put.published",
    "ring.put.settled",
];
/// What a worker does besides.
const WORKER: [&str; 6] = [
    "pool.task.ran",
    "pool.result.promised",
    "pool.result.published",
    "pool.result.settled",
    "pool.result.flagged",
    // The bytes in the result, of which the message has a copy.
    "object.drop.unheld",
];
/// Behind these the result cannot be lost any more.
const PUBLISHED: [&str; 5] = [
    "ring.put.published",
    "ring.put.settled",
    "pool.result.published",
    "pool.result.settled",
    "pool.result.flagged",
];
const RECEIVER: [&str; 8] = [
    "ring.take.intended",
    "ring.take.moved",
    "ring.take.detached",
    "ring.take.settled",
    "passage.open.held",
    "passage.open.forgotten",
    "object.drop.unheld",
    "object.destroy.emptied",
];

type Made = (Queue<u64>, Value<u64>, SharedBytes);

fn make(number: u64) -> Made {
    let numbers = Queue::unbounded().expect("a queue");
    numbers.put(number).expect("room");
    let bytes = SharedBytes::copy_from(&vec![number as u8; 5_000]).expect("memory");
    (numbers, Value::new(number).expect("a value"), bytes)
}

fn check((numbers, value, bytes): &Made, number: u64) {
    assert_eq!(numbers.try_take().expect("a whole message"), Some(number));
    assert_eq!((value.load(), bytes.len()), (number, 5_000));
    assert!(bytes.iter().all(|byte| *byte == number as u8));
}

/// A pool of one worker, of which the first is killed at a step on its way from a task's result to the
/// next task.
fn pool(step: &str, task: u64, counters: &Counters) -> (Pool, Closure<u64, Made>) {
    let (step, counters) = (step.to_owned(), counters.clone());
    let workers = counters.clone();
    let mut builder = Builder::new().workers(1).setup(move |_| {
        workers.count(0);
    });
    let work = builder.closure(move |number| {
        let made = make(number);
        if number == task && counters.get(0) == 1 {
            failpoint::arm(&step, SIGKILL, 0);
        }
        made
    });
    (builder.start().expect("a pool"), work)
}

#[test]
fn workers() {
    let _alone = alone();
    let steps = || SENDER.iter().chain(&WORKER);
    for (step, nth) in steps().flat_map(|step| [0, 3].map(move |nth| (step, nth))) {
        let before = shared();
        let counters = Counters::new(1);
        let (pool, work) = pool(step, nth, &counters);
        let results = pool.map_each(work, 0..TASKS).expect("sent");
        let mut lost = 0;
        for (number, result) in (0..).zip(&results) {
            match result {
                Ok(made) => check(made, number),
                Err(PoolError::WorkerDied(died)) if died.status == KILLED => lost += 1,
                Err(other) => panic!("{step}, {nth}: {other}"),
            }
        }
        assert!(lost <= 1, "{step}, {nth}: {lost} are lost");
        let was_published = PUBLISHED.contains(step);
        assert_eq!(lost, u32::from(!was_published), "{step}, {nth}");
        assert_eq!(counters.get(0), 2, "{step}, {nth} is not reached");
        drop(results);
        pool.join().expect("its end");
        drop(counters);
        assert_eq!(shared(), before, "left behind by a worker killed at {step}, {nth}");
    }
}

#[test]
fn processes() {
    let _alone = alone();
    for step in SENDER {
        let before = shared();
        let process = Process::fork(|| {
            let made = make(7);
            failpoint::arm(step, SIGKILL, 0);
            made
        });
        let joined = process.expect("a process").join();
        let was_published = PUBLISHED.contains(&step);
        match &joined {
            Ok(made) if was_published => check(made, 7),
            Ok(_) => panic!("{step} is not reached"),
            Err(error) => assert!(!was_published, "{step}: {error}"),
        }
        drop(joined);
        assert_eq!(shared(), before, "left behind by a process killed at {step}");
    }
}

#[test]
fn owners() {
    let _alone = alone();
    for (step, nth) in RECEIVER.iter().flat_map(|step| (0..2).map(move |nth| (step, nth))) {
        let before = shared();
        let owner = child(|| {
            let (pool, work) = Pool::fork(2, make).expect("a pool");
            failpoint::arm(step, SIGKILL, nth);
            for (number, result) in pool.imap_unordered(work, 0..TASKS) {
                check(&result.expect("a result"), number);
            }
        });
        let end = join(&owner);
        assert!(nth > 0 || end == KILLED, "{step} is not reached: {end:?}");
        drop(owner);
        // Its workers end with it, and are swept by whoever comes by.
        until(|| {
            drop(child(|| ()));
            shared() == before
        });
    }
}
