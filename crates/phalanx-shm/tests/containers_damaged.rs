//! Random words written over maps and lists, their tables and records: operations may fail or panic, but
//! stay inside the arena and come to an end.

#![allow(unsafe_code, clippy::unwrap_used, reason = "tests")]

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use phalanx_shm::containers::{Key, List, Map, Record, Staged};
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::Patience;

mod support;
use support::{Watchdog, forked};

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A word as damage may leave it: anything, something small, or nearly what was there.
    fn damage(&mut self, word: &AtomicU64) {
        let new = match self.next() % 4 {
            0 => self.next(),
            1 => self.next() % 5000,
            2 => word.load(Ordering::SeqCst) ^ (1 << (self.next() % 64)),
            _ => 0,
        };
        word.store(new, Ordering::SeqCst);
    }
}

fn tolerant(step: impl FnOnce()) {
    let _ = std::panic::catch_unwind(AssertUnwindSafe(step));
}

fn entry(family: &'static Family, n: u8) -> Staged<'static, Family> {
    let identity = [n; 9];
    let len = if n.is_multiple_of(3) { 9000 } else { 20 };
    Staged::entry(family, Key { identity: &identity, form: &[1] }, &vec![n; len]).unwrap()
}

fn read(record: Record<'_, Family>) {
    let mut out = Vec::new();
    record.identity(&mut out);
    record.form(&mut out);
    record.value(&mut out);
    assert!(out.len() < 1 << 16, "more than there can be");
}

fn use_map(map: &Map, family: &'static Family, n: u8) {
    let none = Patience::none();
    tolerant(|| {
        let Ok(mut locked) = map.lock(family, &none) else { return };
        let _ = locked.put(entry(family, n));
    });
    tolerant(|| {
        let Ok(mut locked) = map.lock(family, &none) else { return };
        if let Some((found, record)) = locked.find(&[n / 2; 9]) {
            read(record);
            locked.remove(found);
        }
        if let Some((found, record)) = locked.last() {
            read(record);
            locked.remove(found);
        }
    });
    tolerant(|| {
        let Ok(locked) = map.lock(family, &none) else { return };
        locked.records().for_each(read);
    });
    tolerant(|| {
        let mut out = Vec::new();
        let _ = map.glimpse(family, &[n / 2; 9], &mut out);
        assert!(out.len() < 4096);
    });
    if n.is_multiple_of(16) {
        tolerant(|| {
            let Ok(mut locked) = map.lock(family, &none) else { return };
            locked.clear();
        });
    }
}

fn use_list(list: &List, family: &'static Family, n: u8) {
    let none = Patience::none();
    tolerant(|| _ = list.glimpse(family, |len| len.checked_sub(1), &mut Vec::new()));
    let item = || Staged::item(family, &[n; 70]).unwrap();
    tolerant(|| {
        let Ok(mut locked) = list.lock(family, &none) else { return };
        let _ = locked.push(item());
        let _ = locked.extend(vec![item(), item()]);
    });
    tolerant(|| {
        let Ok(mut locked) = list.lock(family, &none) else { return };
        let _ = locked.splice(1..2, vec![item(), item()]);
        let _ = locked.remove(0);
    });
    tolerant(|| {
        let Ok(mut locked) = list.lock(family, &none) else { return };
        locked.records().for_each(read);
        let order: Vec<usize> = (0..locked.len().min(1000)).rev().collect();
        let _ = locked.rearrange(&order, Vec::new());
    });
}

/// The words that a container consists of: those of its head, and of what these may name.
fn damage_some(family: &Family, head: u64, words: usize, numbers: &mut Numbers) {
    let arena = family.arena();
    let head = arena.slice_at::<AtomicU64>(head, words);
    let mut place = &head[numbers.next() as usize % words];
    for _ in 0..numbers.next() % 3 {
        // Follow a word that may be the offset of a chunk.
        let named = head.iter().map(|word| word.load(Ordering::SeqCst));
        let chunks: Vec<_> = named.filter_map(|word| arena.chunk_at(word)).collect();
        let Some(chunk) = chunks.first() else { break };
        let inside = arena.slice_at::<AtomicU64>(chunk.offset(), chunk.capacity().min(512) / 8);
        place = &inside[numbers.next() as usize % inside.len()];
        let next = arena.chunk_at(place.load(Ordering::SeqCst));
        if let Some(record) = next {
            place = &arena.slice_at::<AtomicU64>(record.offset(), 3)[numbers.next() as usize % 3];
        }
    }
    numbers.damage(place);
}

#[test]
fn damage_stays_where_it_is() {
    let _watchdog = Watchdog::start(300);
    for seed in 1..40u64 {
        let child = forked(|| {
            std::panic::set_hook(Box::new(|_| {}));
            let family = Family::get().unwrap();
            let mut numbers = Numbers(seed * 0x9e37_79b9 + 1);
            let map = Shared::new(family, |map: &Map| map.prepare([seed, 2], 3)).unwrap();
            let list = Shared::new(family, |list: &List| list.prepare(3)).unwrap();
            for n in 0..20 {
                use_map(&map, family, n);
                use_list(&list, family, n);
            }
            for n in 0..60 {
                let (head, words) = match n % 2 {
                    0 => (family.arena().offset_of(&*map), size_of::<Map>() / 8),
                    _ => (family.arena().offset_of(&*list), size_of::<List>() / 8),
                };
                damage_some(family, head, words, &mut numbers);
                use_map(&map, family, n);
                use_list(&list, family, n);
            }
            tolerant(|| drop(map));
            tolerant(|| drop(list));
        });
        assert_eq!(child.wait(), 0, "seed {seed}");
    }
}
