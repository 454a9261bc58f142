//! What every ring promises, wherever it lies: on the heap, in shared memory between threads, and in
//! shared memory between processes.

#![allow(unsafe_code, clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::ring::{INLINE_MAX, Memory, PutError, Record, Ring, Taken};
use proptest::prelude::*;

#[path = "support/heap.rs"]
mod heap;
mod support;
use heap::Heap;
use support::{Watchdog, forked};

/// Where rings lie, and what works on them.
trait Ground: 'static {
    type Memory: Memory + Sync;
    type Handle: Deref<Target = Ring> + Clone + Send;
    fn memory(worker: u16) -> &'static Self::Memory;
    fn ring(limit: u32) -> Self::Handle;
    /// Runs the workers at the same time; each must come to its end.
    fn together(workers: Vec<Box<dyn FnOnce() + Send>>);
}

fn threads(workers: Vec<Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = workers.into_iter().map(std::thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

struct OnHeap;
impl Ground for OnHeap {
    type Memory = Heap;
    type Handle = Arc<Ring>;
    fn memory(worker: u16) -> &'static Heap {
        Box::leak(Box::new(Heap(worker + 1)))
    }
    fn ring(limit: u32) -> Arc<Ring> {
        let ring = Arc::new(Ring::zeroed());
        ring.prepare(Self::memory(0), limit).unwrap();
        ring
    }
    fn together(workers: Vec<Box<dyn FnOnce() + Send>>) {
        threads(workers);
    }
}

fn shared_ring(limit: u32) -> Shared<Ring> {
    let family = Family::get().unwrap();
    let ring = Shared::<Ring>::new(family, |_| {}).unwrap();
    ring.prepare(family, limit).unwrap();
    ring
}

struct Threads;
impl Ground for Threads {
    type Memory = Family;
    type Handle = Shared<Ring>;
    fn memory(_worker: u16) -> &'static Family {
        Family::get().unwrap()
    }
    fn ring(limit: u32) -> Shared<Ring> {
        shared_ring(limit)
    }
    fn together(workers: Vec<Box<dyn FnOnce() + Send>>) {
        threads(workers);
    }
}

struct Processes;
impl Ground for Processes {
    type Memory = Family;
    type Handle = Shared<Ring>;
    fn memory(_worker: u16) -> &'static Family {
        Family::get().unwrap()
    }
    fn ring(limit: u32) -> Shared<Ring> {
        shared_ring(limit)
    }
    fn together(workers: Vec<Box<dyn FnOnce() + Send>>) {
        let children: Vec<_> = workers.into_iter().map(forked).collect();
        children.into_iter().for_each(|child| assert_eq!(child.wait(), 0));
    }
}

fn put<M: Memory>(ring: &Ring, memory: &M, bytes: &[u8]) {
    ring.put(memory, Record::Inline(bytes), &Patience::forever()).unwrap();
}

fn take<M: Memory>(ring: &Ring, memory: &M) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(ring.take(memory, &mut out, &Patience::forever()), Ok(Taken::Inline));
    out
}

fn keeps_order<G: Ground>() {
    let (ring, memory) = (G::ring(0), G::memory(0));
    let lens: Vec<usize> =
        (0..400).map(|i| (i * 977) % 3000).chain([INLINE_MAX, 0, INLINE_MAX - 1]).collect();
    for (i, len) in lens.iter().enumerate() {
        put(&ring, memory, &vec![i as u8; *len]);
        assert_eq!(ring.len(memory), i + 1);
    }
    for (i, len) in lens.iter().enumerate() {
        assert_eq!(take(&ring, memory), vec![i as u8; *len]);
    }
    assert!(ring.is_empty(memory) && ring.is_all_done(memory) == (lens.is_empty()));
}

fn honours_deadlines<G: Ground>() {
    let (ring, memory) = (G::ring(1), G::memory(0));
    let wait = Duration::from_millis(30);
    let start = Instant::now();
    let nothing = ring.take(memory, &mut Vec::new(), &Patience::timeout(Some(wait)));
    assert_eq!(nothing, Err(GaveUp::TimedOut));
    put(&ring, memory, b"x");
    let full = ring.put(memory, Record::Inline(b"y"), &Patience::timeout(Some(wait)));
    assert_eq!(full, Err(PutError::GaveUp(GaveUp::TimedOut)));
    assert!(start.elapsed() >= wait * 2);
    let full = ring.put(memory, Record::Inline(b"y"), &Patience::none());
    assert_eq!(full, Err(PutError::GaveUp(GaveUp::TimedOut)));
    let give_up = || true;
    let asked = Patience::forever().interruptible(&give_up);
    assert_eq!(
        ring.put(memory, Record::Inline(b"y"), &asked),
        Err(PutError::GaveUp(GaveUp::Interrupted))
    );
    assert_eq!(take(&ring, memory), b"x");
    assert_eq!(ring.take(memory, &mut Vec::new(), &asked), Err(GaveUp::Interrupted));
}

/// Records go through a ring with a limit from many to many, and through one without back to one.
fn many_to_many<G: Ground>() {
    const EACH: u32 = 3000;
    let (tasks, results) = (G::ring(16), G::ring(0));
    let mut workers: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for who in 0..2_u32 {
        let tasks = tasks.clone();
        workers.push(Box::new(move || {
            let memory = G::memory(who as u16 + 1);
            for n in 0..EACH {
                let mut bytes = vec![n as u8; 8 + (n % 700) as usize];
                bytes[..4].copy_from_slice(&who.to_le_bytes());
                bytes[4..8].copy_from_slice(&n.to_le_bytes());
                put(&tasks, memory, &bytes);
            }
        }));
    }
    for who in 2..4 {
        let (tasks, results) = (tasks.clone(), results.clone());
        workers.push(Box::new(move || {
            let memory = G::memory(who + 1);
            for _ in 0..EACH {
                let bytes = take(&tasks, memory);
                assert!(bytes[8..].iter().all(|b| *b == bytes[4]), "a record that is not whole");
                put(&results, memory, &bytes[..8]);
            }
        }));
    }
    G::together(workers);
    let memory = G::memory(0);
    let mut seen: Vec<(u32, u32)> = (0..2 * EACH)
        .map(|_| {
            let bytes = take(&results, memory);
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            (word(0), word(4))
        })
        .collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq((0..2).flat_map(|who| (0..EACH).map(move |n| (who, n)))));
    assert!(tasks.is_empty(memory) && results.is_empty(memory));
}

fn payloads_change_hands<G: Ground>() {
    const COUNT: u64 = 200;
    let (ring, back) = (G::ring(4), G::ring(0));
    let (ring2, back2) = (ring.clone(), back.clone());
    let producer = Box::new(move || {
        let memory = G::memory(1);
        for n in 0..COUNT {
            let chunk = memory.take_chunk(20_000).unwrap();
            memory.write(chunk, 19_992, n, &[]);
            let label = n.to_le_bytes();
            let record = Record::Labelled { label: &label, chunk, len: 20_000 };
            ring2.put(memory, record, &Patience::forever()).unwrap();
        }
    });
    let consumer = Box::new(move || {
        let memory = G::memory(2);
        for n in 0..COUNT {
            let mut label = Vec::new();
            let taken = ring.take(memory, &mut label, &Patience::forever());
            let Ok(Taken::Payload { chunk, len: 20_000 }) = taken else { panic!("{taken:?}") };
            assert_eq!((memory.read_word(chunk, 19_992), &label[..]), (n, &n.to_le_bytes()[..]));
            memory.free_chunk(chunk);
        }
        put(&back2, memory, b"done");
    });
    G::together(vec![producer, consumer]);
    assert_eq!(take(&back, G::memory(0)), b"done");
}

/// What was put before a ring is closed is taken by those who wait; then they, and those who put, are told.
fn closes<G: Ground>() {
    const COUNT: u32 = 500;
    let (ring, back) = (G::ring(4), G::ring(0));
    let mut workers: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for who in 1..=2 {
        let (ring, back) = (ring.clone(), back.clone());
        workers.push(Box::new(move || {
            let mut out = Vec::new();
            while ring.take(G::memory(who), &mut out, &Patience::forever()).is_ok() {
                put(&back, G::memory(who), &out);
                out.clear();
            }
            assert!(ring.is_closed());
        }));
    }
    let closer = ring.clone();
    workers.push(Box::new(move || {
        let memory = G::memory(3);
        for n in 0..COUNT {
            put(&closer, memory, &n.to_le_bytes());
        }
        closer.close(memory, &Patience::forever()).unwrap();
        let refused = closer.put(memory, Record::Inline(b"late"), &Patience::forever());
        assert_eq!(refused, Err(PutError::GaveUp(GaveUp::TimedOut)));
    }));
    G::together(workers);
    let memory = G::memory(0);
    let mut seen: Vec<u32> = (0..back.len(memory))
        .map(|_| u32::from_le_bytes(take(&back, memory).try_into().unwrap()))
        .collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..COUNT));
    assert!(ring.is_empty(memory));
}

fn notes_before_it_takes<G: Ground>() {
    let (ring, memory) = (G::ring(0), G::memory(0));
    for n in 0..3_u8 {
        put(&ring, memory, &[n]);
    }
    for n in 0..3_u32 {
        let mut noted = None;
        ring.take_noting(memory, &mut Vec::new(), &Patience::none(), &mut |record| {
            assert!(!ring.is_taken(memory, record.ordinal));
            noted = Some((record.ordinal, record.bytes.to_vec()));
        })
        .unwrap();
        let (ordinal, bytes) = noted.unwrap();
        assert!(ring.is_taken(memory, ordinal));
        assert_eq!(bytes, [n as u8]);
    }
}

/// Any sequence of puts and takes does what a queue of the standard library does.
fn is_a_queue<G: Ground>() {
    let steps = proptest::collection::vec((any::<bool>(), 0..1800_usize), 1..300);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&(steps, 0..8_u32), |(steps, limit)| {
            let (ring, memory) = (G::ring(limit), G::memory(0));
            let mut model = VecDeque::new();
            for (n, (puts, len)) in steps.into_iter().enumerate() {
                if puts {
                    let bytes = vec![n as u8; len];
                    let done = ring.put(memory, Record::Inline(&bytes), &Patience::none()).is_ok();
                    prop_assert_eq!(done, limit == 0 || model.len() < limit as usize);
                    if done {
                        model.push_back(bytes);
                    }
                } else {
                    let mut out = Vec::new();
                    let taken = ring.take(memory, &mut out, &Patience::none()).ok().map(|_| out);
                    prop_assert_eq!(taken, model.pop_front());
                }
                prop_assert_eq!(ring.len(memory), model.len());
                prop_assert_eq!(ring.is_empty(memory), model.is_empty());
            }
            Ok(())
        })
        .unwrap();
}

macro_rules! conformance {
    ($($name:ident: $ground:ty),*) => { $( mod $name {
        #[test]
        fn keeps_order() { let _dog = super::Watchdog::start(60); super::keeps_order::<$ground>(); }
        #[test]
        fn honours_deadlines() { let _dog = super::Watchdog::start(60); super::honours_deadlines::<$ground>(); }
        #[test]
        fn many_to_many() { let _dog = super::Watchdog::start(60); super::many_to_many::<$ground>(); }
        #[test]
        fn payloads_change_hands() { let _dog = super::Watchdog::start(60); super::payloads_change_hands::<$ground>(); }
        #[test]
        fn notes_before_it_takes() { let _dog = super::Watchdog::start(60); super::notes_before_it_takes::<$ground>(); }
        #[test]
        fn closes() { let _dog = super::Watchdog::start(60); super::closes::<$ground>(); }
        #[test]
        fn is_a_queue() { let _dog = super::Watchdog::start(60); super::is_a_queue::<$ground>(); }
    } )* };
}
conformance!(heap_ground: super::OnHeap, thread_ground: super::Threads, process_ground: super::Processes);
