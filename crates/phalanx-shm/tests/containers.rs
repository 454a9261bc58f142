//! What maps and lists promise, wherever they lie: on the heap, in shared memory between threads, and
//! in shared memory between processes. Their deaths are in `kill_structures`.

#![allow(unsafe_code, clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use phalanx_shm::alloc_error::AllocError;
use phalanx_shm::containers::{
    Cells, Glimpse, Key, List, LockFailed, LockedList, LockedMap, Map, Staged,
};
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::ring::Memory;
use proptest::prelude::*;

#[path = "support/heap.rs"]
mod heap;
mod support;
use heap::Heap;
use support::{Watchdog, forked};

/// Where containers lie, and what works on them.
trait Ground: 'static {
    type Memory: Cells + Sync;
    type Map: Deref<Target = Map> + Clone + Send;
    type List: Deref<Target = List> + Clone + Send;
    fn memory(worker: u16) -> &'static Self::Memory;
    fn map() -> Self::Map;
    fn list() -> Self::List;
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
    type Map = Arc<Map>;
    type List = Arc<List>;
    fn memory(worker: u16) -> &'static Heap {
        Box::leak(Box::new(Heap(worker + 1)))
    }
    fn map() -> Arc<Map> {
        let map = Map::default();
        map.prepare([1, 2], 3);
        Arc::new(map)
    }
    fn list() -> Arc<List> {
        Arc::new(List::default())
    }
    fn together(workers: Vec<Box<dyn FnOnce() + Send>>) {
        threads(workers);
    }
}

macro_rules! in_arena {
    ($ground:ident, $together:expr) => {
        struct $ground;
        impl Ground for $ground {
            type Memory = Family;
            type Map = Shared<Map>;
            type List = Shared<List>;
            fn memory(_worker: u16) -> &'static Family {
                Family::get().unwrap()
            }
            fn map() -> Shared<Map> {
                Shared::new(Family::get().unwrap(), |map: &Map| map.prepare([1, 2], 3)).unwrap()
            }
            fn list() -> Shared<List> {
                Shared::new(Family::get().unwrap(), |list: &List| list.prepare(3)).unwrap()
            }
            fn together(workers: Vec<Box<dyn FnOnce() + Send>>) {
                $together(workers);
            }
        }
    };
}

in_arena!(Threads, threads);
in_arena!(Processes, |workers: Vec<Box<dyn FnOnce() + Send>>| {
    let children: Vec<_> = workers.into_iter().map(forked).collect();
    children.into_iter().for_each(|child| assert_eq!(child.wait(), 0));
});

fn open<'a, M: Cells>(map: &'a Map, memory: &'a M) -> LockedMap<'a, M> {
    map.lock(memory, &Patience::forever()).unwrap()
}

fn open_list<'a, M: Cells>(list: &'a List, memory: &'a M) -> LockedList<'a, M> {
    list.lock(memory, &Patience::forever()).unwrap()
}

fn plain(identity: &[u8]) -> Key<'_> {
    Key { identity, form: b"" }
}

fn put<M: Cells>(map: &Map, memory: &M, key: &[u8], value: &[u8]) -> bool {
    let staged = Staged::entry(memory, plain(key), value).unwrap();
    open(map, memory).put(staged).unwrap()
}

fn value_of<M: Cells>(map: &Map, memory: &M, key: &[u8]) -> Option<Vec<u8>> {
    let locked = open(map, memory);
    let (_, record) = locked.find(key)?;
    let mut out = Vec::new();
    record.value(&mut out);
    Some(out)
}

fn entries<M: Cells>(map: &Map, memory: &M) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entry = |record: phalanx_shm::containers::Record<'_, M>| {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        record.identity(&mut key);
        record.value(&mut value);
        (key, value)
    };
    open(map, memory).records().map(entry).collect()
}

fn items<M: Cells>(list: &List, memory: &M) -> Vec<Vec<u8>> {
    let item = |record: phalanx_shm::containers::Record<'_, M>| {
        let mut value = Vec::new();
        record.value(&mut value);
        value
    };
    open_list(list, memory).records().map(item).collect()
}

fn finds_what_was_put<G: Ground>() {
    let (map, memory) = (G::map(), G::memory(0));
    assert!(put(&map, memory, b"one", b"1") && put(&map, memory, b"two", b"2"));
    assert!(!put(&map, memory, b"one", &[7; 100_000]), "the key was there");
    assert_eq!(value_of(&map, memory, b"one"), Some(vec![7; 100_000]));
    assert_eq!(value_of(&map, memory, b"three"), None);
    assert_eq!(value_of(&map, memory, b""), None);
    assert_eq!(entries(&map, memory)[0].0, b"one", "a key keeps its place");
    open(&map, memory).clear();
    assert!(open(&map, memory).is_empty() && entries(&map, memory).is_empty());
    assert!(put(&map, memory, b"", b""));
    assert_eq!(value_of(&map, memory, b""), Some(Vec::new()));
}

fn keeps_the_first_form<G: Ground>() {
    let (map, memory) = (G::map(), G::memory(0));
    for (form, value) in [(b"a", b"1"), (b"b", b"2")] {
        let key = Key { identity: b"key", form };
        let staged = Staged::entry(memory, key, value).unwrap();
        open(&map, memory).put(staged).unwrap();
    }
    let locked = open(&map, memory);
    let (_, record) = locked.find(b"key").unwrap();
    let (mut form, mut value) = (Vec::new(), Vec::new());
    record.form(&mut form);
    record.value(&mut value);
    assert_eq!((form, value), (b"a".to_vec(), b"2".to_vec()));
}

fn grows_and_shrinks<G: Ground>() {
    let (map, memory) = (G::map(), G::memory(0));
    let key = |n: u32| n.to_le_bytes();
    for n in 0..5000 {
        assert!(put(&map, memory, &key(n), &key(n * 3)));
    }
    for n in (0..5000).filter(|n| n % 50 != 0) {
        let mut locked = open(&map, memory);
        let (found, _) = locked.find(&key(n)).unwrap();
        locked.remove(found);
    }
    let left: Vec<_> =
        (0..5000).step_by(50).map(|n| (key(n).to_vec(), key(n * 3).to_vec())).collect();
    assert_eq!(entries(&map, memory), left);
    for n in (0..5000).step_by(50).rev() {
        let mut locked = open(&map, memory);
        let (found, record) = locked.last().unwrap();
        let mut identity = Vec::new();
        record.identity(&mut identity);
        assert_eq!(identity, key(n));
        locked.remove(found);
    }
    assert!(open(&map, memory).last().is_none());
}

fn retires_for_all<G: Ground>() {
    let (map, list, memory) = (G::map(), G::list(), G::memory(0));
    put(&map, memory, b"key", b"value");
    open(&map, memory).retire();
    assert_eq!(map.lock(memory, &Patience::none()).err(), Some(LockFailed::Retired));
    open_list(&list, memory).retire();
    assert_eq!(list.lock(memory, &Patience::none()).err(), Some(LockFailed::Retired));
}

fn counts_alike<G: Ground>() {
    const EACH: u64 = 3000;
    let (map, list) = (G::map(), G::list());
    let work = |worker: u16| {
        let (map, list) = (map.clone(), list.clone());
        Box::new(move || {
            let memory = G::memory(worker);
            for n in 0..EACH {
                let mut locked = open(&map, memory);
                let mut old = Vec::new();
                if let Some((_, record)) = locked.find(b"count") {
                    record.value(&mut old);
                }
                let old = old.try_into().map_or(0, u64::from_le_bytes);
                let new = Staged::entry(memory, plain(b"count"), &(old + 1).to_le_bytes()).unwrap();
                locked.put(new).unwrap();
                drop(locked);
                let own = [worker.to_le_bytes().as_slice(), &n.to_le_bytes()].concat();
                put(&map, memory, &own, b"x");
                let item = Staged::item(memory, &own).unwrap();
                open_list(&list, memory).push(item).unwrap();
            }
        }) as Box<dyn FnOnce() + Send>
    };
    G::together((0..3).map(work).collect());
    let memory = G::memory(0);
    assert_eq!(value_of(&map, memory, b"count"), Some((3 * EACH).to_le_bytes().to_vec()));
    assert_eq!(open(&map, memory).len() as u64, 3 * EACH + 1);
    let mut next = [0; 3];
    for item in items(&list, memory) {
        let worker = usize::from(item[0]);
        assert_eq!(item[2..], u64::to_le_bytes(next[worker]), "each in its order");
        next[worker] += 1;
    }
    assert_eq!(next, [EACH; 3]);
}

fn lists_do_as_vectors<G: Ground>() {
    let (list, memory) = (G::list(), G::memory(0));
    let item = |n: u8| Staged::item(memory, &[n]).unwrap();
    let many = |n: std::ops::Range<u8>| n.map(item).collect::<Vec<_>>();
    let is = |expected: &[u8]| {
        let now: Vec<u8> = items(&list, memory).concat();
        assert_eq!(now, expected);
    };
    open_list(&list, memory).extend(many(0..5)).unwrap();
    is(&[0, 1, 2, 3, 4]);
    open_list(&list, memory).splice(1..3, many(10..14)).unwrap();
    is(&[0, 10, 11, 12, 13, 3, 4]);
    open_list(&list, memory).splice(0..0, many(20..21)).unwrap();
    open_list(&list, memory).splice(0..0, many(21..22)).unwrap();
    is(&[21, 20, 0, 10, 11, 12, 13, 3, 4]);
    open_list(&list, memory).rearrange(&[8, 9, 0], many(30..32)).unwrap();
    is(&[4, 30, 21]);
    open_list(&list, memory).set(1, item(7));
    open_list(&list, memory).remove(0).unwrap();
    is(&[7, 21]);
    open_list(&list, memory).remove(1).unwrap();
    open_list(&list, memory).remove(0).unwrap();
    is(&[]);
    for n in 0..200 {
        open_list(&list, memory).push(item(n)).unwrap();
        if n > 2 {
            open_list(&list, memory).remove(0).unwrap();
        }
    }
    is(&[197, 198, 199]);
    open_list(&list, memory).clear();
    is(&[]);
}

fn glimpses_are_whole<G: Ground>() {
    const CHANGES: u32 = 20_000;
    let (map, list) = (G::map(), G::list());
    let text = |n: u32| vec![n as u8; 8 + (n % 40) as usize * 5];
    let key = |n: u32| [(n % 7) as u8; 5];
    let writer = {
        let (map, list) = (map.clone(), list.clone());
        Box::new(move || {
            let memory = G::memory(0);
            for n in 0..CHANGES {
                put(&map, memory, &key(n), &text(n));
                let mut locked = open_list(&list, memory);
                if locked.len() > 30 {
                    locked.splice(5..28, Vec::new()).unwrap();
                }
                locked.push(Staged::item(memory, &text(n)).unwrap()).unwrap();
                drop(locked);
                if n % 5 == 0 {
                    let mut locked = open(&map, memory);
                    if let Some((found, _)) = locked.find(&key(n + 3)) {
                        locked.remove(found);
                    }
                }
                if n % 501 == 0 {
                    open(&map, memory).clear();
                }
            }
            put(&map, memory, b"end", b"!");
        }) as Box<dyn FnOnce() + Send>
    };
    let reader = |worker: u16| {
        let (map, list) = (map.clone(), list.clone());
        Box::new(move || {
            let memory = G::memory(worker);
            let (mut seen, mut n) = (0u32, 0);
            let mut out = Vec::new();
            loop {
                n += 1;
                out.clear();
                if map.glimpse(memory, &key(n), &mut out) == Glimpse::Value {
                    assert_eq!(out, vec![out[0]; out.len()], "a value is not whole");
                    seen += 1;
                }
                out.clear();
                if list.glimpse(memory, |len| Some(n as usize % (len + 1)), &mut out)
                    == Glimpse::Value
                {
                    assert_eq!(out, vec![out[0]; out.len()], "an item is not whole");
                    seen += 1;
                }
                out.clear();
                if n % 64 == 0 && value_of(&map, memory, b"end").is_some() {
                    break;
                }
            }
            assert_eq!(map.glimpse(memory, b"end", &mut out), Glimpse::Value);
            assert_eq!(out, b"!");
            assert_eq!(map.glimpse(memory, b"none", &mut out), Glimpse::Absent);
            assert!(seen > 0, "nothing was ever seen");
        }) as Box<dyn FnOnce() + Send>
    };
    G::together(vec![writer, reader(1), reader(2)]);
}

fn long_values_need_the_lock<G: Ground>() {
    let (map, list, memory) = (G::map(), G::list(), G::memory(0));
    let mut out = Vec::new();
    assert_eq!(map.glimpse(memory, b"key", &mut out), Glimpse::Absent);
    assert_eq!(list.glimpse(memory, |len| len.checked_sub(1), &mut out), Glimpse::Absent);
    put(&map, memory, b"key", &[1; 5000]);
    assert_eq!(map.glimpse(memory, b"key", &mut out), Glimpse::Unclear);
    put(&map, memory, b"key", &[1; 300]);
    assert_eq!(map.glimpse(memory, b"key", &mut out), Glimpse::Value);
    assert_eq!(out, [1; 300]);
    open(&map, memory).retire();
    assert_eq!(map.glimpse(memory, b"key", &mut out), Glimpse::Unclear);
    assert_eq!(out.len(), 300);
}

macro_rules! for_each_ground {
    ($($name:ident),* $(,)?) => {
        for_each_ground!(@ on_heap OnHeap $($name)*);
        for_each_ground!(@ between_threads Threads $($name)*);
        for_each_ground!(@ between_processes Processes $($name)*);
    };
    (@ $module:ident $ground:ident $($name:ident)*) => {
        mod $module { $(
            #[test]
            fn $name() {
                let _watchdog = super::Watchdog::start(120);
                super::$name::<super::$ground>();
            }
        )* }
    };
}
for_each_ground!(
    finds_what_was_put,
    keeps_the_first_form,
    grows_and_shrinks,
    retires_for_all,
    counts_alike,
    lists_do_as_vectors,
    glimpses_are_whole,
    long_values_need_the_lock,
);

#[derive(Clone, Debug)]
enum MapStep {
    Put(u8, Vec<u8>),
    Remove(u8),
    PopLast,
    Clear,
}

fn map_steps() -> impl Strategy<Value = Vec<MapStep>> {
    let value = proptest::collection::vec(any::<u8>(), 0..100);
    let step = prop_oneof![
        20 => (any::<u8>(), value).prop_map(|(key, value)| MapStep::Put(key, value)),
        12 => any::<u8>().prop_map(MapStep::Remove),
        4 => Just(MapStep::PopLast),
        1 => Just(MapStep::Clear),
    ];
    proptest::collection::vec(step, 0..300)
}

#[derive(Clone, Debug)]
enum ListStep {
    Push(u8),
    Extend(Vec<u8>),
    Set(usize, u8),
    Remove(usize),
    Splice(usize, usize, Vec<u8>),
    Reverse,
    Clear,
}

fn list_steps() -> impl Strategy<Value = Vec<ListStep>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..20);
    let at = 0..1000usize;
    let step = prop_oneof![
        10 => any::<u8>().prop_map(ListStep::Push),
        3 => bytes().prop_map(ListStep::Extend),
        5 => (at.clone(), any::<u8>()).prop_map(|(at, value)| ListStep::Set(at, value)),
        8 => at.clone().prop_map(ListStep::Remove),
        4 => Just(ListStep::Remove(0)),
        4 => (at.clone(), at, bytes()).prop_map(|(a, b, new)| ListStep::Splice(a, b, new)),
        2 => Just(ListStep::Reverse),
        1 => Just(ListStep::Clear),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_map_does_as_the_map_of_the_standard_library(steps in map_steps()) {
        let (map, memory) = (OnHeap::map(), OnHeap::memory(0));
        let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut order: Vec<Vec<u8>> = Vec::new();
        for step in steps {
            match step {
                MapStep::Put(key, value) => {
                    let key = vec![key; usize::from(key % 20)];
                    let is_new = model.insert(key.clone(), value.clone()).is_none();
                    if is_new {
                        order.push(key.clone());
                    }
                    prop_assert_eq!(put(&map, memory, &key, &value), is_new);
                }
                MapStep::Remove(key) => {
                    let key = vec![key; usize::from(key % 20)];
                    let mut locked = open(&map, memory);
                    let found = locked.find(&key).map(|(found, _)| found);
                    prop_assert_eq!(found.is_some(), model.remove(&key).is_some());
                    if let Some(found) = found {
                        locked.remove(found);
                        order.retain(|other| *other != key);
                    }
                }
                MapStep::PopLast => {
                    let mut locked = open(&map, memory);
                    let mut identity = Vec::new();
                    let last = locked.last().map(|(found, record)| {
                        record.identity(&mut identity);
                        found
                    });
                    prop_assert_eq!(last.map(|_| identity), order.last().cloned());
                    if let (Some(found), Some(key)) = (last, order.pop()) {
                        locked.remove(found);
                        model.remove(&key);
                    }
                }
                MapStep::Clear => {
                    open(&map, memory).clear();
                    model.clear();
                    order.clear();
                }
            }
            prop_assert_eq!(open(&map, memory).len(), model.len());
        }
        let expected: Vec<_> =
            order.into_iter().map(|key| { let value = model[&key].clone(); (key, value) }).collect();
        prop_assert_eq!(entries(&map, memory), expected);
    }

    #[test]
    fn a_list_does_as_a_vector(steps in list_steps()) {
        let (list, memory) = (OnHeap::list(), OnHeap::memory(0));
        let mut model: Vec<u8> = Vec::new();
        let item = |n: u8| Staged::item(memory, &[n]).unwrap();
        for step in steps {
            let mut locked = open_list(&list, memory);
            let len = model.len();
            match step {
                ListStep::Push(value) => {
                    locked.push(item(value)).unwrap();
                    model.push(value);
                }
                ListStep::Extend(values) => {
                    locked.extend(values.iter().map(|value| item(*value)).collect()).unwrap();
                    model.extend(values);
                }
                ListStep::Set(at, value) if len > 0 => {
                    locked.set(at % len, item(value));
                    model[at % len] = value;
                }
                ListStep::Remove(at) if len > 0 => {
                    locked.remove(at % len).unwrap();
                    model.remove(at % len);
                }
                ListStep::Splice(a, b, new) => {
                    let (a, b) = (a % (len + 1), b % (len + 1));
                    let range = a.min(b)..a.max(b);
                    let staged = new.iter().map(|value| item(*value)).collect();
                    locked.splice(range.clone(), staged).unwrap();
                    model.splice(range, new);
                }
                ListStep::Reverse => {
                    let order: Vec<usize> = (0..len).rev().collect();
                    locked.rearrange(&order, Vec::new()).unwrap();
                    model.reverse();
                }
                ListStep::Clear => {
                    locked.clear();
                    model.clear();
                }
                ListStep::Set(..) | ListStep::Remove(_) => {}
            }
            prop_assert_eq!(locked.len(), model.len());
            drop(locked);
            prop_assert_eq!(items(&list, memory).concat(), model.clone());
        }
    }
}

/// Memory in which a change of a chunk's owner panics, after some that do not.
struct Brittle {
    heap: Heap,
    left: std::cell::Cell<usize>,
}

impl Brittle {
    fn step(&self) {
        match self.left.get() {
            1 => {
                self.left.set(0);
                panic!("brittle");
            }
            left => self.left.set(left.saturating_sub(1)),
        }
    }
}

impl Peers for Brittle {
    fn me(&self) -> SlotId {
        self.heap.me()
    }
    fn pid(&self, slot: SlotId) -> u32 {
        self.heap.pid(slot)
    }
    fn check(&self, slot: SlotId) -> bool {
        self.heap.check(slot)
    }
}

impl Memory for Brittle {
    fn take_chunk(&self, len: usize) -> Result<u64, AllocError> {
        self.heap.take_chunk(len)
    }
    fn free_chunk(&self, chunk: u64) {
        self.heap.free_chunk(chunk);
    }
    fn attach(&self, chunk: u64) -> bool {
        self.step();
        self.heap.attach(chunk)
    }
    fn detach(&self, chunk: u64) -> bool {
        self.step();
        self.heap.detach(chunk)
    }

    fn condemn(&self, chunk: u64, dead: SlotId) {
        self.heap.condemn(chunk, dead);
    }
    fn segment(&self, chunk: u64) -> &phalanx_shm::ring::Segment {
        self.heap.segment(chunk)
    }
    fn write(&self, chunk: u64, at: usize, header: u64, bytes: &[u8]) {
        self.heap.write(chunk, at, header, bytes);
    }
    fn read_word(&self, chunk: u64, at: usize) -> u64 {
        self.heap.read_word(chunk, at)
    }
    fn read(&self, chunk: u64, at: usize, len: usize, out: &mut Vec<u8>) {
        self.heap.read(chunk, at, len, out);
    }
}

impl Cells for Brittle {
    fn words(&self, chunk: u64, at: usize, count: usize) -> &[AtomicU64] {
        self.heap.words(chunk, at, count)
    }
    fn fill(&self, chunk: u64, at: usize, bytes: &[u8]) {
        self.heap.fill(chunk, at, bytes);
    }
    fn has(&self, chunk: u64, at: usize, bytes: &[u8]) -> bool {
        self.heap.has(chunk, at, bytes)
    }
    fn capacity(&self, chunk: u64) -> usize {
        self.heap.capacity(chunk)
    }
}

#[test]
fn a_panic_amid_a_change_is_settled_by_the_next_who_locks() {
    let group = |memory, name: u8| -> Vec<_> {
        (0..3).map(|n| Staged::item(memory, &[name, n]).unwrap()).collect()
    };
    let key = |n: usize| [n as u8, 1];
    for at in 1..40 {
        let memory: &Brittle =
            Box::leak(Box::new(Brittle { heap: Heap(1), left: std::cell::Cell::new(0) }));
        let (map, list) = (OnHeap::map(), OnHeap::list());
        for n in 0..8 {
            put(&map, memory, &key(n), &[n as u8; 50]);
        }
        open_list(&list, memory).extend(group(memory, 0)).unwrap();
        memory.left.set(at);
        let changes = || {
            put(&map, memory, &key(3), b"new");
            put(&map, memory, &key(8), b"makes it grow");
            let mut locked = open(&map, memory);
            let (found, _) = locked.find(&key(4)).unwrap();
            locked.remove(found);
            drop(locked);
            open_list(&list, memory).extend(group(memory, 1)).unwrap();
            open_list(&list, memory).splice(3..6, group(memory, 2)).unwrap();
            open_list(&list, memory).splice(0..0, group(memory, 3)).unwrap();
            open_list(&list, memory).rearrange(&[6, 7, 8, 0, 1, 2], Vec::new()).unwrap();
            open(&map, memory).clear();
        };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(changes)).is_err();
        assert_eq!(panicked, memory.left.get() == 0 && at < 40, "step {at}");
        memory.left.set(0);
        let names: Vec<Vec<u8>> = items(&list, memory);
        assert_eq!(open_list(&list, memory).len(), names.len());
        for group in names.chunks(3) {
            let expected: Vec<Vec<u8>> = (0..3).map(|n| vec![group[0][0], n]).collect();
            assert_eq!(group, expected, "a group came apart at step {at}");
        }
        let there = entries(&map, memory);
        assert_eq!(open(&map, memory).len(), there.len());
        for (key, value) in there {
            assert_eq!(value_of(&map, memory, &key), Some(value));
        }
        put(&map, memory, b"after", b"it works");
        assert_eq!(value_of(&map, memory, b"after"), Some(b"it works".to_vec()));
    }
}
