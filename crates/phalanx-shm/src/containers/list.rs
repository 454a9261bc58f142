//! The list: records in an order that its users give them.

use std::ops::Range;

use super::core::{Core, DAMAGED, LockFailed, Version};
use super::rows::Table;
use super::{Cells, Record, Staged};
use crate::alloc_error::AllocError;
use crate::engine_lock::Guard;
use crate::patience::Patience;
use crate::peers::SlotId;
use crate::sync::{AtomicU64, Ordering};

const LEAST_ROWS: usize = 8;

/// A list in shared memory. All zero is an empty one.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct List {
    core: Core,
    /// The first row that names a record.
    start: AtomicU64,
    len: AtomicU64,
    pad: [AtomicU64; 6],
}

impl List {
    /// Gives the list a tag that no other object has had. Nobody else may see it yet.
    pub fn prepare(&self, tag: u64) {
        self.core.set_tag(tag);
    }

    /// The tag that it was given.
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.core.tag()
    }

    /// Locks the list for one or several operations, which others see as one.
    ///
    /// Without any patience it spins for some microseconds at most, and does not sleep.
    ///
    /// # Errors
    /// [`LockFailed`]: only a process that was stopped while it held the lock exhausts patience of
    /// more than some milliseconds.
    #[inline]
    pub fn lock<'a, M: Cells>(
        &'a self,
        memory: &'a M,
        patience: &Patience<'_>,
    ) -> Result<LockedList<'a, M>, LockFailed> {
        let guard = self.core.lock(memory, patience, || self.derive(memory))?;
        let (start, len) = self.range();
        let end = start.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.core.table(memory).rows.len()), "{DAMAGED}");
        Ok(LockedList { list: self, memory, _guard: guard })
    }

    /// Makes start and length anew from the rows.
    fn derive(&self, memory: &impl Cells) {
        let table = self.core.table(memory);
        let first = table.named().next().map_or(0, |(row, _)| row);
        let is_named = |word: &&AtomicU64| word.load(Ordering::Relaxed) != 0;
        let len = table.rows[first..].iter().take_while(is_named).count();
        self.set_range(first, len);
    }

    pub(super) const fn core(&self) -> &Core {
        &self.core
    }

    /// Start and length, to be read without the lock.
    pub(super) fn range(&self) -> (usize, usize) {
        let [start, len] = [&self.start, &self.len].map(|word| word.load(Ordering::Acquire));
        (start as usize, len as usize)
    }

    fn set_range(&self, start: usize, len: usize) {
        self.start.store(if len == 0 { 0 } else { start as u64 }, Ordering::Relaxed);
        self.len.store(len as u64, Ordering::Relaxed);
    }

    /// Repairs what a process that died holding the lock left half done. May be repeated.
    pub fn repair(&self, memory: &impl Cells, dead: SlotId) {
        self.core.repair(memory, dead, || self.derive(memory));
    }

    /// Frees everything in a list that nobody holds any more. May be repeated.
    pub fn empty_for_good(&self, memory: &impl Cells) {
        self.core.empty_for_good(memory);
    }
}

/// A list that this thread has locked; unlocked when dropped.
///
/// It is held for short operations only: nothing that waits or runs a user's code.
///
/// ```
/// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
/// # type Draft = Staged<'static, Family>;
/// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
/// # let mut locked = list.lock(list.family(), &Patience::forever())?;
/// # let item = |value: &[u8]| Draft::item(list.family(), value);
/// # let text = |record: Record<'_, Family>| {
/// #     let mut bytes = Vec::new();
/// #     record.value(&mut bytes);
/// #     String::from_utf8_lossy(&bytes).into_owned()
/// # };
/// locked.push(item(b"one")?)?;
/// locked.push(item(b"two")?)?; // others see both or none
/// assert_eq!(locked.records().map(text).collect::<Vec<_>>(), ["one", "two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LockedList<'a, M: Cells> {
    list: &'a List,
    memory: &'a M,
    _guard: Guard<'a>,
}

impl<'a, M: Cells> LockedList<'a, M> {
    /// The number of items.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// locked.extend(vec![item(b"one")?, item(b"two")?])?;
    /// assert_eq!(locked.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len.load(Ordering::Relaxed) as usize
    }

    /// Whether there are no items.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// assert!(locked.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often the list has been changed.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// let before = locked.version();
    /// locked.push(item(b"one")?)?;
    /// assert!(locked.version() > before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn version(&self) -> Version {
        self.list.core.version()
    }

    fn start(&self) -> usize {
        self.list.start.load(Ordering::Relaxed) as usize
    }

    fn table(&self) -> Table<'a> {
        self.list.core.table(self.memory)
    }

    fn rows(&self) -> &'a [AtomicU64] {
        let rows = self.table().rows;
        let start = self.start().min(rows.len());
        &rows[start..][..self.len().min(rows.len() - start)]
    }

    /// The item at an index, if it is less than the length.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// locked.push(item(b"one")?)?;
    /// assert_eq!(locked.get(0).map(text).as_deref(), Some("one"));
    /// assert!(locked.get(1).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Record<'_, M>> {
        let chunk = self.rows().get(index)?.load(Ordering::Acquire);
        Some(Record { memory: self.memory, chunk })
    }

    /// All items in order.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// locked.extend(vec![item(b"one")?, item(b"two")?])?;
    /// assert_eq!(locked.records().rev().map(text).collect::<Vec<_>>(), ["two", "one"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn records(&self) -> impl DoubleEndedIterator<Item = Record<'_, M>> {
        let memory = self.memory;
        self.rows().iter().map(move |row| Record { memory, chunk: row.load(Ordering::Acquire) })
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    /// [`AllocError`] when the table has to grow and there is no memory. The list is as before.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// locked.push(item(b"one")?)?;
    /// assert_eq!(locked.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn push(&mut self, staged: Staged<'_, M>) -> Result<(), AllocError> {
        self.make_room(1)?;
        let (start, len) = (self.start(), self.len());
        self.list.core.change_row(self.memory, start + len, staged.into_chunk(), || {
            self.list.set_range(start, len + 1);
        });
        Ok(())
    }

    /// Adds items at the end: all, or none.
    ///
    /// # Errors
    /// [`AllocError`], as for [`LockedList::push`].
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// locked.push(item(b"one")?)?;
    /// locked.extend(vec![item(b"two")?, item(b"three")?])?;
    /// assert_eq!(locked.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn extend(&mut self, staged: Vec<Staged<'_, M>>) -> Result<(), AllocError> {
        self.make_room(staged.len())?;
        let (start, len) = (self.start(), self.len());
        let chunks: Vec<u64> = staged.into_iter().map(Staged::into_chunk).collect();
        self.list.core.fill_rows(self.memory, start + len, &chunks, || {
            self.list.set_range(start, len + chunks.len());
        });
        Ok(())
    }

    /// Replaces the item at an index.
    ///
    /// # Panics
    /// When the index is not less than the length.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// locked.push(item(b"one")?)?;
    /// locked.set(0, item(b"another")?);
    /// assert_eq!(locked.get(0).map(text).as_deref(), Some("another"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn set(&mut self, index: usize, staged: Staged<'_, M>) {
        assert!(index < self.len(), "index {index} of a list of {}", self.len());
        self.list.core.change_row(self.memory, self.start() + index, staged.into_chunk(), || {});
    }

    /// Removes the item at an index.
    ///
    /// # Errors
    /// [`AllocError`] when the item is inside and there is no memory for another table. The list is
    /// as before.
    ///
    /// # Panics
    /// When the index is not less than the length.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// locked.extend(vec![item(b"one")?, item(b"two")?])?;
    /// locked.remove(0)?;
    /// assert_eq!(locked.records().map(text).collect::<Vec<_>>(), ["two"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove(&mut self, index: usize) -> Result<(), AllocError> {
        let (start, len) = (self.start(), self.len());
        assert!(index < len, "index {index} of a list of {len}");
        let new_start = if index == 0 { start + 1 } else { start };
        if index == 0 || index + 1 == len {
            self.list.core.change_row(self.memory, start + index, 0, || {
                self.list.set_range(new_start, len - 1);
            });
            self.shrink();
            return Ok(());
        }
        self.splice(index..index + 1, Vec::new())
    }

    /// Puts items in the place of those of a range, in one step.
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory for another table. The list is as before.
    ///
    /// # Panics
    /// When the range is not inside the list.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// locked.extend(vec![item(b"one")?, item(b"two")?, item(b"three")?])?;
    /// locked.splice(0..2, vec![item(b"1 and 2")?])?;
    /// assert_eq!(locked.records().map(text).collect::<Vec<_>>(), ["1 and 2", "three"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn splice(
        &mut self,
        range: Range<usize>,
        staged: Vec<Staged<'_, M>>,
    ) -> Result<(), AllocError> {
        let len = self.len();
        if range == (len..len) {
            return self.extend(staged);
        }
        let old: Vec<u64> = self.chunks();
        let gone = &old[range.clone()];
        if range == (0..0) && staged.len() == 1 && self.start() > 0 {
            return self.push_front(staged);
        }
        let fresh: Vec<u64> = staged.iter().map(|staged| staged.record().chunk).collect();
        let new = [&old[..range.start], &fresh, &old[range.end..]].concat();
        // Who puts one thing in front will put more there.
        let slack = if range.start == 0 && fresh.len() > gone.len() { len / 2 + 4 } else { 0 };
        self.replace(&new, slack, staged, gone)
    }

    fn push_front(&mut self, staged: Vec<Staged<'_, M>>) -> Result<(), AllocError> {
        let (start, len) = (self.start(), self.len());
        for staged in staged {
            self.list.core.change_row(self.memory, start - 1, staged.into_chunk(), || {
                self.list.set_range(start - 1, len + 1);
            });
        }
        Ok(())
    }

    /// Makes the list what `order` says, in one step: each number below the length stands for the
    /// item that has that index now, each other one for a new item (the length for the first of
    /// them). Items that are not named are removed, or never put in.
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory for another table. The list is as before.
    ///
    /// # Panics
    /// When a number stands for nothing, or is there twice.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// locked.extend(vec![item(b"one")?, item(b"two")?, item(b"three")?])?;
    /// // The last first, then a new one; the others go.
    /// locked.rearrange(&[2, 3], vec![item(b"four")?])?;
    /// assert_eq!(locked.records().map(text).collect::<Vec<_>>(), ["three", "four"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rearrange(
        &mut self,
        order: &[usize],
        staged: Vec<Staged<'_, M>>,
    ) -> Result<(), AllocError> {
        let mut old = self.chunks();
        let len = old.len();
        let mut staged: Vec<Option<Staged<'_, M>>> = staged.into_iter().map(Some).collect();
        let mut fresh = Vec::new();
        let mut take = |number: usize| {
            if number >= len {
                let staged = staged[number - len].take().expect("a new item is put in once");
                let chunk = staged.record().chunk;
                fresh.push(staged);
                return chunk;
            }
            let chunk = std::mem::replace(&mut old[number], 0);
            assert!(chunk != 0, "item {number} cannot be in two places");
            chunk
        };
        let new: Vec<u64> = order.iter().map(|number| take(*number)).collect();
        old.retain(|chunk| *chunk != 0);
        self.replace(&new, 0, fresh, &old)
    }

    /// Removes everything, in one step.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// locked.extend(vec![item(b"one")?, item(b"two")?])?;
    /// locked.clear();
    /// assert!(locked.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&mut self) {
        if self.list.core.has_table() {
            let gone = self.chunks();
            let derive = || self.list.derive(self.memory);
            self.list.core.change_table(self.memory, 0, &[], &gone, derive);
        }
    }

    /// Empties the list for good: whoever locks it from now on gets [`LockFailed::Retired`].
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, List, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let list = Shared::new(Family::get()?, |list: &List| list.prepare(3))?;
    /// # let mut locked = list.lock(list.family(), &Patience::forever())?;
    /// # let item = |value: &[u8]| Draft::item(list.family(), value);
    /// # let text = |record: Record<'_, Family>| {
    /// #     let mut bytes = Vec::new();
    /// #     record.value(&mut bytes);
    /// #     String::from_utf8_lossy(&bytes).into_owned()
    /// # };
    /// use phalanx_shm::containers::LockFailed;
    ///
    /// locked.retire();
    /// let again = list.lock(list.family(), &Patience::forever()).map(drop);
    /// assert_eq!(again, Err(LockFailed::Retired));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retire(mut self) {
        self.list.core.retire();
        self.clear();
    }

    fn chunks(&self) -> Vec<u64> {
        self.rows().iter().map(|row| row.load(Ordering::Acquire)).collect()
    }

    /// Moves to a table with these records; `staged` are those of them that are new, `gone` those of
    /// the present ones that are not among them.
    fn replace(
        &mut self,
        records: &[u64],
        slack: usize,
        staged: Vec<Staged<'_, M>>,
        gone: &[u64],
    ) -> Result<(), AllocError> {
        let back = records.len() / 4;
        let rows = (slack + records.len() + back).max(LEAST_ROWS);
        let (chunk, table) = Table::create(self.memory, rows, false)?;
        for (row, record) in table.rows[slack..].iter().zip(records) {
            row.store(*record, Ordering::Relaxed);
        }
        let fresh: Vec<u64> = staged.into_iter().map(Staged::into_chunk).collect();
        self.list.core.change_table(self.memory, chunk, &fresh, gone, || {
            self.list.set_range(slack, records.len());
        });
        Ok(())
    }

    /// Makes room for more items at the end.
    #[inline]
    fn make_room(&mut self, more: usize) -> Result<(), AllocError> {
        let needed = self.start().saturating_add(self.len()).saturating_add(more);
        if needed <= self.table().rows.len() { Ok(()) } else { self.resize(more) }
    }

    #[cold]
    fn resize(&mut self, more: usize) -> Result<(), AllocError> {
        let records = self.chunks();
        let rows = records.len().saturating_add(more).saturating_mul(2).max(LEAST_ROWS);
        let (chunk, table) = Table::create(self.memory, rows, false)?;
        for (row, record) in table.rows.iter().zip(&records) {
            row.store(*record, Ordering::Relaxed);
        }
        self.list.core.change_table(self.memory, chunk, &[], &[], || {
            self.list.set_range(0, records.len());
        });
        Ok(())
    }

    /// Gives back a table that is much too large.
    fn shrink(&mut self) {
        let rows = self.table().rows.len();
        if rows > 8 * LEAST_ROWS && self.len() < rows / 8 {
            // Without memory for a smaller table, the large one serves as well.
            let _ = self.resize(0);
        }
    }
}

#[cfg(not(loom))]
mod as_object {
    use super::List;
    use crate::arena::Arena;
    use crate::family::Family;
    use crate::object::{ObjectKind, SharedObject};
    use crate::peers::SlotId;
    use crate::view::ShmSafe;

    // SAFETY: atomics only.
    #[allow(unsafe_code)]
    unsafe impl ShmSafe for List {}

    // SAFETY: the kind is this type's alone; all zero is an empty list.
    #[allow(unsafe_code)]
    unsafe impl SharedObject for List {
        const KIND: ObjectKind = ObjectKind::List;

        fn on_death(&self, dead: SlotId, family: &Family) {
            self.repair(family, dead);
        }

        fn on_destroy(&self, family: &Family) {
            self.empty_for_good(family);
        }

        fn describe(&self, _arena: &Arena) -> String {
            self.core.describe()
        }
    }
}
