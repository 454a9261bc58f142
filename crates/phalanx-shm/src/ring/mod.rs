//! A many-to-many queue of records, unbounded or bounded, that survives the death of any process at
//! any instruction. The algorithm and its repair are told in `README.md` beside this file.

mod closing;
mod glimpse;
#[cfg(all(test, loom))]
pub(crate) mod loom_tests;
mod memory;
mod put;
mod quick;
mod repair;
mod segment;
mod several;
mod take;

pub use memory::Memory;
pub use put::{PutError, Record};
pub use quick::{SHORT_MAX, Short};
pub use segment::{FIRST_CAPACITY, SEGMENT_HEADER, Segment};
pub use take::{Noted, Taken};

use crate::alloc_error::AllocError;
use crate::engine_lock::EngineLock;
use crate::event_count::EventCount;
use crate::failpoint;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::view::ShmSafe;
use glimpse::Glimpse;

/// Records up to this many bytes lie in the ring itself; longer ones in chunks of their own.
pub const INLINE_MAX: usize = 8192;

/// The low bits of an intent: what the chunk named by the rest is.
const SEGMENT: u64 = 1;
const PAYLOAD: u64 = 2;
const KIND: u64 = 3;

/// One end of a ring: who works on it, where, what it is about to move, and how far the other end
/// had come when this one last looked.
#[derive(Debug)]
#[repr(C, align(64))]
struct Side {
    lock: EngineLock,
    unused: AtomicU32,
    segment: AtomicU64,
    intent: AtomicU64,
    mark: AtomicU64,
    other: Glimpse,
    pad: [AtomicU64; 2],
}

impl Side {
    fn new() -> Self {
        Self {
            lock: EngineLock::new(),
            unused: AtomicU32::new(0),
            segment: AtomicU64::new(0),
            intent: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            other: Glimpse::new(),
            pad: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// The ring's shared state. Zero with [`Ring::prepare`] called is a valid new one.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Ring {
    put: Side,
    get: Side,
    not_empty: EventCount,
    not_full: EventCount,
    all_done: EventCount,
    limit: AtomicU32,
    done: AtomicU32,
    closed: AtomicU32,
    pad: [AtomicU32; 10],
}

// SAFETY: atomics only.
#[allow(unsafe_code)]
unsafe impl ShmSafe for Ring {}

impl Ring {
    /// A ring without its first segment, for the heap; in an arena, all zero bytes are the same.
    #[must_use]
    pub fn zeroed() -> Self {
        Self {
            put: Side::new(),
            get: Side::new(),
            not_empty: EventCount::new(),
            not_full: EventCount::new(),
            all_done: EventCount::new(),
            limit: AtomicU32::new(0),
            done: AtomicU32::new(0),
            closed: AtomicU32::new(0),
            pad: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// Gives a new ring its first segment and its limit in items (0: none). Nobody else may see
    /// the ring yet.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn prepare(&self, memory: &impl Memory, limit: u32) -> Result<(), AllocError> {
        let first = memory.take_chunk(SEGMENT_HEADER + FIRST_CAPACITY)?;
        failpoint!("ring.prepare.allocated");
        memory.segment(first).prepare(FIRST_CAPACITY, 0);
        self.limit.store(limit, Ordering::Relaxed);
        // Two intents and a store, so that a death leaves neither a lost nor a doubly owned chunk.
        self.put.intent.store(first | SEGMENT, Ordering::Release);
        failpoint!("ring.prepare.intended");
        memory.attach(first);
        failpoint!("ring.prepare.attached");
        self.put.segment.store(first, Ordering::Release);
        failpoint!("ring.prepare.put");
        self.get.segment.store(first, Ordering::Release);
        failpoint!("ring.prepare.get");
        self.put.intent.store(0, Ordering::Release);
        Ok(())
    }

    /// The limit in items; 0 if there is none.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// How many records have ever been put, modulo 2^32: the ordinal of the next one.
    #[must_use]
    pub fn put_count(&self, memory: &impl Memory) -> u32 {
        loop {
            let at = self.put.segment.load(Ordering::Acquire);
            let count = memory.segment(at).tail().count;
            if self.put.segment.load(Ordering::Acquire) == at {
                return count;
            }
        }
    }

    /// How many records have ever been taken, modulo 2^32.
    fn take_count(&self, memory: &impl Memory) -> u32 {
        loop {
            let at = self.get.segment.load(Ordering::Acquire);
            let count = memory.segment(at).head().count;
            if self.get.segment.load(Ordering::Acquire) == at {
                return count;
            }
        }
    }

    /// The number of records in the ring at some instant during the call.
    #[must_use]
    pub fn len(&self, memory: &impl Memory) -> usize {
        let taken = self.take_count(memory);
        self.put_count(memory).wrapping_sub(taken) as usize
    }

    /// Whether the ring was empty at some instant during the call.
    #[must_use]
    #[inline]
    pub fn is_empty(&self, memory: &impl Memory) -> bool {
        loop {
            let at = self.get.segment.load(Ordering::Acquire);
            let first = memory.segment(at);
            // What follows has been linked, but nothing may lie in it yet, and nothing ever will if the producer has
            // died in between: who is told that there is something must be able to take it.
            let is_empty = first.is_empty()
                && (first.next.load(Ordering::Acquire) == 0 || self.len(memory) == 0);
            // A segment that was left meanwhile may hold anything.
            if self.get.segment.load(Ordering::Acquire) == at {
                return is_empty;
            }
        }
    }

    /// Whether a ring with a limit was full at some instant during the call.
    #[must_use]
    pub fn is_full(&self, memory: &impl Memory) -> bool {
        let limit = self.limit();
        limit != 0 && self.len(memory) >= limit as usize
    }

    /// The event count that is notified when a record arrives.
    #[must_use]
    pub fn not_empty(&self) -> &EventCount {
        &self.not_empty
    }

    /// The event count that is notified when a record of a ring with a limit is taken.
    #[must_use]
    pub fn not_full(&self) -> &EventCount {
        &self.not_full
    }

    /// Counts one taken record as dealt with. False (and nothing counted) if as many have been
    /// counted as were ever put.
    pub fn task_done(&self, memory: &impl Memory) -> bool {
        let mut done = self.done.load(Ordering::Acquire);
        loop {
            let put = self.put_count(memory);
            if done == put {
                return false;
            }
            let next = done.wrapping_add(1);
            match self.done.compare_exchange(done, next, Ordering::SeqCst, Ordering::Acquire) {
                Ok(_) => {
                    failpoint!("ring.done.counted");
                    if next == put {
                        self.all_done.notify_all();
                    }
                    return true;
                }
                Err(now) => done = now,
            }
        }
    }

    /// Whether every record ever put has been counted as dealt with.
    #[must_use]
    pub fn is_all_done(&self, memory: &impl Memory) -> bool {
        self.done.load(Ordering::SeqCst) == self.put_count(memory)
    }

    /// The event count that is notified when the last record has been dealt with.
    #[must_use]
    pub fn all_done(&self) -> &EventCount {
        &self.all_done
    }
}

#[cfg(not(loom))]
mod as_object {
    use super::{Ordering, Ring, Segment, Side};
    use crate::arena::Arena;
    use crate::family::Family;
    use crate::object::{ObjectKind, SharedObject};
    use crate::peers::SlotId;

    // SAFETY: the kind is this type's alone; all zero is a ring not yet prepared, which the
    // repairs below leave alone.
    #[allow(unsafe_code)]
    unsafe impl SharedObject for Ring {
        const KIND: ObjectKind = ObjectKind::Ring;

        fn on_death(&self, dead: SlotId, family: &Family) {
            self.repair(family, dead);
        }

        fn on_destroy(&self, family: &Family) {
            self.empty_for_good(family);
        }

        fn describe(&self, arena: &Arena) -> String {
            let mark = |side: &Side| arena.at::<Segment>(side.segment.load(Ordering::Acquire));
            let (put, taken) = (mark(&self.put).tail().count, mark(&self.get).head().count);
            let busy = |side: &Side, doing: &str| {
                let holder = side.lock.holder().map(|slot| slot.raw());
                holder.map_or(String::new(), |slot| format!(", process {slot} is {doing}"))
            };
            format!(
                "{} items (limit {}), {put} put so far{}{}",
                put.wrapping_sub(taken),
                self.limit(),
                busy(&self.put, "putting"),
                busy(&self.get, "taking")
            )
        }
    }
}
