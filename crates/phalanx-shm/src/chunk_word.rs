//! The word of a chunk: whose it is, and how much of it is backed by memory.
//!
//! ```text
//!   pages that are backed : 40 | owner slot : 16 | state : 8
//! ```
//!
//! Every change of hands is one compare-and-swap here, and whoever takes a chunk is named in the
//! same step. The pages are counted by the owner alone: up after the memory is there, down before it
//! goes, so that a word never counts memory that does not exist, whenever its owner dies.

use crate::peers::SlotId;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The state of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ChunkState {
    /// Nobody's.
    Free = 0,
    /// One process's.
    Owned = 1,
    /// A part of a shared object.
    Part = 2,
    /// A shared object.
    Object = 3,
}

const OWNER_SHIFT: u32 = 8;
const PAGES_SHIFT: u32 = 24;
const IDENTITY: u64 = (1 << PAGES_SHIFT) - 1;

/// A state and, if the chunk is owned, the owner.
pub type Hands = (ChunkState, Option<SlotId>);

fn identity((state, owner): Hands) -> u64 {
    state as u64 | (owner.map_or(0, |o| u64::from(o.raw())) << OWNER_SHIFT)
}

/// What a word said when somebody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(u64);

impl Seen {
    pub(crate) fn state(self) -> ChunkState {
        match self.0 & 0xff {
            1 => ChunkState::Owned,
            2 => ChunkState::Part,
            3 => ChunkState::Object,
            _ => ChunkState::Free,
        }
    }

    pub(crate) fn owner(self) -> Option<SlotId> {
        SlotId::from_raw((self.0 >> OWNER_SHIFT) as u16)
    }

    pub(crate) fn is(self, hands: Hands) -> bool {
        self.0 & IDENTITY == identity(hands)
    }

    /// How many pages are backed by memory.
    pub(crate) fn pages(self) -> u64 {
        self.0 >> PAGES_SHIFT
    }
}

/// The word of one chunk. All zero is a free chunk without memory.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct ChunkWord(AtomicU64);

// SAFETY: an atomic only.
#[allow(unsafe_code)]
unsafe impl crate::view::ShmSafe for ChunkWord {}

impl ChunkWord {
    pub(crate) fn look(&self) -> Seen {
        Seen(self.0.load(Ordering::Acquire))
    }

    /// Takes the chunk if it is free.
    #[inline]
    pub(crate) fn claim(&self, me: SlotId) -> bool {
        let now = self.0.load(Ordering::Relaxed);
        now & IDENTITY == 0 && self.claim_as(Seen(now), me)
    }

    /// Takes the free chunk if nothing has happened to it since it was `seen`.
    #[inline]
    pub(crate) fn claim_as(&self, seen: Seen, me: SlotId) -> bool {
        let owned = seen.0 | identity((ChunkState::Owned, Some(me)));
        self.0.compare_exchange(seen.0, owned, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Passes the chunk on in one step; false if it was not in the first hands.
    pub(crate) fn pass(&self, from: Hands, to: Hands) -> bool {
        let (from, to) = (identity(from), identity(to));
        let mut now = self.0.load(Ordering::Acquire);
        while now & IDENTITY == from {
            let new = (now & !IDENTITY) | to;
            match self.0.compare_exchange(now, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        false
    }

    /// Makes the chunk free: by its owner, or by the sweep if that has died.
    pub(crate) fn release(&self) {
        self.0.fetch_and(!IDENTITY, Ordering::AcqRel);
    }

    /// Counts pages that are backed now. By the owner.
    pub(crate) fn add_pages(&self, pages: u64) {
        self.0.fetch_add(pages << PAGES_SHIFT, Ordering::AcqRel);
    }

    /// Counts no pages any more, before their memory goes. By the owner.
    pub(crate) fn forget_pages(&self) {
        self.0.fetch_and(IDENTITY, Ordering::AcqRel);
    }
}

/// What is known of all chunks of a size.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct ClassState {
    used: AtomicU32,
    hint: AtomicU32,
}

impl ClassState {
    /// How many chunks of the class have been made available.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Acquire)
    }

    /// False if somebody else was quicker; then there are the winner's chunks.
    pub(crate) fn raise_used(&self, from: u32, to: u32) -> bool {
        self.used.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Where a search begins and ends, if `used` chunks are available; at most `most` chunks.
    pub(crate) fn search_range(&self, used: u32, most: u32) -> (u32, u32) {
        let from = self.hint.load(Ordering::Relaxed).min(used);
        (from, used.min(from.saturating_add(most)))
    }

    pub(crate) fn raise_hint(&self, from: u32, to: u32) {
        let _ = self.hint.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(crate) fn lower_hint(&self, index: u32) {
        if index < self.hint.load(Ordering::Relaxed) {
            self.hint.fetch_min(index, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::loom_tests::explore;

    /// A chunk, its bytes, and whether they have memory.
    #[derive(Default)]
    struct Place {
        word: ChunkWord,
        bytes: UnsafeCell<u32>,
        is_backed: UnsafeCell<bool>,
    }

    // SAFETY: cells are used by the owner of the chunk alone; that is what the models check.
    #[allow(unsafe_code)]
    unsafe impl Sync for Place {}
    // SAFETY: as above.
    #[allow(unsafe_code)]
    unsafe impl Send for Place {}

    impl Place {
        fn write(&self, value: u32) {
            // SAFETY: by the owner; loom reports it if somebody else is here.
            #[allow(unsafe_code)]
            self.bytes.with_mut(|bytes| unsafe { *bytes = value });
        }

        fn read(&self) -> u32 {
            // SAFETY: as above.
            #[allow(unsafe_code)]
            self.bytes.with(|bytes| unsafe { *bytes })
        }

        fn back(&self, backed: bool) {
            // SAFETY: as above.
            #[allow(unsafe_code)]
            self.is_backed.with_mut(|is| unsafe { *is = backed });
        }

        fn is_backed(&self) -> bool {
            // SAFETY: as above.
            #[allow(unsafe_code)]
            self.is_backed.with(|is| unsafe { *is })
        }
    }

    fn slot(raw: u16) -> SlotId {
        SlotId::from_raw(raw).expect("not 0")
    }

    fn owned(raw: u16) -> Hands {
        (ChunkState::Owned, Some(slot(raw)))
    }

    const PART: Hands = (ChunkState::Part, None);

    #[test]
    fn loom_a_free_chunk_has_one_taker_at_a_time() {
        explore(3, || {
            let places: Arc<[Place; 2]> = Arc::new(std::array::from_fn(|_| Place::default()));
            let use_one = |places: &[Place; 2], me: u16| {
                let Some(place) = places.iter().find(|place| place.word.claim(slot(me))) else {
                    return;
                };
                place.write(u32::from(me));
                assert!(place.word.look().is(owned(me)));
                assert_eq!(place.read(), u32::from(me));
                place.word.release();
            };
            let threads: Vec<_> = (2..4)
                .map(|me| {
                    let places = places.clone();
                    thread::spawn(move || use_one(&places, me))
                })
                .collect();
            use_one(&places, 1);
            threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
            assert!(places.iter().all(|place| place.word.look().state() == ChunkState::Free));
        });
    }

    #[test]
    fn loom_a_chunk_that_is_passed_on_brings_its_bytes_to_one_receiver() {
        explore(3, || {
            let place = Arc::new(Place::default());
            assert!(place.word.claim(slot(1)));
            let receivers: Vec<_> = (2..4)
                .map(|me| {
                    let place = place.clone();
                    thread::spawn(move || {
                        let mine = place.word.pass(PART, owned(me));
                        if mine {
                            assert_eq!(place.read(), 7);
                            place.write(u32::from(me));
                        }
                        mine
                    })
                })
                .collect();
            place.write(7);
            assert!(place.word.pass(owned(1), PART));
            let taken = receivers.into_iter().map(|receiver| receiver.join().expect("no panic"));
            assert!(taken.filter(|mine| *mine).count() <= 1);
            // Passed on once, it cannot be passed on again by who had it.
            assert!(!place.word.pass(owned(1), PART));
        });
    }

    #[test]
    fn loom_no_word_counts_memory_that_is_gone() {
        explore(3, || {
            let place = Arc::new(Place::default());
            place.back(true);
            place.word.add_pages(4);
            // Who is short of memory takes free chunks' memory away ...
            let other = place.clone();
            let thief = thread::spawn(move || {
                let seen = other.word.look();
                if seen.state() == ChunkState::Free && other.word.claim_as(seen, slot(2)) {
                    other.word.forget_pages();
                    other.back(false);
                    other.word.release();
                }
            });
            // ... while another takes the chunk for use.
            if place.word.claim(slot(1)) {
                if place.word.look().pages() == 0 {
                    assert!(!place.is_backed());
                    place.back(true);
                    place.word.add_pages(4);
                }
                assert!(place.is_backed());
                place.word.release();
            }
            thief.join().expect("no panic");
            let pages = place.word.look().pages();
            assert_eq!(place.is_backed(), pages > 0);
        });
    }

    #[test]
    fn loom_chunks_are_made_available_once() {
        explore(3, || {
            let shared = Arc::new((ClassState::default(), AtomicU32::new(0)));
            let extend = |(class, counted): &(ClassState, AtomicU32)| {
                let used = class.used();
                counted.fetch_add(8, Ordering::SeqCst);
                if !class.raise_used(used, used + 8) {
                    counted.fetch_sub(8, Ordering::SeqCst);
                }
            };
            let other = shared.clone();
            let second = thread::spawn(move || extend(&other));
            extend(&shared);
            second.join().expect("no panic");
            assert_eq!(shared.0.used(), shared.1.load(Ordering::SeqCst));
        });
    }
}
