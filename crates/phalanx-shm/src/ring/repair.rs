//! What is done about a ring when a process that used it has died, and when nobody holds it.

use super::{KIND, Memory, PAYLOAD, Ring, SEGMENT, Side};
use crate::failpoint;
use crate::peers::SlotId;
use crate::sync::Ordering;

impl Ring {
    /// Settles what `dead` was doing. May be repeated. Runs under the housekeeping lock.
    pub fn repair(&self, memory: &impl Memory, dead: SlotId) {
        if self.put.lock.is_held_by(dead) {
            self.settle_put(memory, Some(dead));
            failpoint!("ring.repair.put");
            self.put.lock.release_dead();
        }
        if self.get.lock.is_held_by(dead) {
            self.settle_get(memory, Some(dead));
            failpoint!("ring.repair.get");
            self.get.lock.release_dead();
        }
        // A wake-up may have died with it.
        self.not_empty.notify_all();
        self.not_full.notify_all();
        self.all_done.notify_all();
    }

    fn settle_put(&self, memory: &impl Memory, dead: Option<SlotId>) {
        let intent = self.put.intent.load(Ordering::Acquire);
        if intent == 0 {
            return;
        }
        let chunk = intent & !KIND;
        let is_orphan = match intent & KIND {
            SEGMENT => !self.is_linked(memory, chunk),
            PAYLOAD => {
                let last = self.put.segment.load(Ordering::Acquire);
                let tail = memory.segment(last).tail.load(Ordering::Acquire);
                tail == self.put.mark.load(Ordering::Acquire)
            }
            _ => false,
        };
        let ours = is_orphan && take_back(memory, chunk, dead);
        failpoint!("ring.repair.put_detached");
        settled(memory, &self.put, chunk, ours);
    }

    /// Whether a new segment is in the chain; then the put side moves on to it. The side's holder is
    /// dead, so nobody else links segments.
    fn is_linked(&self, memory: &impl Memory, new: u64) -> bool {
        loop {
            let last = self.put.segment.load(Ordering::Acquire);
            if last == new {
                return true;
            }
            if last == 0 {
                return false;
            }
            let next = memory.segment(last).next.load(Ordering::Acquire);
            // Consumers that leave the last segment move the put side on before they free it, so if
            // it is the last one still, what we read was not yet somebody else's.
            let order = (Ordering::AcqRel, Ordering::Acquire);
            let to = if next == new { new } else { last };
            if self.put.segment.compare_exchange(last, to, order.0, order.1).is_ok() {
                return next == new;
            }
        }
    }

    fn settle_get(&self, memory: &impl Memory, dead: Option<SlotId>) {
        let intent = self.get.intent.load(Ordering::Acquire);
        if intent == 0 {
            return;
        }
        let chunk = intent & !KIND;
        let first = self.get.segment.load(Ordering::Acquire);
        let is_orphan = match intent & KIND {
            SEGMENT => first != chunk,
            PAYLOAD => {
                let head = memory.segment(first).head.load(Ordering::Acquire);
                head != self.get.mark.load(Ordering::Acquire)
            }
            _ => false,
        };
        let ours = is_orphan && take_back(memory, chunk, dead);
        failpoint!("ring.repair.get_detached");
        settled(memory, &self.get, chunk, ours);
    }

    /// Frees everything in a ring that nobody holds any more. May be repeated.
    pub fn empty_for_good(&self, memory: &impl Memory) {
        self.settle_put(memory, None);
        self.settle_get(memory, None);
        if self.get.segment.load(Ordering::Acquire) == 0 {
            // Never prepared, or half: then the put side is ahead. (Below it is forgotten first.)
            let only = self.put.segment.load(Ordering::Acquire);
            if only == 0 {
                return;
            }
            self.get.segment.store(only, Ordering::Release);
        }
        let mut bytes = Vec::new();
        while let Some(taken) = self.remove(memory, &mut bytes, &mut |_| {}) {
            bytes.clear();
            if let super::Taken::Payload { chunk, .. } = taken {
                memory.free_chunk(chunk);
            }
            failpoint!("ring.destroy.emptied_one");
        }
        let last = self.get.segment.load(Ordering::Acquire);
        let ours = memory.detach(last);
        failpoint!("ring.destroy.detached");
        forget(&self.put);
        failpoint!("ring.destroy.put_forgotten");
        forget(&self.get);
        failpoint!("ring.destroy.forgotten");
        if ours {
            memory.free_chunk(last);
        }
    }
}

/// Takes an orphan out of the ring: into the hands of the dead process, whose sweep frees it, or, if
/// nobody has died, into one's own; then the answer is yes. In one's own it could be freed and used
/// again before a second repair, after one's own death, comes to the intent that still names it.
fn take_back(memory: &impl Memory, chunk: u64, dead: Option<SlotId>) -> bool {
    match dead {
        Some(dead) => {
            memory.condemn(chunk, dead);
            false
        }
        None => memory.detach(chunk),
    }
}

fn forget(side: &Side) {
    side.segment.store(0, Ordering::Release);
}

/// Clears a side's intent, and frees the chunk that it named if it had been the ring's and is `ours`
/// now. One that still belongs to the dead process is left to the sweep. The intent first: once
/// the chunk is free it may be used again, and must not be named here any more.
fn settled(memory: &impl Memory, side: &Side, chunk: u64, ours: bool) {
    side.intent.store(0, Ordering::Release);
    failpoint!("ring.repair.settled");
    if ours {
        memory.free_chunk(chunk);
    }
}
