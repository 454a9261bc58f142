//! A map and a list in use, words of which are then arbitrary.

use std::sync::atomic::Ordering;

use phalanx_shm::containers::{Key, List, Map, Staged};
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::Peers;
use phalanx_shm::ring::Memory;

use crate::Bytes;
use crate::heap::Heap;
use crate::tolerant::tolerant;

fn key(n: u8) -> [u8; 3] {
    [n % 16, 1, 2]
}

fn on_map(map: &Map, heap: &Heap, what: u8, n: u8) {
    let identity = key(n);
    if what == 0 {
        let mut out = Vec::new();
        let _ = map.glimpse(heap, &identity, &mut out);
        return;
    }
    let Ok(mut locked) = map.lock(heap, &Patience::none()) else { return };
    let found = locked.find(&identity).map(|(found, record)| {
        let mut out = Vec::new();
        record.identity(&mut out);
        record.form(&mut out);
        record.value(&mut out);
        assert!(out.len() <= 1 << 18, "a record longer than all memory");
        found
    });
    match (what, found) {
        (1, Some(found)) => locked.remove(found),
        (2, _) => _ = locked.records().count(),
        _ => {
            let key = Key { identity: &identity, form: &[] };
            if let Ok(staged) = Staged::entry(heap, key, &vec![n; usize::from(n)]) {
                let _ = locked.put(staged);
            }
        }
    }
}

fn on_list(list: &List, heap: &Heap, what: u8, n: u8) {
    if what == 0 {
        let mut out = Vec::new();
        let _ = list.glimpse(heap, |len| len.checked_sub(usize::from(n % 4)), &mut out);
        return;
    }
    let Ok(mut locked) = list.lock(heap, &Patience::none()) else { return };
    match what {
        1 if !locked.is_empty() => {
            let index = usize::from(n) % locked.len();
            let _ = locked.remove(index);
        }
        2 => {
            for record in locked.records() {
                let mut out = Vec::new();
                record.value(&mut out);
                assert!(out.len() <= 1 << 18, "a record longer than all memory");
            }
        }
        _ => {
            if let Ok(staged) = Staged::item(heap, &vec![n; usize::from(n)]) {
                let _ = locked.push(staged);
            }
        }
    }
}

/// Takes the bytes for: what to put, which words to damage and how, what to do then.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let heap = Heap::new();
    let at = |len: usize| {
        let chunk = heap.take_chunk(len).expect("room");
        heap.slice(chunk, len / 8).as_ptr()
    };
    // SAFETY: zeros are an empty container, aligned and large enough; atomics only.
    let map = unsafe { &*at(std::mem::size_of::<Map>()).cast::<Map>() };
    // SAFETY: as above.
    let list = unsafe { &*at(std::mem::size_of::<List>()).cast::<List>() };
    let step = |bytes: &mut Bytes<'_>| {
        let (what, n) = (bytes.byte(), bytes.byte());
        if what & 4 == 0 {
            on_map(map, &heap, what % 4, n)
        } else {
            on_list(list, &heap, what % 4, n)
        }
    };
    for _ in 0..bytes.byte() % 16 {
        step(&mut bytes);
    }
    for _ in 0..1 + bytes.byte() % 4 {
        let chunks = heap.chunks();
        let (chunk, len) = chunks[usize::from(bytes.byte()) % chunks.len()];
        let word = &heap.slice(chunk + u64::from(bytes.short()) * 8 % len as u64, 1)[0];
        word.store(bytes.damage(word.load(Ordering::Relaxed)), Ordering::Relaxed);
    }
    for _ in 0..24 {
        if bytes.is_empty() {
            break;
        }
        tolerant(|| step(&mut bytes));
    }
    tolerant(|| map.repair(&heap, heap.me()));
    tolerant(|| list.repair(&heap, heap.me()));
    tolerant(|| map.empty_for_good(&heap));
    tolerant(|| list.empty_for_good(&heap));
}
