//! Every order of steps of a list that is changed by one while others look at it without the lock, on a
//! heap whose chunks are used again at once, with a death of the writer at every step.

#![allow(unsafe_code, reason = "the heap hands out references to leaked boxes")]

use std::sync::Arc as Plain;
use std::sync::atomic::{AtomicBool, Ordering as PlainOrdering};

use loom::sync::Arc;
use loom::thread;

use super::{Cells, Glimpse, List, Staged};
use crate::alloc_error::AllocError;
use crate::failpoint::model::dies_at;
use crate::loom_tests::explore;
use crate::patience::Patience;
use crate::peers::{Peers, SlotId};
use crate::ring::{Memory, Segment};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

const FREE: u32 = 0;
const PART: u32 = 1;
const OWNED: u32 = 2;

/// Bytes of each chunk.
const CAPACITY: usize = 80;
const CHUNKS: usize = 5;

struct Chunk {
    state: AtomicU32,
    words: [AtomicU64; CAPACITY / 8],
}

/// The chunks, of which number n has the offset n + 1.
#[derive(Clone)]
struct Heap {
    chunks: Arc<[Chunk; CHUNKS]>,
    me: u16,
}

impl Heap {
    fn new() -> Self {
        let zero = |_| AtomicU64::new(0);
        let chunk = |_| Chunk { state: AtomicU32::new(FREE), words: std::array::from_fn(zero) };
        Self { chunks: Arc::new(std::array::from_fn(chunk)), me: 1 }
    }

    fn of(&self, me: u16) -> Self {
        Self { chunks: self.chunks.clone(), me }
    }

    fn moves(&self, chunk: u64, from: u32, to: u32) -> bool {
        let Some(chunk) = self.chunks.get((chunk as usize).wrapping_sub(1)) else { return false };
        chunk.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn mine(&self) -> u32 {
        OWNED + u32::from(self.me)
    }

    /// What the sweep does last: frees what a dead process owned.
    fn free_owned_by(&self, dead: u16) {
        for chunk in 1..=CHUNKS as u64 {
            self.moves(chunk, OWNED + u32::from(dead), FREE);
        }
    }

    /// How many chunks are parts of containers; all others must be free.
    fn parts(&self) -> usize {
        let states = self.chunks.iter().map(|chunk| chunk.state.load(Ordering::Acquire));
        let used: Vec<_> = states.filter(|state| *state != FREE).collect();
        assert!(used.iter().all(|state| *state == PART), "a chunk is somebody's for ever");
        used.len()
    }
}

impl Peers for Heap {
    fn me(&self) -> SlotId {
        SlotId::from_raw(self.me).expect("not 0")
    }
    fn pid(&self, slot: SlotId) -> u32 {
        u32::from(slot.raw())
    }
    fn check(&self, _slot: SlotId) -> bool {
        true
    }
}

impl Memory for Heap {
    fn take_chunk(&self, len: usize) -> Result<u64, AllocError> {
        assert!(len <= CAPACITY, "a chunk of {len} bytes");
        let free = (1..=CHUNKS as u64).find(|chunk| self.moves(*chunk, FREE, self.mine()));
        Ok(free.expect("a free chunk"))
    }

    fn free_chunk(&self, chunk: u64) {
        assert!(self.moves(chunk, self.mine(), FREE), "only an owner frees");
    }

    fn attach(&self, chunk: u64) -> bool {
        self.moves(chunk, self.mine(), PART)
    }

    fn detach(&self, chunk: u64) -> bool {
        self.moves(chunk, PART, self.mine())
    }

    fn condemn(&self, chunk: u64, dead: SlotId) {
        self.moves(chunk, PART, OWNED + u32::from(dead.raw()));
    }

    fn segment(&self, _chunk: u64) -> &Segment {
        unreachable!("there are no rings here")
    }

    fn write(&self, _chunk: u64, _at: usize, _header: u64, _bytes: &[u8]) {
        unreachable!("there are no rings here")
    }

    fn read_word(&self, chunk: u64, at: usize) -> u64 {
        self.words(chunk, at, 1)[0].load(Ordering::Relaxed)
    }

    fn read(&self, chunk: u64, at: usize, len: usize, out: &mut Vec<u8>) {
        for word in self.words(chunk, at, len / 8) {
            out.extend_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
    }
}

impl Cells for Heap {
    fn words(&self, chunk: u64, at: usize, count: usize) -> &[AtomicU64] {
        &self.chunks[chunk as usize - 1].words[at / 8..][..count]
    }

    fn fill(&self, chunk: u64, at: usize, bytes: &[u8]) {
        for (word, bytes) in self.words(chunk, at, bytes.len() / 8).iter().zip(bytes.chunks(8)) {
            word.store(bytes.try_into().map_or(0, u64::from_ne_bytes), Ordering::Relaxed);
        }
    }

    fn has(&self, chunk: u64, at: usize, bytes: &[u8]) -> bool {
        let mut found = Vec::new();
        self.read(chunk, at, bytes.len(), &mut found);
        found == bytes
    }

    fn capacity(&self, chunk: u64) -> usize {
        if (1..=CHUNKS as u64).contains(&chunk) { CAPACITY } else { 0 }
    }
}

/// A value of two words, which must be the same.
fn value(number: u64) -> Vec<u8> {
    [number.to_ne_bytes(), number.to_ne_bytes()].concat()
}

fn number(bytes: &[u8]) -> u64 {
    assert_eq!(bytes.len(), 16, "not a value");
    assert_eq!(bytes[..8], bytes[8..], "a value that is not whole");
    u64::from_ne_bytes(bytes[..8].try_into().expect("eight bytes"))
}

fn list_of(heap: &Heap, numbers: &[u64]) -> Arc<List> {
    let list = Arc::new(List::default());
    let mut locked = list.lock(heap, &Patience::forever()).expect("not retired");
    for number in numbers {
        let staged = Staged::item(heap, &value(*number)).expect("memory");
        locked.push(staged).expect("memory");
    }
    drop(locked);
    list
}

fn set(list: &List, heap: &Heap, number: u64) {
    let staged = Staged::item(heap, &value(number)).expect("memory");
    list.lock(heap, &Patience::forever()).expect("not retired").set(0, staged);
}

fn last(list: &List, heap: &Heap) -> Option<u64> {
    let mut out = Vec::new();
    match list.glimpse(heap, |len| len.checked_sub(1), &mut out) {
        Glimpse::Value => Some(number(&out)),
        Glimpse::Absent => panic!("the list is never empty"),
        Glimpse::Unclear => {
            assert!(out.is_empty());
            None
        }
    }
}

#[test]
fn loom_a_glimpse_sees_a_whole_value_though_chunks_are_used_again() {
    explore(2, || {
        let heap = Heap::new();
        let list = list_of(&heap, &[1]);
        let (writers_list, writers_heap) = (list.clone(), heap.of(2));
        // The second change writes into the chunk that the first has freed.
        let writer =
            thread::spawn(move || (2..4).for_each(|n| set(&writers_list, &writers_heap, n)));
        let seen = last(&list, &heap);
        assert!(seen.is_none_or(|number| (1..4).contains(&number)));
        writer.join().expect("no panic");
        assert_eq!((last(&list, &heap), heap.parts()), (Some(3), 2));
    });
}

#[test]
fn loom_a_glimpse_sees_one_state_of_a_list() {
    explore(2, || {
        let heap = Heap::new();
        let list = list_of(&heap, &[1, 2]);
        let (writers_list, writers_heap) = (list.clone(), heap.of(2));
        let writer = thread::spawn(move || {
            let mut locked =
                writers_list.lock(&writers_heap, &Patience::forever()).expect("not retired");
            locked.remove(0).expect("memory");
        });
        // Whichever state it sees, the last item is the same.
        assert!(last(&list, &heap).is_none_or(|number| number == 2));
        writer.join().expect("no panic");
        assert_eq!((last(&list, &heap), heap.parts()), (Some(2), 2));
    });
}

#[test]
fn loom_a_list_is_whole_wherever_its_writer_dies() {
    for nth in 0.. {
        let died = Plain::new(AtomicBool::new(false));
        let seen = died.clone();
        explore(2, move || {
            let heap = Heap::new();
            let list = list_of(&heap, &[1]);
            let (writers_list, writers_heap) = (list.clone(), heap.of(2));
            let writer = thread::spawn(move || {
                let staged = Staged::item(&writers_heap, &value(2)).expect("memory");
                dies_at(nth, || {
                    let locked = writers_list.lock(&writers_heap, &Patience::forever());
                    locked.expect("not retired").set(0, staged);
                })
            });
            let glimpsed = last(&list, &heap);
            if writer.join().expect("no panic") {
                seen.store(true, PlainOrdering::SeqCst);
                list.repair(&heap, SlotId::from_raw(2).expect("not 0"));
                heap.free_owned_by(2);
            }
            let now = last(&list, &heap).expect("nobody changes it");
            assert!(glimpsed.is_none_or(|before| before == 1 || now == 2), "seen, and undone");
            assert_eq!(heap.parts(), 2);
            set(&list, &heap, 3);
            assert_eq!((last(&list, &heap), heap.parts()), (Some(3), 2));
        });
        if !died.load(PlainOrdering::SeqCst) {
            assert!(nth >= 5, "only {nth} steps");
            return;
        }
    }
}
