//! Large bytes that are handed from process to process, and deaths on the way.

mod support;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use phalanx::prelude::*;
use phalanx::process::Reservation;
use phalanx::wire;
use serde::{Deserialize, Serialize};
use support::{alone, child, join, joined_well, shared};

const MIB: usize = 1 << 20;

fn pattern(len: usize, seed: u8) -> SharedBytes {
    let mut bytes = SharedBytesMut::with_capacity(len).expect("memory");
    (0..len).for_each(|n| bytes.extend_from_slice(&[(n as u8).wrapping_mul(31) ^ seed]));
    bytes.freeze()
}

fn is_pattern(bytes: &[u8], len: usize, seed: u8) -> bool {
    bytes.len() == len
        && bytes.iter().enumerate().all(|(n, byte)| *byte == (n as u8).wrapping_mul(31) ^ seed)
}

#[test]
fn they_are_built_in_place_and_cut_without_copies() {
    let _alone = alone();
    let before = shared();
    let mut bytes = SharedBytesMut::zeroed(10).expect("memory");
    assert_eq!(&bytes[..], [0; 10]);
    assert!(bytes.write_all(b"x").is_err(), "it is full");
    bytes[3] = 7;
    let whole = bytes.freeze();
    let part = whole.slice(2..=4);
    assert_eq!(&part[..], [0, 7, 0]);
    assert_eq!(part.as_ptr(), whole[2..].as_ptr());
    drop(whole);
    assert_eq!(&part.slice(1..)[..], [7, 0]);
    std::panic::set_hook(Box::new(|_| {}));
    let beyond = catch_unwind(|| part.slice(1..4));
    drop(std::panic::take_hook());
    assert!(beyond.is_err());
    assert!(SharedBytes::copy_from(&[]).expect("memory").is_empty());
    assert!(SharedBytesMut::with_capacity(usize::MAX / 2).is_err());
    drop(part);
    assert_eq!(shared(), before);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Picture {
    name: String,
    pixels: SharedBytes,
    size: (u32, u32),
}

#[test]
fn the_memory_itself_arrives() {
    let _alone = alone();
    let before = shared();
    let pictures = Queue::<Picture>::unbounded().expect("a queue");
    let (here, there) = pipe::<Picture>().expect("a pipe");
    let address = Value::new(0u64).expect("memory");
    // Before there is a picture: a fork would share it with its child.
    let editor = child(|| {
        here.close();
        let picture = there.recv().expect("a picture");
        there.send(Picture { name: "b".to_owned(), ..picture }).expect("room");
    });
    let painter = child(|| {
        let pixels = pattern(MIB, 5);
        address.store(pixels.as_ptr().addr() as u64);
        let picture = Picture { name: "a".to_owned(), pixels, size: (1024, 1024) };
        pictures.put(picture).expect("memory");
    });
    let picture = pictures.take().expect("a picture");
    joined_well(&painter);
    assert_eq!((picture.name.as_str(), picture.size), ("a", (1024, 1024)));
    assert!(is_pattern(&picture.pixels, MIB, 5));
    // A forked process has the memory at the same place.
    assert_eq!(picture.pixels.as_ptr().addr() as u64, address.load(), "not a copy");

    // And on it goes, and back, through a pipe.
    there.close();
    here.send(picture).expect("room");
    let picture = here.recv().expect("the same picture");
    assert_eq!(picture.pixels.as_ptr().addr() as u64, address.load());
    assert!(is_pattern(&picture.pixels, MIB, 5) && picture.name == "b");
    joined_well(&editor);
    drop((picture, pictures, address, here, there));
    assert_eq!(shared(), before);
}

#[test]
fn what_others_still_see_is_copied() {
    let _alone = alone();
    let before = shared();
    let queue = Queue::<Vec<SharedBytes>>::unbounded().expect("a queue");
    let (a, b) = (pattern(50_000, 1), pattern(70_001, 2));
    // Kept by this process; kept by a child; in different memory; of the same memory in parts.
    queue.put(vec![a.clone()]).expect("memory");
    let keeper = child(|| std::thread::sleep(Duration::from_secs(60)));
    queue.put(vec![a]).expect("memory");
    queue.put(vec![b.slice(..10_000), b.slice(20_000..), pattern(100, 3)]).expect("memory");
    drop(b);
    queue.put(vec![pattern(8000, 4), pattern(9000, 5)]).expect("memory");
    let halves = pattern(20_000, 6);
    let (first, second) = (halves.slice(..10_000), halves.slice(10_000..));
    drop(halves);
    let place = first.as_ptr();
    queue.put(vec![first, second]).expect("memory");

    let next = || queue.take().expect("bytes");
    assert!(is_pattern(&next()[0], 50_000, 1));
    assert!(is_pattern(&next()[0], 50_000, 1));
    let parts = next();
    assert!(is_pattern(&parts[0], 10_000, 2) && parts[1].len() == 50_001);
    assert!(is_pattern(&parts[2], 100, 3));
    let two = next();
    assert!(is_pattern(&two[0], 8000, 4) && is_pattern(&two[1], 9000, 5));
    let halves = next();
    assert_eq!(halves[0].as_ptr(), place, "both halves were handed over");
    assert!(is_pattern(&[&halves[0][..], &halves[1][..]].concat(), 20_000, 6));
    keeper.kill().expect("it can be killed");
    join(&keeper);
    drop((parts, two, halves, queue));
    assert_eq!(shared(), before);
}

#[test]
fn what_cannot_be_sent_comes_back_unharmed() {
    let _alone = alone();
    let before = shared();
    let queue = Queue::<(u8, SharedBytes)>::bounded(1).expect("a queue");
    queue.put((0, pattern(10, 0))).expect("room");
    let bytes = pattern(MIB, 9);
    let place = bytes.as_ptr();
    let (number, bytes) = queue.try_put((1, bytes)).expect_err("it is full").into_inner();
    assert!(number == 1 && is_pattern(&bytes, MIB, 9) && bytes.as_ptr() == place);
    let view = bytes.clone();
    let error = queue.put_timeout((2, bytes), Duration::from_millis(5)).expect_err("still full");
    assert!(error.is_full());
    assert!(is_pattern(&error.into_inner().1, MIB, 9) && is_pattern(&view, MIB, 9));
    queue.take().expect("the first");
    queue.put((3, view)).expect("room");
    assert_eq!(queue.take().expect("handed over").1.as_ptr(), place);
    drop(queue);
    assert_eq!(shared(), before);
}

#[test]
fn killed_senders_and_receivers_leave_nothing_behind() {
    let _alone = alone();
    let before = shared();
    let scene = |round: u64| {
        let (there, back) = (Queue::unbounded().expect("one"), Queue::unbounded().expect("one"));
        let victim = child(|| {
            loop {
                let (n, bytes): (u64, SharedBytes) = there.take().expect("bytes");
                back.put((n, bytes)).expect("memory");
            }
        });
        for n in 0..8 {
            there.put((n, pattern(20_000, n as u8))).expect("memory");
        }
        std::thread::sleep(Duration::from_micros(round * 97 % 2500));
        victim.kill().expect("it can be killed");
        join(&victim);
        let mut left: Vec<(u64, SharedBytes)> =
            back.drain().chain(there.drain()).map(|item| item.expect("whole")).collect();
        left.sort_by_key(|(n, _)| *n);
        assert!(left.len() >= 7, "round {round}: {} left", left.len());
        assert!(left.iter().all(|(n, bytes)| is_pattern(bytes, 20_000, *n as u8)));
    };
    (0..40).for_each(scene);
    assert_eq!(shared(), before);
}

#[test]
fn outside_of_messages_they_are_in_line_or_shared() {
    let _alone = alone();
    let before = shared();
    let bytes = pattern(30_000, 8);
    let mut copy = Vec::new();
    wire::encode(&bytes, &mut copy).expect("bytes are bytes");
    assert!(copy.len() > 30_000);
    assert!(is_pattern(&wire::decode::<SharedBytes>(&copy).expect("a copy"), 30_000, 8));

    let place = Reservation::new().expect("a place");
    let mut name = Vec::new();
    let part = bytes.slice(31..31 + 8192);
    place.while_packing(|| wire::encode(&part, &mut name)).expect("a child is being started");
    assert!(name.len() < 50, "the child shares them");
    let again: SharedBytes = wire::decode(&name).expect("so does this process");
    assert_eq!(again.as_ptr(), part.as_ptr());
    drop((again, part, bytes));
    assert_eq!(shared().1, before.1 + 1, "kept for the child");
    drop(place);
    assert_eq!(shared(), before);
    assert!(wire::decode::<SharedBytes>(&name).is_err());
    let value = Value::new(7u64).expect("memory");
    name[1..].fill(0);
    assert!(wire::decode::<SharedBytes>(&name).is_err(), "nothing begins there");
    let forged = (2u8, value.offset(), 0u64, 8u64);
    let mut bytes = Vec::new();
    wire::encode(&forged, &mut bytes).expect("numbers");
    assert!(wire::decode::<SharedBytes>(&bytes).is_err(), "others may change those");
    assert!(wire::decode::<SharedBytes>(&[1, 0, 8]).is_err(), "the bytes did not come along");
}

#[test]
fn a_draft_belongs_to_the_process_that_writes_it() {
    let _alone = alone();
    let mut draft = Some(SharedBytesMut::zeroed(100).expect("memory"));
    joined_well(&child(|| {
        std::panic::set_hook(Box::new(|_| {}));
        let mut copy = draft.take().expect("it was copied with everything else");
        assert!(catch_unwind(AssertUnwindSafe(|| copy[0] = 1)).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| copy.freeze())).is_err());
    }));
    let draft = draft.take().expect("the parent's");
    assert_eq!(&draft.freeze()[..], [0; 100]);
}

/// Sends something else while it is being encoded.
struct Nested(Queue<SharedBytes>, SharedBytes);

impl Serialize for Nested {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.put(pattern(6000, 7)).expect("memory");
        (&self.1, self.1.len()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Nested {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (bytes, _) = <(SharedBytes, usize)>::deserialize(deserializer)?;
        let queue = Queue::unbounded().map_err(serde::de::Error::custom)?;
        queue.put(pattern(5000, 3)).map_err(serde::de::Error::custom)?;
        assert!(is_pattern(&queue.take().map_err(serde::de::Error::custom)?, 5000, 3));
        Ok(Self(queue, bytes))
    }
}

#[test]
fn a_message_within_a_message_has_its_own_bytes() {
    let _alone = alone();
    let inner = Queue::unbounded().expect("a queue");
    let outer = Queue::<(SharedBytes, Nested, SharedBytes)>::unbounded().expect("a queue");
    let nested = Nested(inner.clone(), pattern(7000, 2));
    outer.put((pattern(4096, 1), nested, pattern(9000, 4))).expect("memory");
    let (first, nested, last) = outer.take().expect("three of them");
    assert!(is_pattern(&first, 4096, 1) && is_pattern(&nested.1, 7000, 2));
    assert!(is_pattern(&last, 9000, 4));
    assert!(is_pattern(&inner.take().expect("sent meanwhile"), 6000, 7));
}
