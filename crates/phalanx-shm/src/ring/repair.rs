//! What is done about a ring when a process that used it has died, and when nobody holds it.

use super::{KIND, Memory, PAYLOAD, Ring, SEGMENT, Side};
use crate::failpoint;
use crate::peers::SlotId;
use crate::sync::Ordering;

impl Ring {
    /// Settles what `dead` was doing. May be repeated. Runs under the housekeeping lock.
    pub fn repair(&self, memory: &impl Memory, dead: SlotId) {
        if self.put.lock.is_held_by(dead) {
            self.settle_put(memory);
            failpoint!("ring.repair.put");
            self.put.lock.release_dead();
        }
        if self.get.lock.is_held_by(dead) {
            self.settle_get(memory);
            failpoint!("ring.repair.get");
            self.get.lock.release_dead();
        }
        // A wake-up may have died with it.
        self.not_empty.notify_all();
        self.not_full.notify_all();
        self.all_done.notify_all();
    }

    fn settle_put(&self, memory: &impl Memory) {
        let intent = self.put.intent.load(Ordering::Acquire);
        let chunk = intent & !KIND;
        let last = self.put.segment.load(Ordering::Acquire);
        match intent & KIND {
            SEGMENT if last == 0 => reclaim(memory, chunk),
            SEGMENT if last == chunk => {}
            SEGMENT if memory.segment(last).next.load(Ordering::Acquire) == chunk => {
                self.put.segment.store(chunk, Ordering::Release);
            }
            SEGMENT => reclaim(memory, chunk),
            PAYLOAD => {
                let tail = memory.segment(last).tail.load(Ordering::Acquire);
                if tail == self.put.mark.load(Ordering::Acquire) {
                    reclaim(memory, chunk);
                }
            }
            _ => {}
        }
        self.put.intent.store(0, Ordering::Release);
    }

    fn settle_get(&self, memory: &impl Memory) {
        let intent = self.get.intent.load(Ordering::Acquire);
        let chunk = intent & !KIND;
        let first = self.get.segment.load(Ordering::Acquire);
        match intent & KIND {
            SEGMENT if first != chunk => reclaim(memory, chunk),
            PAYLOAD => {
                let head = memory.segment(first).head.load(Ordering::Acquire);
                if head != self.get.mark.load(Ordering::Acquire) {
                    reclaim(memory, chunk);
                }
            }
            _ => {}
        }
        self.get.intent.store(0, Ordering::Release);
    }

    /// Frees everything in a ring that nobody holds any more. May be repeated.
    pub fn empty_for_good(&self, memory: &impl Memory) {
        self.settle_put(memory);
        self.settle_get(memory);
        if self.get.segment.load(Ordering::Acquire) == 0 {
            return;
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
        forget(&self.get);
        forget(&self.put);
        if ours {
            memory.free_chunk(last);
        }
    }
}

fn forget(side: &Side) {
    side.segment.store(0, Ordering::Release);
}

/// Frees a chunk that belongs to the ring but is in no list of it. One that still belongs to the
/// dead process is left to the sweep.
fn reclaim(memory: &impl Memory, chunk: u64) {
    if memory.detach(chunk) {
        memory.free_chunk(chunk);
    }
}
