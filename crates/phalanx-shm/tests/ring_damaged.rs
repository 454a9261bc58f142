//! Random words written over a ring, its segments, records and the accounts beside them: operations
//! may fail or panic, but stay inside the arena and come to an end, and other rings go on.

#![allow(unsafe_code, clippy::unwrap_used, reason = "tests")]

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use phalanx_shm::family::Family;
use phalanx_shm::object::{Bytes, Shared};
use phalanx_shm::patience::Patience;
use phalanx_shm::ring::{Record, Ring, SEGMENT_HEADER, Taken};
use phalanx_shm::table::Life;

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

fn new_ring(family: &'static Family, limit: u32) -> Shared<Ring> {
    let ring = Shared::<Ring>::new(family, |_| {}).unwrap();
    ring.prepare(family, limit).unwrap();
    ring
}

fn put(ring: &Ring, family: &Family, len: usize) {
    let _ = ring.put(family, Record::Inline(&vec![1; len]), &Patience::none());
}

fn payload(ring: &Ring, family: &Family) {
    let chunk = family.alloc(9000).unwrap();
    let record = Record::Payload { chunk: chunk.offset(), len: 9000 };
    if ring.put(family, record, &Patience::none()).is_err() {
        family.free(chunk);
    }
}

fn tolerant(step: impl FnOnce()) {
    let _ = std::panic::catch_unwind(AssertUnwindSafe(step));
}

fn use_it(ring: &Ring, family: &Family) {
    tolerant(|| _ = ring.len(family));
    tolerant(|| _ = ring.is_empty(family));
    tolerant(|| _ = ring.task_done(family));
    for len in [10, 2000] {
        tolerant(|| put(ring, family, len));
    }
    tolerant(|| payload(ring, family));
    for _ in 0..6 {
        tolerant(|| {
            let mut out = Vec::new();
            if let Ok(Taken::Payload { chunk, len }) =
                ring.take(family, &mut out, &Patience::none())
                && let Some(chunk) = family.arena().chunk_at(chunk)
            {
                assert!(len as usize <= chunk.capacity());
                family.free(chunk);
            }
        });
    }
}

/// One image: a ring in use, some words of it damaged, then used, repaired and dropped.
fn one_image(seed: u64) {
    let family = Family::get().unwrap();
    let arena = family.arena();
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let sound = new_ring(family, 0);
    let ring = new_ring(family, (numbers.next() % 3) as u32 * 10);
    for len in [20, 300, 900, 900] {
        put(&ring, family, len);
    }
    payload(&ring, family);
    let at = ring.tail_offset() - std::mem::size_of::<Ring>() as u64;
    // The words of the two sides: lock, segment, intent, mark; the segments that they name.
    let segments = [arena.read_word(at + 8), arena.read_word(at + 64 + 8)];
    for _ in 0..1 + numbers.next() % 3 {
        let offset = match numbers.next() % 4 {
            0 => at + numbers.next() % (std::mem::size_of::<Ring>() as u64 / 8) * 8,
            1 | 2 => {
                segments[(numbers.next() % 2) as usize]
                    + numbers.next() % (SEGMENT_HEADER as u64 / 8) * 8
            }
            _ => segments[1] + SEGMENT_HEADER as u64 + numbers.next() % 200 * 8,
        };
        numbers.damage(arena.at(offset));
    }
    use_it(&ring, family);
    // A process that dies with the ring in its hands is swept all the same.
    let child = forked(|| {
        use_it(&ring, family);
        // SAFETY: this child is to die.
        unsafe { libc::raise(libc::SIGKILL) };
    });
    let place = child.place.unwrap();
    child.wait();
    assert_eq!(arena.table().life(place), Life::Vacant);
    tolerant(|| drop(ring));
    // Nobody else notices.
    put(&sound, family, 700);
    let mut out = Vec::new();
    assert_eq!(sound.take(family, &mut out, &Patience::none()), Ok(Taken::Inline));
    assert_eq!(out, vec![1; 700]);
}

#[test]
fn damaged_rings_stay_in_bounds_and_come_to_an_end() {
    let _dog = Watchdog::start(110);
    let first: u64 =
        std::env::var("PHALANX_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in first..first + 150 {
        let image = forked(move || {
            // Panics are what is expected here.
            std::panic::set_hook(Box::new(|_| {}));
            let _dog = Watchdog::start(20);
            one_image(seed);
        });
        assert_eq!(image.reap(), 0, "PHALANX_TEST_SEED={seed}");
    }
}

#[test]
fn a_damaged_length_reaches_no_further_than_the_object() {
    assert_eq!(
        forked(|| {
            let family = Family::get().unwrap();
            let bytes = Shared::<Bytes>::with_tail(family, 100, |_| {}).unwrap();
            assert_eq!(bytes.tail_len(), 100);
            // The length is the second word of an object's header.
            let len: &AtomicU64 = family.arena().at(bytes.offset() + 8);
            len.store(u64::MAX, Ordering::SeqCst);
            let end = bytes.tail_offset() as usize + bytes.tail_len();
            let chunk = family.arena().chunk_at(bytes.offset()).unwrap();
            assert!(end <= chunk.offset() as usize + chunk.capacity());
            // Another kind than it is: no handle can be had.
            let kind: &AtomicU64 = family.arena().at(bytes.offset());
            kind.store(77, Ordering::SeqCst);
            assert!(Shared::<Bytes>::from_offset(family, bytes.offset()).is_err());
            assert!(Shared::<Bytes>::from_offset(family, bytes.offset() + 8).is_err());
            assert!(Shared::<Bytes>::from_offset(family, u64::MAX).is_err());
        })
        .reap(),
        0
    );
}

#[test]
fn offsets_outside_the_arena_are_refused() {
    assert_eq!(
        forked(|| {
            std::panic::set_hook(Box::new(|_| {}));
            let family = Family::get().unwrap();
            let arena = family.arena();
            for offset in [u64::MAX, u64::MAX - 7, 1 << 60, 3] {
                assert!(arena.chunk_at(offset).is_none());
                let view = || {
                    let _: &AtomicU64 = arena.at(offset);
                };
                assert!(std::panic::catch_unwind(AssertUnwindSafe(view)).is_err());
            }
            let last = u64::MAX - 3;
            let read = AssertUnwindSafe(|| arena.read_word(last));
            assert!(std::panic::catch_unwind(read).is_err());
            let write = AssertUnwindSafe(|| arena.write_record(last, 1, b"x"));
            assert!(std::panic::catch_unwind(write).is_err());
            let bytes = AssertUnwindSafe(|| arena.read_bytes(8, usize::MAX, &mut Vec::new()));
            assert!(std::panic::catch_unwind(bytes).is_err());
        })
        .reap(),
        0
    );
}

#[test]
fn a_panic_in_a_callers_function_leaves_the_ring_usable() {
    assert_eq!(
        forked(|| {
            std::panic::set_hook(Box::new(|_| {}));
            let family = Family::get().unwrap();
            let ring = new_ring(family, 0);
            put(&ring, family, 30);
            let take = AssertUnwindSafe(|| {
                ring.take_noting(family, &mut Vec::new(), &Patience::forever(), &mut |_| panic!())
            });
            assert!(std::panic::catch_unwind(take).is_err());
            let foreign = Record::Payload { chunk: 1 << 30, len: 9 };
            let put_it = AssertUnwindSafe(|| ring.put(family, foreign, &Patience::forever()));
            assert!(std::panic::catch_unwind(put_it).is_err());
            put(&ring, family, 31);
            let mut out = Vec::new();
            for len in [30, 31] {
                out.clear();
                assert_eq!(ring.take(family, &mut out, &Patience::none()), Ok(Taken::Inline));
                assert_eq!(out.len(), len);
            }
        })
        .reap(),
        0
    );
}
