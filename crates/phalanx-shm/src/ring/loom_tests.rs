//! Every order of steps of the ring, in small cases, on a heap that checks who owns which chunk and
//! who reads and writes what at the same time.

#![allow(unsafe_code, reason = "the heap hands out references to leaked boxes")]

use std::sync::atomic::{AtomicU32 as PlainU32, Ordering as PlainOrdering};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::{Memory, Record, Ring, SEGMENT_HEADER, Segment, Taken};
use crate::alloc_error::AllocError;
use crate::loom_tests::{Me, explore};
use crate::patience::Patience;
use crate::peers::{Peers, SlotId};

const FREE: u32 = 0;
const PART: u32 = 1;
const OWNED: u32 = 2;

/// A chunk of the heap; its address is its offset. Never given back, since others may still look at
/// its control words.
#[repr(C, align(64))]
struct HeapChunk {
    segment: Segment,
    state: PlainU32,
    units: Vec<UnsafeCell<u64>>,
}

impl HeapChunk {
    fn at<'a>(chunk: u64) -> &'a Self {
        // SAFETY: chunks are leaked boxes.
        unsafe { &*(chunk as *const Self) }
    }

    fn moves(&self, from: u32, to: u32) -> bool {
        let order = PlainOrdering::SeqCst;
        self.state.compare_exchange(from, to, order, order).is_ok()
    }
}

pub(crate) struct Heap(pub(crate) Me);

impl Peers for Heap {
    fn me(&self) -> SlotId {
        self.0.me()
    }
    fn pid(&self, slot: SlotId) -> u32 {
        self.0.pid(slot)
    }
    fn check(&self, slot: SlotId) -> bool {
        self.0.check(slot)
    }
}

impl Memory for Heap {
    fn take_chunk(&self, len: usize) -> Result<u64, AllocError> {
        let chunk = HeapChunk {
            segment: Segment::default(),
            state: PlainU32::new(OWNED + u32::from(self.0.0)),
            units: (0..(len - SEGMENT_HEADER) / 8).map(|_| UnsafeCell::new(0)).collect(),
        };
        Ok(Box::leak(Box::new(chunk)) as *const HeapChunk as u64)
    }

    fn free_chunk(&self, chunk: u64) {
        assert!(HeapChunk::at(chunk).moves(OWNED + u32::from(self.0.0), FREE), "not ours to free");
    }

    fn attach(&self, chunk: u64) -> bool {
        HeapChunk::at(chunk).moves(OWNED + u32::from(self.0.0), PART)
    }

    fn detach(&self, chunk: u64) -> bool {
        HeapChunk::at(chunk).moves(PART, OWNED + u32::from(self.0.0))
    }

    fn condemn(&self, chunk: u64, dead: SlotId) {
        HeapChunk::at(chunk).moves(PART, OWNED + u32::from(dead.raw()));
    }

    fn segment(&self, chunk: u64) -> &Segment {
        &HeapChunk::at(chunk).segment
    }

    fn write(&self, chunk: u64, at: usize, header: u64, bytes: &[u8]) {
        let first = (at - SEGMENT_HEADER) / 8;
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        for (unit, word) in
            HeapChunk::at(chunk).units[first..].iter().zip(std::iter::once(header).chain(words))
        {
            // SAFETY: loom reports whoever uses it at the same time.
            unit.with_mut(|place| unsafe { *place = word });
        }
    }

    fn read_word(&self, chunk: u64, at: usize) -> u64 {
        // SAFETY: as above.
        HeapChunk::at(chunk).units[(at - SEGMENT_HEADER) / 8].with(|place| unsafe { *place })
    }

    fn read(&self, chunk: u64, at: usize, len: usize, out: &mut Vec<u8>) {
        for done in (0..len).step_by(8) {
            let word = self.read_word(chunk, at + done).to_le_bytes();
            out.extend_from_slice(&word[..(len - done).min(8)]);
        }
    }
}

pub(crate) fn new_ring(limit: u32) -> Arc<Ring> {
    let ring = Arc::new(Ring::zeroed());
    ring.prepare(&Heap(Me(1)), limit).expect("memory");
    ring
}

fn put(ring: &Ring, me: u16, value: u64) {
    let bytes = [value.to_le_bytes(), value.to_le_bytes()].concat();
    ring.put(&Heap(Me(me)), Record::Inline(&bytes), &Patience::forever()).expect("room");
}

fn take(ring: &Ring, me: u16) -> u64 {
    let mut bytes = Vec::new();
    let taken = ring.take(&Heap(Me(me)), &mut bytes, &Patience::forever());
    assert_eq!(taken, Ok(Taken::Inline));
    assert_eq!(bytes[..8], bytes[8..], "a record that is not whole");
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

#[test]
fn loom_ring_two_producers_one_consumer() {
    explore(2, || {
        let ring = new_ring(0);
        let producers: Vec<_> = (2..4)
            .map(|me| {
                let ring = ring.clone();
                thread::spawn(move || put(&ring, me, u64::from(me)))
            })
            .collect();
        assert_eq!(take(&ring, 1) + take(&ring, 1), 5);
        producers.into_iter().for_each(|producer| producer.join().expect("no panic"));
        assert_eq!(ring.len(&Heap(Me(1))), 0);
    });
}

#[test]
fn loom_ring_one_producer_two_consumers() {
    explore(2, || {
        let ring = new_ring(0);
        let consumers: Vec<_> = (2..4)
            .map(|me| {
                let ring = ring.clone();
                thread::spawn(move || take(&ring, me))
            })
            .collect();
        put(&ring, 1, 10);
        put(&ring, 1, 20);
        let taken = consumers.into_iter().map(|consumer| consumer.join().expect("no panic"));
        assert_eq!(taken.sum::<u64>(), 30);
    });
}

#[test]
fn loom_ring_grows_while_it_is_emptied() {
    explore(2, || {
        let ring = new_ring(0);
        let producer = {
            let ring = ring.clone();
            // Two fit into the first segment.
            thread::spawn(move || (1..4).for_each(|value| put(&ring, 2, value)))
        };
        for value in 1..4 {
            assert_eq!(take(&ring, 1), value);
        }
        producer.join().expect("no panic");
        assert_eq!(ring.len(&Heap(Me(1))), 0);
    });
}

#[test]
fn loom_ring_goes_round_in_one_segment() {
    explore(2, || {
        let ring = new_ring(2);
        let producer = {
            let ring = ring.clone();
            thread::spawn(move || (1..4).for_each(|value| put(&ring, 2, value)))
        };
        for value in 1..4 {
            assert_eq!(take(&ring, 1), value);
        }
        producer.join().expect("no panic");
    });
}

#[test]
fn loom_ring_full_wakes_the_producer() {
    explore(2, || {
        let ring = new_ring(1);
        let producer = {
            let ring = ring.clone();
            thread::spawn(move || (1..3).for_each(|value| put(&ring, 2, value)))
        };
        assert_eq!(take(&ring, 1), 1);
        assert_eq!(take(&ring, 1), 2);
        producer.join().expect("no panic");
    });
}

#[test]
fn loom_ring_hands_payloads_over() {
    explore(2, || {
        let ring = new_ring(0);
        let producer = {
            let ring = ring.clone();
            thread::spawn(move || {
                let heap = Heap(Me(2));
                let chunk = heap.take_chunk(SEGMENT_HEADER + 8).expect("memory");
                heap.write(chunk, SEGMENT_HEADER, 77, &[]);
                let record = Record::Payload { chunk, len: 8 };
                ring.put(&heap, record, &Patience::forever()).expect("room");
            })
        };
        let heap = Heap(Me(1));
        match ring.take(&heap, &mut Vec::new(), &Patience::forever()) {
            Ok(Taken::Payload { chunk, len: 8 }) => {
                assert_eq!(heap.read_word(chunk, SEGMENT_HEADER), 77);
                heap.free_chunk(chunk);
            }
            other => panic!("{other:?}"),
        }
        producer.join().expect("no panic");
    });
}
