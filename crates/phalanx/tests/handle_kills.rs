//! Kills a process at each step of sending handles, receiving them and freeing them unread. Another
//! uses the same queue afterwards; in the end nothing is left in shared memory, and nothing is gone that
//! somebody has.

mod support;

use phalanx::prelude::*;
use phalanx::process::ExitStatus;
use phalanx_shm::failpoint;
use support::{alone, child, join, joined_well, shared};

const SIGKILL: i32 = 9;
const KILLED: ExitStatus = ExitStatus::Signal(9);
const SENDER: [&str; 8] = [
    "passage.load.marked",
    "passage.load.loaded",
    "ring.put.intended",
    "ring.put.attached",
    "ring.put.written",
    "ring.put.published",
    "ring.put.settled",
    "object.drop.unheld",
];
const RECEIVER: [&str; 9] = [
    "ring.take.intended",
    "ring.take.moved",
    "ring.take.detached",
    "ring.take.settled",
    "passage.open.held",
    "passage.open.forgotten",
    "object.drop.unheld",
    "object.destroy.emptied",
    "object.destroy.owned",
];
const DESTROYER: [&str; 5] = [
    "object.drop.unheld",
    "ring.destroy.emptied_one",
    "object.destroy.emptied",
    "object.destroy.owned",
    "sweep.collected",
];

type Line = Queue<(Queue<u64>, Value<u64>)>;

fn send(line: &Line, number: u64) {
    let numbers = Queue::unbounded().expect("a queue");
    numbers.put(number).expect("room");
    line.put((numbers, Value::new(number).expect("a value"))).expect("room");
}

/// What is in the message that is there, if one is.
fn receive(line: &Line) -> Option<u64> {
    let (numbers, value) = line.try_take().expect("a whole message")?;
    let number = numbers.try_take().expect("a number");
    assert_eq!(number, Some(value.load()), "another object than was sent");
    number
}

#[test]
fn senders() {
    let _alone = alone();
    for (step, nth) in SENDER.iter().flat_map(|step| (0..2).map(move |nth| (step, nth))) {
        let before = shared();
        let line = Line::unbounded().expect("a queue");
        let sender = child(|| {
            failpoint::arm(step, SIGKILL, nth);
            (1..=3).for_each(|number| send(&line, number));
        });
        let end = join(&sender);
        assert!(nth > 0 || end == KILLED, "{step} is not reached: {end:?}");
        send(&line, 4);
        let numbers: Vec<u64> = std::iter::from_fn(|| receive(&line)).collect();
        assert_eq!(numbers.last(), Some(&4), "{step}");
        assert!(numbers.iter().rev().skip(1).rev().copied().eq(1..numbers.len() as u64), "{step}");
        drop((line, sender));
        assert_eq!(shared(), before, "left behind by a sender killed at {step}, {nth}");
    }
}

#[test]
fn receivers() {
    let _alone = alone();
    for (step, nth) in RECEIVER.iter().flat_map(|step| (0..2).map(move |nth| (step, nth))) {
        let before = shared();
        let line = Line::unbounded().expect("a queue");
        (1..=3).for_each(|number| send(&line, number));
        let receiver = child(|| {
            failpoint::arm(step, SIGKILL, nth);
            while receive(&line).is_some() {}
        });
        let end = join(&receiver);
        assert!(nth > 0 || end == KILLED, "{step} is not reached: {end:?}");
        let numbers: Vec<u64> = std::iter::from_fn(|| receive(&line)).collect();
        assert!(numbers.iter().copied().eq(4 - numbers.len() as u64..4), "{step}: {numbers:?}");
        drop((line, receiver));
        assert_eq!(shared(), before, "left behind by a receiver killed at {step}, {nth}");
    }
}

#[test]
fn destroyers() {
    let _alone = alone();
    for (step, nth) in DESTROYER.iter().flat_map(|step| (0..4).map(move |nth| (step, nth))) {
        let before = shared();
        let kept = Value::new(7u64).expect("a value");
        let destroyer = child(|| {
            let line = Queue::<(Line, Value<u64>)>::unbounded().expect("a queue");
            for number in 0..3 {
                let inner = Line::unbounded().expect("a queue");
                send(&inner, number);
                line.put((inner, kept.clone())).expect("room");
            }
            failpoint::arm(step, SIGKILL, nth);
            drop(line);
        });
        let end = join(&destroyer);
        assert!(nth > 0 || end == KILLED, "{step} is not reached: {end:?}");
        drop(destroyer);
        assert_eq!(kept.load(), 7, "{step}");
        drop(kept);
        assert_eq!(shared(), before, "left behind by a destroyer killed at {step}, {nth}");
    }
}

#[test]
fn a_sweeper_that_dies_too() {
    let _alone = alone();
    for step in ["sweep.objects.done", "sweep.chunk.freed", "sweep.chunks.freed", "sweep.collected"]
    {
        let before = shared();
        let line = Line::unbounded().expect("a queue");
        let sweeper = child(|| {
            let sender = child(|| {
                failpoint::arm("ring.put.attached", SIGKILL, 0);
                send(&line, 1);
            });
            failpoint::arm(step, SIGKILL, 0);
            join(&sender);
        });
        let end = join(&sweeper);
        assert_eq!(end, KILLED, "{step} is not reached");
        drop(sweeper);
        joined_well(&child(|| send(&line, 2)));
        assert_eq!(receive(&line), Some(2), "{step}");
        drop(line);
        assert_eq!(shared(), before, "left behind by a sweeper killed at {step}");
    }
}
