//! Queues between threads and processes, their descriptors, and deaths of those who use them.

mod support;

use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use phalanx::message::{Incoming, Outgoing, Parcel};
use phalanx::process::wait_readable;
use phalanx::queue::RawQueue;
use phalanx::value::Block;
use phalanx::wait::{Source, wait_any};
use phalanx::{GaveUp, Patience};
use phalanx_os::clock::Deadline;
use phalanx_os::poll::{self, Interest};
use phalanx_shm::family::Family;
use support::{FOREVER, alone, child, join, joined_well, shared, soon};

fn put(queue: &RawQueue, bytes: &[u8]) {
    let message = Outgoing::new(queue.family(), bytes).expect("memory");
    queue.put(&mut Some(message), &FOREVER).expect("room");
}

fn take_within(queue: &RawQueue, patience: &Patience<'_>) -> Result<Vec<u8>, GaveUp> {
    let mut frame = Vec::new();
    if let Incoming::Parcel(parcel) = queue.take(&mut frame, patience)? {
        parcel.read_frame(&mut frame).expect("an undamaged parcel");
    }
    Ok(frame)
}

fn take(queue: &RawQueue) -> Vec<u8> {
    take_within(queue, &FOREVER).expect("a message")
}

#[test]
fn first_in_first_out_short_and_long() {
    let _alone = alone();
    let before = shared();
    let queue = RawQueue::new(None).expect("a queue");
    let messages: Vec<Vec<u8>> =
        (0..200usize).map(|n| vec![n as u8; [0, 1, 8192, 8193, 100_000][n % 5]]).collect();
    messages.iter().for_each(|message| put(&queue, message));
    assert_eq!(queue.len(), 200);
    for message in &messages {
        assert_eq!(&take(&queue), message);
    }
    assert_eq!(take_within(&queue, &Patience::none()), Err(GaveUp::TimedOut));
    put(&queue, &messages[4]);
    drop(queue);
    assert_eq!(shared(), before, "a queue takes what is in it along");
}

#[test]
fn a_bounded_queue_makes_producers_wait() {
    let _alone = alone();
    let queue = RawQueue::new(NonZeroU32::new(2)).expect("a queue");
    put(&queue, b"1");
    put(&queue, b"2");
    assert!(queue.is_full());
    let mut third = Some(Outgoing::Inline(b"3"));
    assert!(queue.try_put(&mut third).is_err() && third.is_some(), "the message is still ours");
    let producing = child(|| put(&queue, b"3"));
    assert_eq!(take(&queue), b"1");
    joined_well(&producing);
    assert_eq!((take(&queue), take(&queue)), (b"2".to_vec(), b"3".to_vec()));
}

#[test]
fn what_a_process_put_outlives_it() {
    let _alone = alone();
    let queue = RawQueue::new(None).expect("a queue");
    joined_well(&child(|| put(&queue, &[5; 50_000])));
    assert_eq!(take(&queue), [5; 50_000]);
}

#[test]
fn buffers_are_used_where_they_arrived() {
    let _alone = alone();
    let before = shared();
    let queue = RawQueue::new(None).expect("a queue");
    let sending = child(|| {
        let mut parcel =
            Parcel::new(queue.family(), b"two buffers", &[1000, 70_000]).expect("memory");
        parcel.push(&[1; 1000]);
        parcel.push(&[2; 70_000]);
        queue.put(&mut Some(Outgoing::Parcel(parcel)), &FOREVER).expect("room");
    });
    let mut frame = Vec::new();
    let Ok(Incoming::Parcel(parcel)) = queue.take(&mut frame, &FOREVER) else {
        panic!("it was too long for the ring")
    };
    joined_well(&sending);
    parcel.read_frame(&mut frame).expect("a frame");
    assert_eq!(frame, b"two buffers");
    let buffers = parcel.into_buffers([1000, 70_000]).expect("both buffers");
    assert!(buffers.iter().all(|buffer| (buffer.address() as usize).is_multiple_of(64)));
    let mut bytes = Vec::new();
    buffers[1].read(&mut bytes);
    assert_eq!(bytes, [2; 70_000]);
    let last = buffers.into_iter().next();
    drop(queue);
    assert_eq!(shared().1, before.1 + 1, "one object as long as one buffer is used");
    drop(last);
    assert_eq!(shared(), before);
}

#[test]
fn lengths_that_do_not_fit_are_an_error() {
    let _alone = alone();
    let queue = RawQueue::new(None).expect("a queue");
    let mut parcel = Parcel::new(queue.family(), b"frame", &[100]).expect("memory");
    parcel.push(&[1; 100]);
    queue.put(&mut Some(Outgoing::Parcel(parcel)), &FOREVER).expect("room");
    let Ok(Incoming::Parcel(parcel)) = queue.take(&mut Vec::new(), &FOREVER) else {
        panic!("a parcel was put")
    };
    assert!(parcel.into_buffers([100, u64::MAX]).is_err());
}

#[test]
fn join_waits_for_every_task() {
    let _alone = alone();
    let queue = RawQueue::new(None).expect("a queue");
    queue.join(&FOREVER).expect("nothing to wait for");
    (0..20u8).for_each(|n| put(&queue, &[n]));
    assert_eq!(queue.join(&soon()), Err(GaveUp::TimedOut));
    let working = child(|| {
        for _ in 0..20 {
            take(&queue);
            assert!(queue.task_done());
        }
    });
    queue.join(&FOREVER).expect("all done");
    assert!(!queue.task_done(), "once too often");
    joined_well(&working);
}

#[test]
fn a_killed_process_loses_at_most_what_it_was_taking() {
    let _alone = alone();
    let before = shared();
    for round in 0..40u64 {
        let queue = RawQueue::new(None).expect("a queue");
        let ours = |n: u32| [&n.to_le_bytes()[..], &vec![9; [0, 9000][n as usize % 2]]].concat();
        let victim = child(|| {
            loop {
                take(&queue);
                put(&queue, &ours(u32::MAX - 1));
            }
        });
        for n in 0..300 {
            put(&queue, &ours(n));
        }
        std::thread::sleep(Duration::from_micros(round * 41 % 1500));
        victim.kill().expect("it can be killed");
        join(&victim);
        // It took one out for each that it put in, but for the one in its hands.
        let left = queue.len();
        assert!((299..=300).contains(&left), "round {round}: {left} left");
        for _ in 0..left {
            let message = take(&queue);
            let number = message[..4].try_into().map_or(0, u32::from_le_bytes);
            assert_eq!(message, ours(number));
        }
        put(&queue, b"still works");
        assert_eq!(take(&queue), b"still works");
        drop(queue);
        assert_eq!(shared(), before, "round {round}: something was left behind");
    }
}

#[test]
fn the_descriptor_is_readable_while_there_are_messages() {
    let _alone = alone();
    let queue = RawQueue::new(None).expect("a queue");
    let other = RawQueue::new(None).expect("a queue");
    put(&other, b"there before anybody asked");
    let readable = |queue: &RawQueue, wait: Duration| {
        let bell = queue.doorbell().expect("a descriptor");
        assert_eq!(queue.fileno().ok(), Some(bell.as_fd().as_raw_fd()), "always the same");
        let mut polled = [Interest::read(bell.as_fd())];
        poll::wait(&mut polled, Some(Deadline::after(wait))).expect("it can be polled");
        polled[0].is_ready()
    };
    let (now, long) = (Duration::ZERO, Duration::from_secs(60));
    assert!(readable(&other, now));
    assert!(!readable(&queue, now));
    for _ in 0..20 {
        let producing = child(|| put(&queue, b"from a child"));
        assert!(readable(&queue, long));
        assert_eq!(take(&queue), b"from a child");
        assert!(!readable(&queue, now));
        joined_well(&producing);
    }
}

#[test]
fn one_wait_for_queues_pipes_and_children() {
    let _alone = alone();
    let queue = RawQueue::new(None).expect("a queue");
    let (receiver, sender) = phalanx::pipe::one_way().expect("a pipe");
    let go = RawQueue::new(None).expect("a queue");
    let process = child(|| drop(take(&go)));
    let all = [Source::Queue(&queue), Source::Pipe(&receiver), Source::Fd(process.sentinel())];
    assert!(wait_any(&all, &soon()).is_err());
    let late = |act: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(30));
                act();
            });
            wait_any(&all, &FOREVER).expect("something")
        })
    };
    assert_eq!(late(&|| put(&queue, b"q")), [true, false, false]);
    take(&queue);
    let send = || sender.send(&mut Some(Outgoing::Inline(b"p")), &FOREVER).expect("room");
    assert_eq!(late(&send), [false, true, false]);
    receiver.recv(&mut Vec::new(), &FOREVER).expect("a message");
    assert_eq!(late(&|| put(&go, b"go")), [false, false, true]);
    wait_readable(process.sentinel(), FOREVER).expect("it has ended");
    joined_well(&process);
}

#[test]
fn blocks_are_zero_and_shared() {
    let _alone = alone();
    let before = shared();
    let block = Block::new(4).expect("memory");
    assert_eq!((block.len(), block.load()), (4, 0));
    joined_well(&child(|| block.store(77)));
    assert_eq!(block.load(), 77);
    let again = Block::from_offset(Family::get().expect("a family"), block.share());
    assert_eq!(again.map(|again| (again.len(), again.load())), Ok((4, 77)));
    drop(block);
    assert_eq!(shared(), before);
    assert_eq!(Block::new(8).expect("memory").load(), 0, "fresh although used before");
}
