//! The state of an arena in words, for whoever looks for the reason of a hang.
//!
//! It takes no lock and changes nothing, so it works while everybody else is stuck, and from a process
//! that belongs to no family: the words that it reads may change meanwhile, and what it says of each
//! is true for that instant alone. If a process dies meanwhile, it goes on being told of as it was.

use std::fmt::{self, Write};

use crate::arena::{Arena, Chunk};
use crate::object::{HEADER_LEN, ObjectHeader};
use crate::peers::SlotId;
use crate::sweep;
use crate::table::Life;

/// So many objects are told of one by one.
const OBJECTS_MOST: usize = 500;

/// Says who shares the arena, and what lies in it: one line for each process, one for each object.
#[must_use]
pub fn dump(arena: &Arena) -> String {
    let mut out = String::new();
    // A string takes everything.
    let _ = write(&mut out, arena);
    out
}

fn write(out: &mut String, arena: &Arena) -> fmt::Result {
    let census = arena.census();
    write!(
        out,
        "arena: {} objects, {} parts of objects, {} chunks of one process each, {} KiB in use",
        census.objects,
        census.parts,
        census.owned,
        arena.committed_bytes() >> 10
    )?;
    match arena.housekeeping().holder() {
        Some(slot) => writeln!(out, "; process {} sweeps", slot.raw())?,
        None => writeln!(out)?,
    }
    for slot in arena.table().ids() {
        process(out, arena, slot)?;
    }
    let mut chunks = Vec::new();
    arena.for_each_object(|chunk| chunks.push(chunk));
    for chunk in chunks.iter().take(OBJECTS_MOST) {
        object(out, arena, *chunk)?;
    }
    match chunks.len().saturating_sub(OBJECTS_MOST) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more objects"),
    }
}

fn process(out: &mut String, arena: &Arena, slot: SlotId) -> fmt::Result {
    let table = arena.table();
    let life = match table.life(slot) {
        Life::Vacant => return Ok(()),
        Life::Alive => "alive",
        Life::Dead => "ended, not swept",
    };
    write!(out, "process {}: pid {}, {life}", slot.raw(), table.pid(slot))?;
    if let Some(parent) = table.parent(slot) {
        write!(out, ", child of process {}", parent.raw())?;
    }
    writeln!(out)
}

fn object(out: &mut String, arena: &Arena, chunk: Chunk) -> fmt::Result {
    let header: &ObjectHeader = arena.at(chunk.offset());
    let Some(kind) = header.kind() else {
        return writeln!(out, "object {:#x}: of no known kind", chunk.offset());
    };
    let mut holders: String =
        header.holders().each().take(32).map(|slot| format!(" {}", slot.raw())).collect();
    if holders.is_empty() {
        holders.push_str(" nobody");
    }
    let len = header.tail_len().min(chunk.capacity().saturating_sub(HEADER_LEN) as u64);
    write!(out, "object {:#x}: {kind:?}, {len} bytes, of{holders}", chunk.offset())?;
    let state = sweep::describe(arena, chunk);
    if state.is_empty() { writeln!(out) } else { writeln!(out, ": {state}") }
}
