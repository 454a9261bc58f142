//! Who holds an object: one bit for each place in the process table.
//!
//! Only a holder can add a holder, so what nobody holds stays so, and whoever removes the last bit finds
//! that out. But the bits lie in several words, which cannot be read at once: a hold that is passed on to a
//! place in a word already read, and then dropped in one still to be read, would be overlooked. So holds
//! that are added are also counted, after the bit is there. Who reads all words looks at the count before
//! and after, and takes the object for held if it has changed.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | adding a hold, before it is counted | the bit, and the hold that it was made from | the sweep removes the latter, under the lock that readers need who destroy |
//! | having removed its bit, before it looked at the others | perhaps nobody's object | the next sweep |

use crate::peers::SlotId;
use crate::sync::{AtomicU64, Ordering, store_load_barrier};

const WORDS: usize = if cfg!(loom) { 2 } else { crate::peers::MAX_PROCESSES / 64 };
/// Holders in a word.
const EACH: usize = 64;

/// The holders of one object. All zero is nobody.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Holders {
    bits: [AtomicU64; WORDS],
    /// How often a hold was added.
    added: AtomicU64,
}

impl Default for Holders {
    fn default() -> Self {
        Self { bits: std::array::from_fn(|_| AtomicU64::new(0)), added: AtomicU64::new(0) }
    }
}

impl Holders {
    /// Forgets whatever stands there, in an object that nobody else sees yet.
    pub(crate) fn clear(&self) {
        self.bits.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    pub(crate) fn has(&self, slot: SlotId) -> bool {
        let (word, bit) = place(slot);
        self.bits[word].load(Ordering::Acquire) & bit != 0
    }

    /// Adds a hold. The caller has one, and keeps it until this is done.
    pub(crate) fn add(&self, slot: SlotId) {
        let (word, bit) = place(slot);
        self.bits[word].fetch_or(bit, Ordering::AcqRel);
        self.added.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn remove(&self, slot: SlotId) {
        let (word, bit) = place(slot);
        self.bits[word].fetch_and(!bit, Ordering::SeqCst);
        // Of two who remove theirs at once, one at least must see both gone.
        store_load_barrier();
    }

    /// Whether anybody holds the object. Yes also if a hold was added just now: whoever removes the last
    /// one asks again.
    pub(crate) fn any(&self) -> bool {
        !self.are(|_| 0)
    }

    /// Whether nobody but that process holds the object. No also if a hold was added just now.
    pub(crate) fn has_only(&self, slot: SlotId) -> bool {
        let (word, bit) = place(slot);
        self.are(|n| if n == word { bit } else { 0 })
    }

    /// Those who hold the object, as far as one look after another can tell.
    #[cfg(not(loom))]
    pub(crate) fn each(&self) -> impl Iterator<Item = SlotId> {
        let held = |n: &usize| self.bits[n / EACH].load(Ordering::Acquire) & (1 << (n % EACH)) != 0;
        (1..WORDS * EACH).filter(held).filter_map(|n| SlotId::from_raw(n as u16))
    }

    /// Whether the words are these, and were all the time.
    fn are(&self, expected: impl Fn(usize) -> u64) -> bool {
        let added = self.added.load(Ordering::Acquire);
        let is = |(n, word): (usize, &AtomicU64)| word.load(Ordering::Acquire) == expected(n);
        // Each word is read with Acquire: who sees a bit gone sees what its owner added before.
        self.bits.iter().enumerate().all(is) && self.added.load(Ordering::Relaxed) == added
    }
}

fn place(slot: SlotId) -> (usize, u64) {
    let n = usize::from(slot.raw()) % (WORDS * EACH);
    (n / EACH, 1 << (n % EACH))
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::loom_tests::explore;

    fn slot(raw: u16) -> SlotId {
        SlotId::from_raw(raw).expect("not 0")
    }

    /// Slots in the second and in the first word.
    const LATER: u16 = 70;
    const EARLIER: u16 = 5;

    #[test]
    fn loom_a_hold_that_is_passed_on_is_never_overlooked() {
        explore(3, || {
            let holders = Arc::new(Holders::default());
            holders.add(slot(LATER));
            let passer = holders.clone();
            let passer = thread::spawn(move || {
                passer.add(slot(EARLIER));
                passer.remove(slot(LATER));
            });
            assert!(holders.any(), "it was held all the time");
            passer.join().expect("no panic");
            assert!(holders.any() && holders.has_only(slot(EARLIER)));
        });
    }

    #[test]
    fn loom_nobody_takes_an_object_for_its_own_while_another_passes_it_on() {
        explore(3, || {
            let holders = Arc::new(Holders::default());
            [1, LATER].iter().for_each(|holder| holders.add(slot(*holder)));
            let passer = holders.clone();
            let passer = thread::spawn(move || {
                passer.add(slot(EARLIER));
                passer.remove(slot(LATER));
            });
            assert!(!holders.has_only(slot(1)));
            passer.join().expect("no panic");
        });
    }

    #[test]
    fn loom_the_last_to_drop_finds_out() {
        explore(3, || {
            let holders = Arc::new(Holders::default());
            holders.add(slot(LATER));
            let drop_it = |holders: &Holders, who: u16| {
                holders.remove(slot(who));
                !holders.any()
            };
            holders.add(slot(EARLIER));
            let other = holders.clone();
            let other = thread::spawn(move || drop_it(&other, LATER));
            let mine = drop_it(&holders, EARLIER);
            let others = other.join().expect("no panic");
            assert!(mine || others, "nobody would destroy it");
        });
    }
}
