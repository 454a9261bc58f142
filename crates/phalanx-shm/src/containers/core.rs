//! What map and list have in common: the lock, the table, and the journal of the change under way.
//! The rules are in `README.md`.

use std::collections::HashSet;

use super::Cells;
use super::rows::Table;
use crate::engine_lock::{EngineLock, Guard};
use crate::failpoint;
use crate::patience::{GaveUp, Patience};
use crate::peers::SlotId;
use crate::spin::Spin;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Journal: nothing is under way.
const IDLE: u64 = 0;
/// One row changes from `old` to `new`.
const ROW: u64 = 1;
/// Rows from `row` on, `old` in number, get records; the first of them gets `new`.
const RUN: u64 = 2;
/// The table changes from `old` to `new`.
const TABLE: u64 = 3;

/// Said of what no holder of the lock can have written.
pub(super) const DAMAGED: &str = "a shared container was damaged by another process";

static SPIN: Spin = Spin::for_locks();

/// How often a container has been changed. Equal versions: nothing has changed in between.
///
/// ```
/// # use phalanx_shm::containers::{Key, Staged};
/// # use phalanx_shm::{containers::Map, family::Family, object::Shared, patience::Patience};
/// # mod phalanx { pub use phalanx_shm::containers as manager; }
/// use phalanx::manager::Version;
///
/// # let family = Family::get()?;
/// # let dict = Shared::new(family, |map: &Map| map.prepare([1, 2], 3))?;
/// # let draft = Staged::entry(family, Key { identity: b"apples", form: b"" }, b"five")?;
/// let before: Version = dict.lock(family, &Patience::forever())?.version();
/// dict.lock(family, &Patience::forever())?.put(draft)?;
/// assert_ne!(dict.lock(family, &Patience::forever())?.version(), before);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Version = u64;

/// Why a container could not be locked.
///
/// ```
/// # mod phalanx { pub use phalanx_shm::containers as manager; }
/// use phalanx::manager::LockFailed;
///
/// fn may_be_tried_again(why: LockFailed) -> bool {
///     matches!(why, LockFailed::GaveUp(_))
/// }
/// assert!(!may_be_tried_again(LockFailed::Retired));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockFailed {
    /// Patience was at its end.
    GaveUp(GaveUp),
    /// The container has been given up: what was in it has moved elsewhere.
    Retired,
}

impl From<GaveUp> for LockFailed {
    fn from(why: GaveUp) -> Self {
        Self::GaveUp(why)
    }
}

impl std::fmt::Display for LockFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GaveUp(why) => why.fmt(f),
            Self::Retired => f.write_str("what was in the shared container has moved elsewhere"),
        }
    }
}

impl std::error::Error for LockFailed {}

/// The head of a container. All zero is an empty one.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Core {
    lock: EngineLock,
    retired: AtomicU32,
    table: AtomicU64,
    changes: AtomicU64,
    journal: AtomicU64,
    row: AtomicU64,
    old: AtomicU64,
    new: AtomicU64,
    tag: AtomicU64,
}

impl Core {
    /// Takes the lock. With no patience at all, spins briefly and sleeps not.
    #[inline]
    pub(super) fn lock<'a>(
        &'a self,
        memory: &impl Cells,
        patience: &Patience<'_>,
        derive: impl FnOnce(),
    ) -> Result<Guard<'a>, LockFailed> {
        let guard = match self.lock.try_guard(memory.me()) {
            Some(guard) => guard,
            None if patience.is_none() => SPIN
                .until(|| self.lock.try_guard(memory.me()))
                .ok_or(LockFailed::GaveUp(GaveUp::TimedOut))?,
            None => self.lock.guard(memory, patience)?,
        };
        let table = self.table.load(Ordering::Relaxed);
        assert!(Table::is_sound(memory, table), "{DAMAGED}");
        if self.journal.load(Ordering::Relaxed) != IDLE {
            self.recover(memory, derive);
        }
        if self.retired.load(Ordering::Relaxed) != 0 {
            return Err(LockFailed::Retired);
        }
        Ok(guard)
    }

    /// Who has it locked, for people.
    pub(super) fn describe(&self) -> String {
        let holder = self.lock.holder().map(|slot| slot.raw());
        holder.map_or("free".to_owned(), |slot| format!("being changed by process {slot}"))
    }

    /// The table and the version, for a look without the lock; none while a change is under way, or
    /// for ever.
    #[inline]
    pub(super) fn begin_glimpse(&self) -> Option<(u64, Version)> {
        let is_quiet = self.journal.load(Ordering::Acquire) == IDLE
            && self.retired.load(Ordering::Acquire) == 0;
        let version = self.changes.load(Ordering::Acquire);
        is_quiet.then(|| (self.table.load(Ordering::Acquire), version))
    }

    /// Whether nothing has been changed since the version was read.
    #[inline]
    pub(super) fn is_still(&self, version: Version) -> bool {
        fence(Ordering::Acquire);
        // Acquire: a journal that was disarmed since comes with the version that it made.
        self.journal.load(Ordering::Acquire) == IDLE
            && self.changes.load(Ordering::Relaxed) == version
    }

    #[inline]
    pub(super) fn table<'a>(&self, memory: &'a impl Cells) -> Table<'a> {
        Table::at(memory, self.table.load(Ordering::Relaxed))
    }

    pub(super) fn has_table(&self) -> bool {
        self.table.load(Ordering::Relaxed) != 0
    }

    pub(super) fn version(&self) -> Version {
        self.changes.load(Ordering::Relaxed)
    }

    /// From now on nobody can lock it. The caller has the lock.
    pub(super) fn retire(&self) {
        self.retired.store(1, Ordering::Release);
    }

    pub(super) fn set_tag(&self, tag: u64) {
        self.tag.store(tag, Ordering::Relaxed);
    }

    pub(super) fn tag(&self) -> u64 {
        self.tag.load(Ordering::Relaxed)
    }

    #[inline]
    fn arm(&self, kind: u64, row: usize, old: u64, new: u64) {
        self.row.store(row as u64, Ordering::Relaxed);
        self.old.store(old, Ordering::Relaxed);
        self.new.store(new, Ordering::Relaxed);
        self.journal.store(kind, Ordering::Release);
        // Who reads without the lock and sees anything of the change has to see this too.
        fence(Ordering::Release);
    }

    #[inline]
    fn disarm(&self) {
        // Release: who reads the new version without the lock has to see the change itself too, or it
        // would follow old words to chunks that are used for something else by now.
        self.changes.store(self.changes.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        self.journal.store(IDLE, Ordering::Release);
        // What the next change writes into the journal stays behind this.
        fence(Ordering::AcqRel);
    }

    /// Changes one row from the record `old` to `new` (either may be 0). `new` is this process's own
    /// chunk; `derive` brings counts and index up to date.
    #[inline]
    pub(super) fn change_row(
        &self,
        memory: &impl Cells,
        row: usize,
        new: u64,
        derive: impl FnOnce(),
    ) {
        let rows = self.table(memory).rows;
        let word = rows.get(row).unwrap_or_else(|| panic!("{DAMAGED}"));
        let old = word.load(Ordering::Relaxed);
        self.arm(ROW, row, old, new);
        failpoint!("containers.row.armed");
        if new != 0 {
            memory.attach(new);
            failpoint!("containers.row.attached");
        }
        word.store(new, Ordering::Release);
        failpoint!("containers.row.decided");
        derive();
        failpoint!("containers.row.derived");
        if old != 0 {
            memory.detach(old);
            failpoint!("containers.row.detached");
        }
        self.disarm();
        failpoint!("containers.row.disarmed");
        if old != 0 {
            memory.free_chunk(old);
        }
    }

    /// Gives records to rows that have none, `first` and those behind it: all or none.
    pub(super) fn fill_rows(
        &self,
        memory: &impl Cells,
        first: usize,
        records: &[u64],
        derive: impl FnOnce(),
    ) {
        let Some((head, rest)) = records.split_first() else { return };
        let rows = self.table(memory).rows.get(first..).and_then(|rows| rows.get(..records.len()));
        let rows = rows.unwrap_or_else(|| panic!("{DAMAGED}"));
        self.arm(RUN, first, records.len() as u64, *head);
        failpoint!("containers.run.armed");
        for (row, record) in rows[1..].iter().zip(rest) {
            row.store(*record, Ordering::Release);
            failpoint!("containers.run.named");
            memory.attach(*record);
            failpoint!("containers.run.attached");
        }
        memory.attach(*head);
        failpoint!("containers.run.head_attached");
        rows[0].store(*head, Ordering::Release);
        failpoint!("containers.run.decided");
        derive();
        self.disarm();
        failpoint!("containers.run.disarmed");
    }

    /// Puts another table in the place of the present one (`new` may be 0). `fresh` are the records
    /// of the new one that are this process's own chunks, `gone` those that only the old one names.
    pub(super) fn change_table(
        &self,
        memory: &impl Cells,
        new: u64,
        fresh: &[u64],
        gone: &[u64],
        derive: impl FnOnce(),
    ) {
        let old = self.table.load(Ordering::Relaxed);
        self.arm(TABLE, 0, old, new);
        failpoint!("containers.table.armed");
        for record in fresh {
            memory.attach(*record);
            failpoint!("containers.table.record_attached");
        }
        if new != 0 {
            memory.attach(new);
            failpoint!("containers.table.attached");
        }
        self.table.store(new, Ordering::Release);
        failpoint!("containers.table.decided");
        derive();
        failpoint!("containers.table.derived");
        for record in gone {
            memory.detach(*record);
            failpoint!("containers.table.record_detached");
        }
        if old != 0 {
            memory.detach(old);
            failpoint!("containers.table.detached");
        }
        self.disarm();
        failpoint!("containers.table.disarmed");
        gone.iter().for_each(|record| memory.free_chunk(*record));
        if old != 0 {
            memory.free_chunk(old);
        }
    }

    /// Finds out what the journal's change has left over, and calls `gone` with each such chunk.
    fn settle(&self, memory: &impl Cells, mut gone: impl FnMut(u64)) {
        let mut gone = |chunk: u64| {
            if chunk != 0 {
                gone(chunk)
            }
        };
        let table = self.table.load(Ordering::Acquire);
        let (old, new) = (self.old.load(Ordering::Relaxed), self.new.load(Ordering::Relaxed));
        let first = self.row.load(Ordering::Relaxed) as usize;
        match self.journal.load(Ordering::Acquire) {
            ROW => {
                let row = Table::at_or_empty(memory, table).rows.get(first);
                let is_decided = row.is_some_and(|row| row.load(Ordering::Acquire) == new);
                gone(if is_decided { old } else { new });
            }
            RUN => {
                let rows = Table::at_or_empty(memory, table).rows;
                let rows = rows.get(first..).unwrap_or_default();
                let rows = &rows[..rows.len().min(old as usize)];
                if rows.first().is_some_and(|row| row.load(Ordering::Acquire) != new) {
                    for row in rows {
                        gone(row.load(Ordering::Relaxed));
                        failpoint!("containers.repair.run_condemned");
                        row.store(0, Ordering::Relaxed);
                    }
                    gone(new);
                }
            }
            TABLE => {
                let (kept, lost) = if table == new { (new, old) } else { (old, new) };
                let kept: HashSet<u64> =
                    Table::at_or_empty(memory, kept).named().map(|(_, record)| record).collect();
                for (_, record) in Table::at_or_empty(memory, lost).named() {
                    if !kept.contains(&record) {
                        gone(record);
                        failpoint!("containers.repair.record_condemned");
                    }
                }
                gone(lost);
            }
            _ => {}
        }
    }

    /// Settles the journal for a process that has died holding the lock. May be repeated; runs under
    /// the housekeeping lock.
    pub(super) fn repair(&self, memory: &impl Cells, dead: SlotId, derive: impl FnOnce()) {
        if !self.lock.is_held_by(dead) {
            return;
        }
        if self.journal.load(Ordering::Acquire) != IDLE {
            self.settle(memory, |chunk| memory.condemn(chunk, dead));
            failpoint!("containers.repair.settled");
            derive();
            failpoint!("containers.repair.derived");
            self.disarm();
        }
        failpoint!("containers.repair.done");
        self.lock.release_dead();
    }

    /// Settles the journal that a panic left armed. The caller has the lock.
    #[cold]
    fn recover(&self, memory: &impl Cells, derive: impl FnOnce()) {
        let mut ours = Vec::new();
        self.settle(memory, |chunk| ours.extend(memory.detach(chunk).then_some(chunk)));
        derive();
        self.disarm();
        ours.into_iter().for_each(|chunk| memory.free_chunk(chunk));
    }

    /// Frees everything in a container that nobody holds any more. May be repeated.
    pub(super) fn empty_for_good(&self, memory: &impl Cells) {
        if self.journal.load(Ordering::Acquire) != IDLE {
            self.recover(memory, || {});
        }
        let table = self.table.load(Ordering::Acquire);
        if table == 0 {
            return;
        }
        let rows = Table::at_or_empty(memory, table);
        for (row, record) in rows.named() {
            let ours = memory.detach(record);
            failpoint!("containers.destroy.detached");
            // Once a chunk is free it must not be named here any more.
            rows.rows[row].store(0, Ordering::Release);
            failpoint!("containers.destroy.forgotten");
            if ours {
                memory.free_chunk(record);
            }
        }
        let ours = memory.detach(table);
        failpoint!("containers.destroy.table_detached");
        self.table.store(0, Ordering::Release);
        failpoint!("containers.destroy.table_forgotten");
        if ours {
            memory.free_chunk(table);
        }
    }
}
