//! Reading short values without the lock.
//!
//! A reader notes the version, follows the words that it finds, copies what they name, and looks whether
//! the version is still the same and no change is under way. If not, what it has read may be anything:
//! chunks that were freed and used for something else. So nothing is believed: every offset is held
//! against the arena and every length against the chunk, and bytes are read by atomic words into a
//! buffer of the reader's own.
//!
//! A reader leaves no trace, so there is nothing to repair when it dies. If a writer has died or was
//! stopped amid a change, the reader sees the armed journal and takes the way with the lock.

use super::core::Core;
use super::record::{Glimpsed, glimpse_record};
use super::rows::Table;
use super::{Cells, List, Map};
use crate::sync::Ordering;

/// Changes that come between are bad luck; more of them mean that the lock is quicker.
const ATTEMPTS: usize = 3;

/// What can be seen of a value without the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glimpse {
    /// There is no such key or index.
    Absent,
    /// The value has been appended.
    Value,
    /// Nothing can be said: the value is long, or somebody was changing the container.
    Unclear,
}

impl Map {
    /// Appends the value of a key, if that can be had without the lock.
    #[inline]
    pub fn glimpse(&self, memory: &impl Cells, identity: &[u8], out: &mut Vec<u8>) -> Glimpse {
        let hash = self.hash(identity);
        glimpse(self.core(), out, |chunk, out| {
            let table = Table::glimpse(memory, chunk)?;
            let mut seen = Glimpsed::Other;
            let found = table.find(hash, |record| {
                let start = out.len();
                seen = glimpse_record(memory, record, Some((hash, identity)), out);
                if seen == Glimpsed::Other {
                    out.truncate(start);
                }
                seen != Glimpsed::Other
            });
            match (found, seen) {
                (None, _) => Some(Glimpse::Absent),
                (Some(_), Glimpsed::Copied) => Some(Glimpse::Value),
                (Some(_), _) => None,
            }
        })
    }
}

impl List {
    /// Appends the item at the place that `which` makes of the length, if that can be had without the
    /// lock.
    #[inline]
    pub fn glimpse(
        &self,
        memory: &impl Cells,
        which: impl Fn(usize) -> Option<usize>,
        out: &mut Vec<u8>,
    ) -> Glimpse {
        glimpse(self.core(), out, |chunk, out| {
            let (start, len) = self.range();
            let Some(index) = which(len).filter(|index| *index < len) else {
                return Some(Glimpse::Absent);
            };
            let row = Table::glimpse(memory, chunk)?.rows.get(start.checked_add(index)?)?;
            let record = row.load(Ordering::Acquire);
            let seen = glimpse_record(memory, record, None, out);
            (seen == Glimpsed::Copied).then_some(Glimpse::Value)
        })
    }
}

/// Reads, and believes it if nothing has changed meanwhile.
#[inline]
fn glimpse(
    core: &Core,
    out: &mut Vec<u8>,
    read: impl Fn(u64, &mut Vec<u8>) -> Option<Glimpse>,
) -> Glimpse {
    let start = out.len();
    for _ in 0..ATTEMPTS {
        let Some((table, version)) = core.begin_glimpse() else { return Glimpse::Unclear };
        let seen = read(table, out);
        if core.is_still(version) {
            return seen.unwrap_or_else(|| {
                out.truncate(start);
                Glimpse::Unclear
            });
        }
        out.truncate(start);
    }
    Glimpse::Unclear
}
