//! Handles of shared objects in messages: whoever receives one has the object, also when its sender has
//! gone, and an object ends with its last handle or message.

mod support;

use std::time::Duration;

use phalanx::prelude::*;
use phalanx::queue::RawQueue;
use phalanx::{RecvError, Sender, channel};
use serde::{Deserialize, Serialize};
use support::{alone, child, joined_well, shared};

#[derive(Serialize, Deserialize)]
struct Order {
    number: u64,
    answer: Queue<String>,
    count: Value<u64>,
    lock: Lock<u64>,
    data: SharedBytes,
}

#[test]
fn a_queue_is_sent_through_a_queue() {
    let _alone = alone();
    let orders = Queue::<Queue<u64>>::unbounded().expect("a queue");
    let server = child(|| {
        for number in 0..3 {
            orders.take().expect("an order").put(number).expect("room");
        }
    });
    for number in 0..3 {
        let answer = Queue::unbounded().expect("a queue");
        orders.put(answer.clone()).expect("room");
        assert_eq!(answer.take().expect("an answer"), number);
    }
    joined_well(&server);
}

#[test]
fn several_handles_and_bytes_travel_together() {
    let _alone = alone();
    let before = shared();
    let (sender, receiver) = channel::<Order>().expect("a channel");
    let worker = child(|| {
        for Order { number, answer, count, lock, data } in receiver.iter().flatten().take(2) {
            count.fetch_add(number);
            *lock.lock().expect("nobody died") += u64::from(data[4999]);
            answer.put(format!("{number}: {}", data.len())).expect("room");
        }
    });
    let (count, lock) = (Value::new(1).expect("a value"), Lock::new(0).expect("a lock"));
    for number in [10, 20] {
        let answer = Queue::bounded(1).expect("a queue");
        let data = SharedBytes::copy_from(&[7; 5000]).expect("memory");
        let (count, lock) = (count.clone(), lock.clone());
        sender.send(Order { number, answer: answer.clone(), count, lock, data }).expect("room");
        assert_eq!(answer.take().expect("an answer"), format!("{number}: 5000"));
    }
    joined_well(&worker);
    assert_eq!((count.load(), *lock.lock().expect("nobody died")), (31, 14));
    drop((sender, receiver, count, lock));
    assert_eq!(shared(), before);
}

#[test]
fn what_is_in_a_message_outlives_its_sender() {
    let _alone = alone();
    let before = shared();
    let orders = Queue::<Queue<u64>>::unbounded().expect("a queue");
    let sender = child(|| {
        let numbers = Queue::unbounded().expect("a queue");
        numbers.put_many(0..100).expect("room");
        orders.put(numbers).expect("room");
    });
    joined_well(&sender);
    drop(sender);
    let numbers = orders.take().expect("a queue");
    assert_eq!(numbers.take_many(200).into_iter().flatten().sum::<u64>(), 4950);
    drop((numbers, orders));
    assert_eq!(shared(), before);
}

#[test]
fn what_is_in_an_unread_message_ends_with_it() {
    let _alone = alone();
    let before = shared();
    // One within another, three deep, with what is in them.
    let outer = Queue::<Queue<Queue<String>>>::unbounded().expect("a queue");
    let middle = Queue::<Queue<String>>::unbounded().expect("a queue");
    let inner = Queue::unbounded().expect("a queue");
    inner.put("x".repeat(100_000)).expect("room");
    middle.put(inner).expect("room");
    outer.put(middle).expect("room");
    assert!(shared() > before);
    drop(outer);
    assert_eq!(shared(), before);
}

#[test]
fn a_message_of_another_type_frees_what_it_names() {
    let _alone = alone();
    let before = shared();
    let raw = RawQueue::new(None).expect("a queue");
    let (one, other) =
        (Queue::<Queue<u64>>::from_raw(raw.clone()), Queue::<(String, u8)>::from_raw(raw));
    one.put(Queue::<u64>::unbounded().expect("a queue")).expect("room");
    assert!(matches!(other.take(), Err(RecvError::Decode(_))));
    drop((one, other));
    assert_eq!(shared(), before);
}

#[test]
fn a_handle_that_is_not_sent_comes_back() {
    let _alone = alone();
    let before = shared();
    let full = Queue::<Queue<u64>>::bounded(1).expect("a queue");
    full.put(Queue::unbounded().expect("a queue")).expect("room");
    let kept = Queue::unbounded().expect("a queue");
    kept.put(7).expect("room");
    let refused = full.put_timeout(kept, Duration::from_millis(5)).expect_err("it is full");
    let kept = refused.into_inner();
    assert_eq!(kept.take().expect("a number"), 7);
    drop((full, kept));
    assert_eq!(shared(), before);
}

#[test]
fn many_are_put_together() {
    let _alone = alone();
    let before = shared();
    let queue = Queue::<Value<u64>>::unbounded().expect("a queue");
    let values: Vec<_> = (0..100).map(|n| Value::new(n).expect("a value")).collect();
    queue.put_many(values.iter().cloned()).expect("room");
    drop(values);
    let sum: u64 = queue.take_many(1000).into_iter().flatten().map(|value| value.load()).sum();
    let rest: u64 = queue.drain().flatten().map(|value| value.load()).sum();
    assert_eq!(sum + rest, 4950);
    drop(queue);
    assert_eq!(shared(), before);
}

#[test]
fn bytes_for_strangers_have_no_handles() {
    let _alone = alone();
    let value = Value::new(1u64).expect("a value");
    let error = phalanx::wire::encode(&value, &mut Vec::new()).expect_err("nobody would keep it");
    assert!(error.to_string().contains("message"), "{error}");
    let sender: Option<Sender<u64>> = None;
    assert!(phalanx::wire::encode(&sender, &mut Vec::new()).is_ok());
}
