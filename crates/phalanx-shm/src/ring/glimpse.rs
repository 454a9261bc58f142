//! What one end of a ring knows of the other without looking at it.
//!
//! Producers write `tail` at each put and consumers `head` at each take. If each also read the
//! other's word each time, two cache lines would change processors with every record. So each
//! side remembers the position at which it last saw the other, and looks again only when that is
//! used up: a consumer when it has taken all that it knew of, a producer when there is no more room
//! that it knew of. Both words only ever move on, so old knowledge errs on the safe side.
//!
//! What is remembered is written under the side's lock and names the segment it is about: what was
//! seen of another segment counts as nothing. It is forgotten before a side leaves a segment, so that
//! it cannot be taken for knowledge of a later segment in the same place.
//!
//! | the side's holder dies | what remains |
//! |---|---|
//! | before the first store | what was known before, which is still true |
//! | segment cleared, or that and the position stored | no position is known, and a true count |
//! | all stored | true knowledge |

use super::segment::Mark;
use crate::sync::{AtomicU64, Ordering};

/// Where the other end was seen in a segment; all zero is nothing known, and nothing passed.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Glimpse {
    segment: AtomicU64,
    mark: AtomicU64,
}

impl Glimpse {
    pub(super) fn new() -> Self {
        Self { segment: AtomicU64::new(0), mark: AtomicU64::new(0) }
    }

    /// The position last seen in that segment. Without the side's lock it is a mere hint.
    #[inline]
    pub(super) fn of(&self, segment: u64) -> Option<u32> {
        let is_same = self.segment.load(Ordering::Relaxed) == segment;
        is_same.then(|| Mark::unpack(self.mark.load(Ordering::Relaxed)).position)
    }

    /// How many records had passed the other end when it was last seen, in whatever segment: counts
    /// go on from one to the next.
    #[inline]
    pub(super) fn count(&self) -> u32 {
        Mark::unpack(self.mark.load(Ordering::Relaxed)).count
    }

    /// Remembers what was read with Acquire. The side's lock is held.
    #[inline]
    pub(super) fn remember(&self, segment: u64, seen: Mark) {
        if self.segment.load(Ordering::Relaxed) != segment {
            self.forget();
            self.mark.store(seen.pack(), Ordering::Release);
            self.segment.store(segment, Ordering::Release);
        } else {
            self.mark.store(seen.pack(), Ordering::Relaxed);
        }
    }

    /// Forgets what was seen, because the side is about to leave the segment.
    pub(super) fn forget(&self) {
        self.segment.store(0, Ordering::Relaxed);
    }
}
