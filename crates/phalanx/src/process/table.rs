//! What the process layer tells the process table of its family.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use phalanx_os::wait::ExitStatus;
use phalanx_shm::family::Family;
use phalanx_shm::peers::SlotId;

/// Makes sure that there is a family before a child could come to belong to another one.
pub(super) fn open() -> io::Result<()> {
    Family::get().map(drop)
}

pub(super) fn attach(arena: OwnedFd, slot: SlotId) -> io::Result<()> {
    Family::attach(arena, slot).map(drop)
}

pub(super) fn arena_fd() -> io::Result<BorrowedFd<'static>> {
    Ok(Family::get()?.arena_fd())
}

pub(super) fn reserve() -> io::Result<SlotId> {
    Family::get()?.reserve_child()
}

pub(super) fn next_child(slot: SlotId) {
    if let Some(family) = Family::existing() {
        family.next_child(slot);
    }
}

/// The place that this thread's last fork took; there is none when the table is full.
pub(super) fn last_forked() -> Option<SlotId> {
    Family::existing().and_then(Family::last_forked)
}

pub(super) fn name(slot: SlotId, pid: u32) {
    if let Some(family) = Family::existing() {
        family.name_child(slot, pid);
    }
}

pub(super) fn set_status(slot: SlotId, status: ExitStatus) {
    if let Some(family) = Family::existing() {
        family.set_status(slot, status.as_raw());
    }
}

/// The process at `slot` has been reaped: what it left is repaired and its place given out again.
pub(super) fn ended(slot: SlotId, status: ExitStatus) {
    set_status(slot, status);
    abandon(slot);
}

/// The process at `slot` has ended, or will never be started.
pub(super) fn abandon(slot: SlotId) {
    if let Some(family) = Family::existing() {
        family.on_child_end(slot);
    }
}
