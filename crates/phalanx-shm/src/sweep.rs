//! The sweep: what a dead process left behind is repaired, freed or destroyed.
//!
//! Done under the housekeeping lock by whoever notices a death: the parent that reaped the process,
//! or a waiter that asked about the holder of what it waits for. The order matters: first every
//! object that the dead held settles its own affairs (half-done changes, locks), then the dead's
//! hold is dropped, then the chunks that it owned alone are freed, and only then is its place in the
//! process table given out again. Each step may be repeated, so a sweeper that dies half way does no
//! harm: the place stays marked as dead, and the next sweeper begins again.

use std::time::Duration;

use crate::arena::{Arena, Chunk, ChunkState};
use crate::failpoint;
use crate::family::Family;
use crate::object::{Bytes, HEADER_LEN, ObjectHeader, ObjectKind, SharedObject};
use crate::passage;
use crate::peers::{Peers, SlotId};
use crate::slot::Generation;
use crate::table::ProcessTable;

/// How long a waiter for something lets another process finish its sweep. It asks again.
const WAITER: Duration = Duration::from_millis(20);
/// How long others do, before they leave their part to the next sweep.
const OTHERS: Duration = Duration::from_secs(2);

/// Sweeps the process at `slot` if it has ended, and gives its place out again. False if that has to
/// wait.
pub(crate) fn bury(family: &Family, slot: SlotId) -> bool {
    if slot == family.me() || !family.arena().table().bury_if_dead(slot) {
        return true;
    }
    failpoint!("sweep.marked");
    clean_up_all(family, WAITER)
}

/// The same for a process that is known to have ended, unless its place, which had that
/// generation, has been given out again.
pub(crate) fn bury_as(family: &Family, slot: SlotId, generation: Generation) {
    if slot != family.me() && family.arena().table().bury_as(slot, generation) {
        failpoint!("sweep.marked");
        clean_up_all(family, OTHERS);
    }
}

/// Repairs what a process left that was swept already but is still named in some word. False if
/// that has to wait.
pub(crate) fn repair_after(family: &Family, slot: SlotId) -> bool {
    // Out of use first: a process that got the place now must not be swept with it.
    if !ProcessTable::has(slot) {
        // No process ever had such a place: somebody has written over the word.
        let right = family.housekeeping(WAITER);
        family.arena().for_each_object(|chunk| {
            if right.is_some() {
                on_death(family, chunk, slot);
            }
        });
        return right.is_some();
    }
    !family.arena().table().bury_vacant(slot) || clean_up_all(family, WAITER)
}

/// Sweeps all places marked as ended: also those whose sweeper died, or gave up waiting.
fn clean_up_all(family: &Family, limit: Duration) -> bool {
    let Some(_right) = family.housekeeping(limit) else { return false };
    let table = family.arena().table();
    while let Some(dead) = table.buried() {
        clean_up(family, dead);
        failpoint!("sweep.cleaned");
        table.vacate(dead);
        failpoint!("sweep.vacated");
    }
    true
}

fn clean_up(family: &Family, dead: SlotId) {
    let arena = family.arena();
    arena.for_each_object(|chunk| {
        let header: &ObjectHeader = arena.at(chunk.offset());
        // Also where it had no hold any more: it may have dropped its last handle to a lock
        // that it still held.
        on_death(family, chunk, dead);
        failpoint!("sweep.object.repaired");
        if header.holders().has(dead) {
            header.holders().remove(dead);
            failpoint!("sweep.object.unheld");
        }
        if !header.holders().any() && !passage::is_awaited(arena, chunk.offset()) {
            destroy(family, chunk);
        }
    });
    failpoint!("sweep.objects.done");
    arena.settle_accounts(dead);
    failpoint!("sweep.settled");
    arena.free_owned_by(dead);
    failpoint!("sweep.chunks.freed");
    // Passages of the dead were among them, or it died before it had looked at what it had freed.
    if arena.has_passages() {
        collect(family);
    }
}

/// Destroys the objects that nobody holds or awaits; with them may go passages that name others.
fn collect(family: &Family) {
    let arena = family.arena();
    let mut goes_on = true;
    while goes_on {
        goes_on = false;
        arena.for_each_object(|chunk| {
            let (header, offset): (&ObjectHeader, _) = (arena.at(chunk.offset()), chunk.offset());
            if header.was_sent() && !header.holders().any() && !passage::is_awaited(arena, offset) {
                destroy(family, chunk);
                goes_on |= arena.state_of(chunk).0 != ChunkState::Object;
                failpoint!("sweep.collected");
            }
        });
    }
}

/// The same after this process has freed passages.
pub(crate) fn collect_freed(family: &Family) {
    if let Some(_right) = family.housekeeping(OTHERS) {
        collect(family);
    }
}

/// Destroys the object at `offset` if still nobody holds it.
pub(crate) fn destroy_unheld(family: &Family, offset: u64) {
    let Some(_right) = family.housekeeping(OTHERS) else { return };
    let Some(chunk) = family.arena().chunk_at(offset) else {
        return;
    };
    let is_object = family.arena().state_of(chunk).0 == ChunkState::Object;
    let arena = family.arena();
    if is_object
        && !arena.at::<ObjectHeader>(offset).holders().any()
        && !passage::is_awaited(arena, offset)
    {
        destroy(family, chunk);
        if family.has_freed_passages() {
            collect(family);
        }
    }
}

/// Calls `$action` on the object of whatever kind in a chunk.
macro_rules! dispatch {
    ($arena:expr, $chunk:expr, $object:ident => $action:expr) => {{
        let arena = $arena;
        let at = $chunk.offset() + HEADER_LEN as u64;
        match arena.at::<ObjectHeader>($chunk.offset()).kind() {
            Some(ObjectKind::Bytes) => {
                let $object: &Bytes = arena.at(at);
                $action
            }
            Some(ObjectKind::Ring) => {
                let $object: &crate::ring::Ring = arena.at(at);
                $action
            }
            Some(ObjectKind::Pool) => {
                let $object: &crate::leases::LeaseBoard = arena.at(at);
                $action
            }
            Some(ObjectKind::Lock) => {
                let $object: &crate::words::lock::LockWord = arena.at(at);
                $action
            }
            Some(ObjectKind::RLock) => {
                let $object: &crate::words::rlock::RLockWord = arena.at(at);
                $action
            }
            Some(ObjectKind::Permits) => {
                let $object: &crate::words::permits::PermitsHead = arena.at(at);
                $action
            }
            Some(ObjectKind::Condition) => {
                let $object: &crate::words::objects::ConditionObject = arena.at(at);
                $action
            }
            Some(ObjectKind::Event) => {
                let $object: &crate::words::event::EventWord = arena.at(at);
                $action
            }
            Some(ObjectKind::Barrier) => {
                let $object: &crate::words::barrier::BarrierHead = arena.at(at);
                $action
            }
            Some(ObjectKind::Map) => {
                let $object: &crate::containers::Map = arena.at(at);
                $action
            }
            Some(ObjectKind::List) => {
                let $object: &crate::containers::List = arena.at(at);
                $action
            }
            Some(ObjectKind::Guarded) => {
                let $object: &crate::guarded::GuardedHead = arena.at(at);
                $action
            }
            None => {}
        }
    }};
}

/// An object that somebody has written over may panic in its own repair. That must not keep the
/// others from theirs, now and in every later sweep.
fn unless_damaged(repair: impl FnOnce()) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(repair));
}

fn on_death(family: &Family, chunk: Chunk, dead: SlotId) {
    unless_damaged(|| {
        dispatch!(family.arena(), chunk, object => SharedObject::on_death(object, dead, family));
    });
}

fn destroy(family: &Family, chunk: Chunk) {
    unless_damaged(|| {
        dispatch!(family.arena(), chunk, object => SharedObject::on_destroy(object, family));
    });
    failpoint!("object.destroy.emptied");
    let me = family.me();
    // Ours first, then free: a death between leaves an owned chunk, not a lost one.
    let object = (ChunkState::Object, None);
    if family.arena().transition(chunk, object, (ChunkState::Owned, Some(me))) {
        failpoint!("object.destroy.owned");
        family.free(chunk);
    }
}

/// In what state the object in a chunk is, for people.
pub(crate) fn describe(arena: &Arena, chunk: Chunk) -> String {
    let mut words = String::new();
    unless_damaged(|| {
        dispatch!(arena, chunk, object => words = SharedObject::describe(object, arena));
    });
    words
}
