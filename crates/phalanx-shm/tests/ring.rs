//! What a ring promises, in one process and between several.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::time::Duration;

use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::ring::{PutError, Record, Ring, Taken};

mod support;
use support::{Watchdog, forked};

fn new_ring(limit: u32) -> Shared<Ring> {
    let family = Family::get().unwrap();
    let ring = Shared::<Ring>::new(family, |_| {}).unwrap();
    ring.prepare(family, limit).unwrap();
    ring
}

fn put(ring: &Shared<Ring>, bytes: &[u8]) {
    ring.put(ring.family(), Record::Inline(bytes), &Patience::forever()).unwrap();
}

fn take(ring: &Shared<Ring>) -> Vec<u8> {
    let mut out = Vec::new();
    let taken = ring.take(ring.family(), &mut out, &Patience::forever()).unwrap();
    assert_eq!(taken, Taken::Inline);
    out
}

#[test]
fn records_of_all_lengths_come_out_in_order() {
    let _dog = Watchdog::start(60);
    let ring = new_ring(0);
    let lengths: Vec<usize> = (0..3000).map(|i| (i * 37) % 2500).collect();
    for (i, len) in lengths.iter().enumerate() {
        put(&ring, &vec![i as u8; *len]);
    }
    assert_eq!(ring.len(ring.family()), lengths.len());
    for (i, len) in lengths.iter().enumerate() {
        assert_eq!(take(&ring), vec![i as u8; *len]);
    }
    assert!(ring.is_empty(ring.family()));
}

#[test]
fn an_unbounded_ring_takes_a_million_and_gives_its_memory_back() {
    let _dog = Watchdog::start(60);
    let ring = new_ring(0);
    for i in 0..1_000_000_u64 {
        put(&ring, &i.to_le_bytes());
    }
    let deep = ring.family().arena().census().parts;
    for i in 0..1_000_000_u64 {
        assert_eq!(take(&ring), i.to_le_bytes());
    }
    assert!(ring.family().arena().census().parts < deep);
}

#[test]
fn a_full_ring_refuses_until_something_is_taken() {
    let _dog = Watchdog::start(60);
    let ring = new_ring(2);
    put(&ring, b"a");
    put(&ring, b"b");
    let soon = Patience::timeout(Some(Duration::from_millis(20)));
    let refused = ring.put(ring.family(), Record::Inline(b"c"), &soon);
    assert_eq!(refused, Err(PutError::GaveUp(GaveUp::TimedOut)));
    assert_eq!(take(&ring), b"a");
    put(&ring, b"c");
    assert_eq!((take(&ring), take(&ring)), (b"b".to_vec(), b"c".to_vec()));
    let mut out = Vec::new();
    assert_eq!(ring.take(ring.family(), &mut out, &Patience::none()), Err(GaveUp::TimedOut));
}

#[test]
fn a_payload_changes_hands_without_a_copy() {
    let _dog = Watchdog::start(60);
    let ring = new_ring(0);
    let family = ring.family();
    let chunk = family.alloc(1 << 20).unwrap();
    family.arena().write(chunk, 5, b"large");
    let record = Record::Payload { chunk: chunk.offset(), len: 10 };
    ring.put(family, record, &Patience::forever()).unwrap();
    let taken = ring.take(family, &mut Vec::new(), &Patience::forever()).unwrap();
    assert_eq!(taken, Taken::Payload { chunk: chunk.offset(), len: 10 });
    let mut bytes = Vec::new();
    family.arena().read_bytes(chunk.offset() + 5, 5, &mut bytes);
    assert_eq!(bytes, b"large");
    family.free(chunk);
}

#[test]
fn several_producers_and_consumers_lose_and_double_nothing() {
    let _dog = Watchdog::start(120);
    const EACH: u32 = 20_000;
    let tasks = new_ring(64);
    let results = new_ring(0);
    let producers: Vec<_> = (0..3_u32)
        .map(|who| {
            let tasks = tasks.clone();
            forked(move || {
                for n in 0..EACH {
                    put(&tasks, &[who.to_le_bytes(), n.to_le_bytes()].concat());
                }
            })
        })
        .collect();
    let consumers: Vec<_> = (0..3)
        .map(|_| {
            let (tasks, results) = (tasks.clone(), results.clone());
            forked(move || {
                loop {
                    let item = take(&tasks);
                    if item.is_empty() {
                        break;
                    }
                    put(&results, &item);
                }
            })
        })
        .collect();
    producers.into_iter().for_each(|p| assert_eq!(p.wait(), 0));
    (0..3).for_each(|_| put(&tasks, b""));
    consumers.into_iter().for_each(|c| assert_eq!(c.wait(), 0));
    let mut seen: HashMap<u32, Vec<u32>> = HashMap::new();
    for _ in 0..3 * EACH {
        let item = take(&results);
        let who = u32::from_le_bytes(item[..4].try_into().unwrap());
        seen.entry(who).or_default().push(u32::from_le_bytes(item[4..].try_into().unwrap()));
    }
    for numbers in seen.values_mut() {
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..EACH));
    }
}

#[test]
fn joinable_counts_are_exact() {
    let ring = new_ring(0);
    let family = ring.family();
    assert!(ring.is_all_done(family));
    assert!(!ring.task_done(family));
    put(&ring, b"x");
    assert!(!ring.is_all_done(family));
    assert!(ring.task_done(family));
    assert!(ring.is_all_done(family) && !ring.task_done(family));
}

#[test]
fn objects_and_chunks_vanish_with_their_last_handle() {
    let before = {
        // Warm the magazines up, so that the census below compares like with like.
        drop(new_ring(0));
        Family::get().unwrap().arena().census()
    };
    let ring = new_ring(0);
    (0..100).for_each(|_| put(&ring, &[7; 5000]));
    let other = ring.clone();
    drop(ring);
    assert_eq!(take(&other), vec![7; 5000]);
    drop(other);
    let after = Family::get().unwrap().arena().census();
    assert!(after.objects <= before.objects + 8 && after.parts <= before.parts + 64);
}

/// Wherever its producer dies: what is said to hold something holds it, and what is taken was put.
#[cfg(feature = "failpoints")]
#[test]
fn a_ring_is_empty_if_its_producer_died_before_there_was_anything_in_it() {
    let _dog = Watchdog::start(60);
    let steps = ["put.intended", "put.attached", "put.written", "put.published", "put.settled"];
    let grow = ["allocated", "intended", "attached", "linked", "moved", "settled"];
    let steps = steps.map(|step| format!("ring.{step}")).into_iter();
    let steps = steps.chain(grow.map(|step| format!("ring.grow.{step}")));
    for (step, nth) in steps.flat_map(|step| (0..2).map(move |nth| (step.clone(), nth))) {
        let ring = new_ring(0);
        let family = ring.family();
        let producer = forked(|| {
            phalanx_shm::failpoint::arm(&step, libc::SIGKILL, nth);
            for n in 0..40_u8 {
                let chunk = family.alloc(20_000).unwrap().offset();
                let record = Record::Payload { chunk, len: 20_000 };
                ring.put(family, record, &Patience::forever()).unwrap();
                put(&ring, &[n; 600]);
            }
        });
        assert_eq!(producer.wait(), -libc::SIGKILL, "{step} is reached {nth} times");
        let (mut out, mut seen) = (Vec::new(), 0..);
        while !ring.is_empty(family) {
            out.clear();
            let taken = ring.take(family, &mut out, &Patience::none());
            let taken =
                taken.unwrap_or_else(|_| panic!("{step} {nth}: not empty, and has nothing"));
            match taken {
                Taken::Payload { chunk, .. } => {
                    family.free(family.arena().chunk_at(chunk).unwrap())
                }
                Taken::Inline => assert_eq!(out, [seen.next().unwrap_or(u8::MAX); 600]),
            }
        }
        assert_eq!(ring.len(family), 0);
    }
}
