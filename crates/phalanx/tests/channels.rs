//! Queues, pipes and shared values between real processes.

mod pool_support;

use std::num::NonZeroU32;
use std::time::Duration;

use phalanx::message::{Incoming, Outgoing};
use phalanx::pipe::{self, End, RecvError, SendError};
use phalanx::process::{Child, ExitStatus};
use phalanx::queue::RawQueue;
use phalanx::sync::{Event, RawLock};
use phalanx::value::Block;
use phalanx::wait::{Source, wait_any};
use phalanx::{GaveUp, Patience};
use phalanx_shm::family::Family;
use pool_support::{Counters, Dice, child, raise, seed, until, watchdog};

const FOREVER: Patience<'static> = Patience::forever();

fn family() -> &'static Family {
    Family::get().expect("a family")
}

fn put(queue: &RawQueue, bytes: &[u8]) {
    let message = Outgoing::new(family(), bytes).expect("memory");
    queue.put(&mut Some(message), &FOREVER).expect("room");
}

fn bytes_of(frame: Vec<u8>, incoming: Incoming) -> Vec<u8> {
    let mut bytes = frame;
    if let Incoming::Parcel(parcel) = incoming {
        parcel.read_frame(&mut bytes).expect("an undamaged parcel");
    }
    bytes
}

fn take(queue: &RawQueue, patience: &Patience<'_>) -> Result<Vec<u8>, GaveUp> {
    let mut frame = Vec::new();
    let incoming = queue.take(&mut frame, patience)?;
    Ok(bytes_of(frame, incoming))
}

fn send(end: &End, bytes: &[u8]) -> Result<(), SendError> {
    let message = Outgoing::new(family(), bytes).expect("memory");
    end.send(&mut Some(message), &FOREVER)
}

fn recv(end: &End) -> Result<Vec<u8>, RecvError> {
    let mut frame = Vec::new();
    let incoming = end.recv(&mut frame, &FOREVER)?;
    Ok(bytes_of(frame, incoming))
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

fn joined_well(children: &[Child]) {
    for child in children {
        assert_eq!(child.wait(FOREVER).expect("its end"), ExitStatus::Code(0));
    }
}

/// A message of some length that begins with its number.
fn message(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    let more = match number % 100 {
        0 => 30_000,
        1..10 => 3_000,
        _ => 5,
    };
    bytes.resize(8 + more, number as u8);
    bytes
}

#[test]
fn each_message_of_many_producers_reaches_one_of_many_consumers() {
    let _watchdog = watchdog(60);
    const EACH: u64 = 3_000;
    let queue = RawQueue::new(None).expect("a queue");
    let seen = Counters::new(4 * EACH as usize);
    let produce = |producer: u64| {
        let queue = &queue;
        child(move || (0..EACH).for_each(|i| put(queue, &message(producer * EACH + i))))
    };
    let consume = || {
        // In the order of each producer, as far as this consumer sees it.
        let mut last = [None; 4];
        loop {
            let bytes = take(&queue, &FOREVER).expect("a message");
            if bytes.is_empty() {
                return;
            }
            let number = number(&bytes);
            assert_eq!(bytes, message(number));
            assert_eq!(seen.count(number as usize), 0, "taken twice");
            let before = last[(number / EACH) as usize].replace(number);
            assert!(before < Some(number), "out of order");
        }
    };
    let consumers: Vec<_> = (0..3).map(|_| child(consume)).collect();
    let producers: Vec<_> = (0..4).map(produce).collect();
    joined_well(&producers);
    (0..3).for_each(|_| put(&queue, b""));
    joined_well(&consumers);
    assert!(seen.all().iter().all(|times| *times == 1));
    assert!(queue.is_empty());
}

#[test]
fn a_bounded_queue_holds_its_producers_back() {
    let _watchdog = watchdog(60);
    let queue = RawQueue::new(NonZeroU32::new(4)).expect("a queue");
    let producers: Vec<_> = (0..3u64)
        .map(|p| {
            let queue = &queue;
            child(move || (0..500).for_each(|i| put(queue, &message(p * 500 + i))))
        })
        .collect();
    until(|| queue.is_full());
    let mut seen = vec![0; 1_500];
    for _ in 0..1_500 {
        assert!(queue.len() <= 4);
        seen[number(&take(&queue, &FOREVER).expect("a message")) as usize] += 1;
    }
    joined_well(&producers);
    assert!(seen.iter().all(|times| *times == 1));
    assert_eq!(take(&queue, &Patience::none()), Err(GaveUp::TimedOut));
}

#[test]
fn what_was_put_outlives_its_producer() {
    let _watchdog = watchdog(60);
    let queue = RawQueue::new(None).expect("a queue");
    for round in 0..50u64 {
        let dead = child(|| {
            put(&queue, &message(round));
            put(&queue, &message(100));
            raise(9);
        });
        assert_eq!(dead.wait(FOREVER).expect("its end"), ExitStatus::Signal(9));
        assert_eq!(take(&queue, &FOREVER).expect("a message"), message(round));
        assert_eq!(take(&queue, &FOREVER).expect("a message"), message(100));
    }
}

#[test]
fn all_tasks_of_a_queue_are_waited_for() {
    let _watchdog = watchdog(60);
    let (queue, done) = (RawQueue::new(None).expect("a queue"), Counters::new(1));
    (0..200).for_each(|i| put(&queue, &message(i)));
    let work = || {
        while take(&queue, &Patience::none()).is_ok() {
            done.count(0);
            assert!(queue.task_done());
        }
    };
    assert_eq!(queue.join(&Patience::none()), Err(GaveUp::TimedOut));
    let worker = child(work);
    queue.join(&FOREVER).expect("the end");
    assert_eq!(done.get(0), 200);
    joined_well(&[worker]);
    assert!(!queue.task_done());
}

/// Producers and consumers are killed at random moments. What a producer said it had put arrives,
/// at most one message for each killed consumer is lost, and none comes twice.
#[test]
fn random_kills_of_producers_and_consumers() {
    let _watchdog = watchdog(120);
    const NUMBERS: usize = 60_000;
    let mut dice = Dice::new(seed());
    let (queue, wanted) = (RawQueue::new(None).expect("a queue"), Counters::new(2));
    let (put_so_far, taken) = (Counters::new(NUMBERS), Counters::new(NUMBERS));
    let produce = || loop {
        let number = wanted.count(0);
        if number as usize >= NUMBERS {
            return;
        }
        put(&queue, &message(number));
        put_so_far.count(number as usize);
    };
    let consume = || loop {
        let bytes = take(&queue, &FOREVER).expect("a message");
        let number = number(&bytes);
        assert_eq!(bytes, message(number));
        taken.count(number as usize);
    };
    let mut killed = 0;
    for _ in 0..25 {
        let producers = [child(produce), child(produce)];
        let consumers = [child(consume), child(consume)];
        std::thread::sleep(Duration::from_micros(500 + dice.roll(4_000)));
        for victim in producers.iter().chain(&consumers) {
            victim.kill().expect("a signal");
            victim.wait(FOREVER).expect("its end");
        }
        killed += consumers.len() as u64;
    }
    while let Ok(bytes) = take(&queue, &Patience::none()) {
        taken.count(number(&bytes) as usize);
    }
    assert!(queue.is_empty());
    let (put_so_far, taken) = (put_so_far.all(), taken.all());
    assert!(taken.iter().all(|times| *times <= 1), "a message came twice");
    let lost = put_so_far.iter().zip(&taken).filter(|(put, taken)| *put > *taken).count() as u64;
    assert!(put_so_far.iter().sum::<u64>() > 0);
    assert!(lost <= killed, "{lost} messages were lost by {killed} killed consumers");
    // The queue works as ever.
    put(&queue, b"still");
    assert_eq!(take(&queue, &FOREVER).expect("a message"), b"still");
}

#[test]
fn pipes_go_both_ways_with_any_length() {
    let _watchdog = watchdog(60);
    let (mine, theirs) = pipe::duplex().expect("a pipe");
    let echo = child(move || {
        while let Ok(bytes) = recv(&theirs) {
            send(&theirs, &bytes).expect("sent");
        }
    });
    for len in [0usize, 1, 8_192, 8_193, 1 << 20, 40 << 20] {
        let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
        send(&mine, &bytes).expect("sent");
        assert!(recv(&mine).expect("an echo") == bytes, "{len} bytes");
    }
    drop(mine);
    // A forked child has a copy of its parent's end: only a signal tells this one of the end.
    echo.kill().expect("a signal");
    echo.wait(FOREVER).expect("its end");
}

#[test]
fn the_death_of_the_other_side_ends_a_pipe() {
    let _watchdog = watchdog(60);
    let (mine, theirs) = pipe::duplex().expect("a pipe");
    let peer = child(move || {
        send(&theirs, b"last words").expect("sent");
        raise(9);
    });
    assert_eq!(recv(&mine).expect("a message"), b"last words");
    assert!(matches!(recv(&mine), Err(RecvError::EndOfFile)));
    assert!(matches!(send(&mine, b"too late"), Err(SendError::Broken)));
    peer.wait(FOREVER).expect("its end");
}

#[test]
fn one_wait_for_pipes_queues_and_processes() {
    let _watchdog = watchdog(60);
    let (mine, theirs) = pipe::one_way().expect("a pipe");
    let (queue, go) = (RawQueue::new(None).expect("a queue"), Counters::new(1));
    let peer = child(|| {
        until(|| go.get(0) == 1);
        put(&queue, b"one");
        until(|| go.get(0) == 2);
        send(&theirs, b"two").expect("sent");
        until(|| go.get(0) == 3);
    });
    let sources = [Source::Pipe(&mine), Source::Queue(&queue), Source::Fd(peer.sentinel())];
    let soon = Patience::timeout(Some(Duration::from_millis(5)));
    assert!(wait_any(&sources, &soon).is_err());
    go.set(0, 1);
    assert_eq!(wait_any(&sources, &FOREVER).expect("one"), [false, true, false]);
    assert_eq!(take(&queue, &FOREVER).expect("a message"), b"one");
    go.set(0, 2);
    assert_eq!(wait_any(&sources, &FOREVER).expect("one"), [true, false, false]);
    assert_eq!(recv(&mine).expect("a message"), b"two");
    go.set(0, 3);
    assert_eq!(wait_any(&sources, &FOREVER).expect("one"), [false, false, true]);
    assert_eq!(peer.wait(FOREVER).expect("its end"), ExitStatus::Code(0));
}

#[test]
fn a_value_is_the_same_for_all() {
    let _watchdog = watchdog(60);
    let (value, lock) = (Block::new(8).expect("a block"), RawLock::new().expect("a lock"));
    let ready = Event::new().expect("an event");
    let add = || {
        ready.wait();
        for _ in 0..2_000 {
            let _held = lock.lock().expect("clean");
            value.store(value.load() + 1);
        }
    };
    let children: Vec<_> = (0..4).map(|_| child(add)).collect();
    ready.set();
    joined_well(&children);
    assert_eq!(value.load(), 8_000);
}
