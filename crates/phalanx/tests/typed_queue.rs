//! Queues of typed values between processes, and deaths of those who use them.

mod support;

use std::time::Duration;

use phalanx::process::Reservation;
use phalanx::queue::RawQueue;
use phalanx::{Error, ErrorKind, Queue, RecvError, SendError, SharedBytes, wire};
use serde::{Deserialize, Serialize};
use support::{alone, child, join, joined_well, shared};

const SHORT: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Job {
    Stop,
    Primes { from: u64, to: u64 },
    Text(String, Vec<Option<f64>>),
}

fn jobs() -> Vec<Job> {
    let text = |n: usize| Job::Text("long ".repeat(n), vec![None, Some(n as f64)]);
    vec![Job::Stop, Job::Primes { from: 1, to: u64::MAX }, text(1), text(1000), text(10_000)]
}

#[test]
fn values_of_any_size_pass_between_processes() {
    let _alone = alone();
    let before = shared();
    let (there, back) =
        (Queue::<Job>::unbounded().expect("a queue"), Queue::bounded(3).expect("a queue"));
    let echo = child(|| {
        for job in &there {
            let job = job.expect("a job");
            back.put(job.clone()).expect("room");
            if job == Job::Stop {
                break;
            }
        }
    });
    for job in jobs().into_iter().rev() {
        there.put(job.clone()).expect("room");
        assert_eq!(back.take().expect("its echo"), job);
    }
    joined_well(&echo);
    drop((there, back));
    assert_eq!(shared(), before);
}

#[test]
fn a_full_queue_gives_the_value_back() {
    let _alone = alone();
    let queue = Queue::bounded(1).expect("a queue");
    queue.try_put("one".to_owned()).expect("room");
    assert!(queue.is_full());
    match queue.try_put("two".to_owned()) {
        Err(SendError::Full(value)) => assert_eq!(value, "two"),
        other => panic!("{other:?}"),
    }
    let error = queue.put_timeout("three".to_owned(), SHORT).expect_err("nobody takes");
    assert!(error.is_full());
    assert_eq!(Error::from(error).kind(), ErrorKind::TimedOut);
    assert_eq!(queue.try_take().expect("it decodes").as_deref(), Some("one"));
    assert_eq!(queue.try_take().expect("nothing to decode"), None);
    assert!(matches!(queue.take_timeout(SHORT), Err(RecvError::Empty)));
    assert!(Queue::<u8>::bounded(0).is_err());
}

#[test]
fn what_does_not_decode_comes_back_as_bytes() {
    let _alone = alone();
    let queue = Queue::<Vec<u8>>::unbounded().expect("a queue");
    let other = Queue::<bool>::from_raw(queue.raw().clone());
    queue.put(vec![9; 3]).expect("room");
    queue.put(vec![8; 20_000]).expect("room");
    queue.put(Vec::new()).expect("room");
    match other.take() {
        Err(RecvError::Decode(e)) => assert_eq!(e.into_bytes(), [3, 9, 9, 9]),
        other => panic!("{other:?}"),
    }
    match other.try_take() {
        Err(RecvError::Decode(e)) => assert_eq!(e.bytes().len(), 20_003),
        other => panic!("{other:?}"),
    }
    assert!(!other.take().expect("one byte, 0"));
}

fn take_many<T: wire::Message>(queue: &Queue<T>, max: usize) -> Vec<T> {
    queue.take_many(max).into_iter().map(|value| value.expect("it decodes")).collect()
}

#[test]
fn many_at_once() {
    let _alone = alone();
    let queue = Queue::<u64>::bounded(10).expect("a queue");
    let filling = child(|| assert_eq!(queue.put_many(0..1000).expect("room"), 1000));
    let mut values = Vec::new();
    while values.len() < 1000 {
        let some = take_many(&queue, 7);
        assert!((1..=7).contains(&some.len()));
        values.extend(some);
    }
    assert!(values.into_iter().eq(0..1000));
    joined_well(&filling);
    assert!(take_many(&queue, 0).is_empty());
    assert_eq!(queue.put_many([1, 2, 3]).ok(), Some(3));
    assert_eq!(queue.drain().map(|value| value.expect("a number")).sum::<u64>(), 6);

    // Small and large ones, in order, and more than one lock is held for.
    let mixed = Queue::<Vec<u8>>::unbounded().expect("a queue");
    let value = |n: usize| vec![n as u8; [3, 0, 500, 2000, 9000][n % 5]];
    assert_eq!(mixed.put_many((0..300).map(value)).ok(), Some(300));
    assert!(take_many(&mixed, 1000).into_iter().eq((0..300).map(value)));
    let bytes = Queue::<SharedBytes>::unbounded().expect("a queue");
    let buffers = [10, 5000, 7].map(|len| SharedBytes::copy_from(&vec![1; len]).expect("memory"));
    bytes.put_many(buffers).expect("memory");
    let lengths: Vec<_> = take_many(&bytes, 3).iter().map(|bytes| bytes.len()).collect();
    assert_eq!(lengths, [10, 5000, 7]);
}

#[test]
fn of_many_each_is_a_value_or_an_error() {
    let _alone = alone();
    let queue = Queue::<u8>::unbounded().expect("a queue");
    let truths = Queue::<bool>::from_raw(queue.raw().clone());
    queue.put_many([1, 9, 0]).expect("memory");
    let taken = truths.take_many(10);
    assert_eq!(taken.len(), 3);
    assert!(matches!((&taken[0], &taken[2]), (Ok(true), Ok(false))));
    assert_eq!(taken[1].as_ref().expect_err("no truth value").bytes(), [9]);

    #[derive(Debug, Deserialize)]
    struct Odd(u64);
    impl Serialize for Odd {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0 % 2 {
                0 => Err(serde::ser::Error::custom("even")),
                _ => serializer.serialize_u64(self.0),
            }
        }
    }
    let odd = Queue::unbounded().expect("a queue");
    let mut numbers = [1, 3, 5, 8, 9].map(Odd).into_iter();
    let error = odd.put_many(&mut numbers).expect_err("8 is even");
    assert!(matches!(&error, SendError::Encode(values, _) if values.len() == 1));
    assert_eq!((error.into_inner()[0].0, odd.len()), (8, 3));
    assert_eq!(odd.put_many(numbers).ok(), Some(1), "the rest is still there");
}

#[test]
fn processes_killed_among_many_leave_whole_values() {
    let _alone = alone();
    let before = shared();
    for round in 0..25u64 {
        let queue = Queue::<(u64, String)>::unbounded().expect("a queue");
        let value = |n: u64| (n, "text ".repeat([1, 30, 2000][n as usize % 3]));
        let producer = child(|| drop(queue.put_many((0..).map(value))));
        let consumer = child(|| {
            loop {
                for value in queue.take_many(50) {
                    value.expect("whole values");
                }
            }
        });
        std::thread::sleep(Duration::from_micros(round * 131 % 3000));
        producer.kill().expect("it can be killed");
        consumer.kill().expect("it can be killed");
        join(&producer);
        join(&consumer);
        let left: Vec<_> = queue.drain().map(|found| found.expect("whole values")).collect();
        assert!(left.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "round {round}: a gap");
        assert!(left.into_iter().all(|found| found == value(found.0)));
        queue.put(value(7)).expect("it still works");
        assert_eq!(queue.take().expect("a value"), value(7));
        drop(queue);
        assert_eq!(shared(), before, "round {round}: something was left behind");
    }
}

#[test]
fn join_waits_for_what_was_taken() {
    let _alone = alone();
    let queue = Queue::unbounded().expect("a queue");
    queue.put_many(0..50u8).expect("room");
    assert!(!queue.join_timeout(SHORT));
    let working = child(|| {
        for n in 0..50u8 {
            assert_eq!(queue.take().expect("a number"), n);
            assert!(queue.task_done());
        }
    });
    queue.join();
    joined_well(&working);
}

#[test]
fn a_killed_taker_loses_at_most_one_value() {
    let _alone = alone();
    let before = shared();
    for round in 0..25u64 {
        let queue = Queue::<(u32, Vec<u8>)>::unbounded().expect("a queue");
        let value = |n: u32| (n, vec![n as u8; [0, 10_000][n as usize % 2]]);
        let victim = child(|| {
            loop {
                let (n, bytes) = queue.take().expect("a value");
                queue.put((n, bytes)).expect("memory");
            }
        });
        queue.put_many((0..200).map(value)).expect("memory");
        std::thread::sleep(Duration::from_micros(round * 67 % 1500));
        victim.kill().expect("it can be killed");
        join(&victim);
        let mut left: Vec<_> = queue.drain().map(|value| value.expect("whole values")).collect();
        assert!((199..=200).contains(&left.len()), "round {round}: {}", left.len());
        left.sort_unstable();
        left.dedup();
        assert!(left.len() >= 199 && left.into_iter().all(|found| found == value(found.0)));
        drop(queue);
        assert_eq!(shared(), before, "round {round}: something was left behind");
    }
}

#[test]
fn a_handle_by_itself_is_passed_only_to_a_child_that_is_being_started() {
    let _alone = alone();
    let before = shared();
    let queue = Queue::<u64>::unbounded().expect("a queue");
    let mut bytes = Vec::new();
    let error = wire::encode(&queue, &mut bytes).expect_err("nobody would keep it");
    assert!(error.to_string().contains("as an argument of its start"), "{error}");

    let place = Reservation::new().expect("a place");
    place.while_packing(|| wire::encode(&queue, &mut bytes)).expect("a child is being started");
    let again: Queue<u64> = wire::decode(&bytes).expect("this process is a holder too");
    queue.put(7).expect("memory");
    assert_eq!(again.take().expect("a number"), 7);
    drop((queue, again));
    assert_ne!(shared(), before, "the child to be is a holder");
    drop(place);
    assert_eq!(shared(), before, "and is none any more");
    assert!(wire::decode::<Queue<u64>>(&bytes).is_err());
    assert!(RawQueue::from_offset(phalanx_shm::family::Family::get().expect("one"), 8).is_err());
}
