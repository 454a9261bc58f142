//! The map: records found by their keys, in the order in which the keys were first put in.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::core::{Core, DAMAGED, LockFailed, Version};
use super::rows::Table;
use super::{Cells, Record, Staged};
use crate::alloc_error::AllocError;
use crate::engine_lock::Guard;
use crate::patience::Patience;
use crate::peers::SlotId;
use crate::sync::{AtomicU64, Ordering};

const LEAST_ROWS: usize = 8;

/// A map in shared memory. All zero, with [`Map::prepare`] called, is an empty one.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Map {
    core: Core,
    /// Rows in use, removed ones between them included.
    used: AtomicU64,
    /// Rows that name a record.
    live: AtomicU64,
    /// Places of the index that are not zero.
    filled: AtomicU64,
    seeds: [AtomicU64; 2],
    pad: [AtomicU64; 3],
}

/// Where a record was found; valid until the map is changed.
///
/// ```
/// # use phalanx_shm::containers::{Key, Staged};
/// # use phalanx_shm::{containers::Map, family::Family, object::Shared, patience::Patience};
/// # mod phalanx { pub use phalanx_shm::containers as manager; }
/// use phalanx::manager::Found;
///
/// # let family = Family::get()?;
/// # let dict = Shared::new(family, |map: &Map| map.prepare([1, 2], 3))?;
/// # let draft = Staged::entry(family, Key { identity: b"apples", form: b"" }, b"five")?;
/// let mut locked = dict.lock(family, &Patience::forever())?;
/// locked.put(draft)?;
/// let found: Option<Found> = locked.find(b"apples").map(|(found, _record)| found);
/// locked.remove(found.expect("it has been put in"));
/// assert!(locked.is_empty());
/// # drop(locked);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    place: usize,
    row: usize,
}

impl Map {
    /// Sets what hashes begin with, which nobody should be able to guess, and a tag that no other
    /// object has had. Nobody else may see the map yet.
    pub fn prepare(&self, seeds: [u64; 2], tag: u64) {
        self.seeds[0].store(seeds[0], Ordering::Relaxed);
        self.seeds[1].store(seeds[1], Ordering::Relaxed);
        self.core.set_tag(tag);
    }

    /// The tag that it was given.
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.core.tag()
    }

    /// Locks the map for one or several operations, which others see as one.
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
    ) -> Result<LockedMap<'a, M>, LockFailed> {
        let guard = self.core.lock(memory, patience, || self.derive(memory))?;
        let [live, used] = [&self.live, &self.used].map(|word| word.load(Ordering::Relaxed));
        let rows = self.core.table(memory).rows.len() as u64;
        assert!(live <= used && used <= rows, "{DAMAGED}");
        Ok(LockedMap { map: self, memory, _guard: guard })
    }

    pub(super) fn hash(&self, identity: &[u8]) -> u64 {
        let [first, second] = [&self.seeds[0], &self.seeds[1]].map(|s| s.load(Ordering::Relaxed));
        let mut hasher = SipHasher13::new_with_keys(first, second);
        hasher.write(identity);
        hasher.finish()
    }

    pub(super) const fn core(&self) -> &Core {
        &self.core
    }

    /// Makes counts and index anew from the rows.
    fn derive(&self, memory: &impl Cells) {
        let table = self.core.table(memory);
        table.clear_index();
        let (mut live, mut used) = (0, 0);
        for (row, chunk) in table.named() {
            table.enter(Record { memory, chunk }.hash(), row);
            live += 1;
            used = row as u64 + 1;
        }
        self.live.store(live, Ordering::Relaxed);
        self.used.store(used, Ordering::Relaxed);
        self.filled.store(live, Ordering::Relaxed);
    }

    /// Repairs what a process that died holding the lock left half done. May be repeated.
    pub fn repair(&self, memory: &impl Cells, dead: SlotId) {
        self.core.repair(memory, dead, || self.derive(memory));
    }

    /// Frees everything in a map that nobody holds any more. May be repeated.
    pub fn empty_for_good(&self, memory: &impl Cells) {
        self.core.empty_for_good(memory);
    }
}

/// A map that this thread has locked; unlocked when dropped.
///
/// It is held for short operations only: nothing that waits or runs a user's code.
///
/// ```
/// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
/// # type Draft = Staged<'static, Family>;
/// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
/// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
/// # let apples = Key { identity: b"apples", form: b"" };
/// let [pears, plums] = [&b"pears"[..], b"plums"].map(|name| Key { identity: name, form: b"" });
/// locked.put(Draft::entry(dict.family(), pears, b"3")?)?;
/// locked.put(Draft::entry(dict.family(), plums, b"4")?)?; // others see both or none
/// assert_eq!(locked.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LockedMap<'a, M: Cells> {
    map: &'a Map,
    memory: &'a M,
    _guard: Guard<'a>,
}

impl<'a, M: Cells> LockedMap<'a, M> {
    /// The number of keys.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// locked.put(Draft::entry(dict.family(), apples, b"five")?)?;
    /// locked.put(Draft::entry(dict.family(), apples, b"six")?)?; // the same key
    /// assert_eq!(locked.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.live.load(Ordering::Relaxed) as usize
    }

    /// Whether there are no keys.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// assert!(locked.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often the map has been changed.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// let before = locked.version();
    /// locked.put(Draft::entry(dict.family(), apples, b"five")?)?;
    /// assert!(locked.version() > before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn version(&self) -> Version {
        self.map.core.version()
    }

    /// Looks for the key with that identity.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// locked.put(Draft::entry(dict.family(), apples, b"five")?)?;
    /// let mut value = Vec::new();
    /// if let Some((_found, record)) = locked.find(b"apples") {
    ///     record.value(&mut value);
    /// }
    /// assert_eq!(value, b"five");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn find(&self, identity: &[u8]) -> Option<(Found, Record<'_, M>)> {
        self.find_hashed(self.map.hash(identity), identity)
    }

    #[inline]
    fn find_hashed(&self, hash: u64, identity: &[u8]) -> Option<(Found, Record<'_, M>)> {
        let record = |chunk| Record { memory: self.memory, chunk };
        let found = self.table().find(hash, |chunk| record(chunk).is_of(hash, identity));
        found.map(|(place, row, chunk)| (Found { place, row }, record(chunk)))
    }

    /// The record that was put in last.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// assert!(locked.last().is_none());
    /// locked.put(Draft::entry(dict.family(), apples, b"five")?)?;
    /// let (found, _record) = locked.last().ok_or("it has been put in")?;
    /// locked.remove(found); // as from a stack
    /// assert!(locked.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn last(&self) -> Option<(Found, Record<'_, M>)> {
        let used = self.map.used.load(Ordering::Relaxed) as usize;
        let rows = &self.table().rows;
        let mut named = rows[..used.min(rows.len())].iter().enumerate().rev();
        let (row, chunk) = named.find_map(|(row, word)| {
            let chunk = word.load(Ordering::Acquire);
            (chunk != 0).then_some((row, chunk))
        })?;
        let record = Record { memory: self.memory, chunk };
        let (place, ..) = self.table().find(record.hash(), |other| other == chunk)?;
        Some((Found { place, row }, record))
    }

    /// The records in the order in which their keys were put in.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// for name in [&b"pears"[..], b"apples"] {
    ///     locked.put(Draft::entry(dict.family(), Key { identity: name, form: b"" }, b"5")?)?;
    /// }
    /// let mut names = Vec::new();
    /// locked.records().for_each(|record| record.identity(&mut names));
    /// assert_eq!(names, b"pearsapples"); // in the order in which they came
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn records(&self) -> impl DoubleEndedIterator<Item = Record<'_, M>> {
        let memory = self.memory;
        self.table().named().map(move |(_, chunk)| Record { memory, chunk })
    }

    /// Puts a record in, in the place of the one with the same key if there is one; that key keeps
    /// its form and its place in the order. Returns whether the key is new.
    ///
    /// # Errors
    /// [`AllocError`] when the table has to grow and there is no memory. The map is as before.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// assert!(locked.put(Draft::entry(dict.family(), apples, b"five")?)?, "it is new");
    /// assert!(!locked.put(Draft::entry(dict.family(), apples, b"six")?)?, "it was there");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put(&mut self, staged: Staged<'_, M>) -> Result<bool, AllocError> {
        let mut identity = Vec::new();
        staged.record().identity(&mut identity);
        self.put_as(&identity, staged)
    }

    /// As [`LockedMap::put`], for a caller who has the identity of the key at hand.
    ///
    /// # Errors
    /// As for [`LockedMap::put`].
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// let draft = Draft::entry(dict.family(), apples, b"five")?;
    /// locked.put_as(b"apples", draft)?; // which need not be read from shared memory
    /// assert!(locked.find(b"apples").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn put_as(&mut self, identity: &[u8], staged: Staged<'_, M>) -> Result<bool, AllocError> {
        let hash = self.map.hash(identity);
        staged.set_hash(hash);
        if let Some((found, old)) = self.find_hashed(hash, identity) {
            staged.take_form(old);
            self.map.core.change_row(self.memory, found.row, staged.into_chunk(), || {});
            return Ok(false);
        }
        let rows = self.table().rows.len() as u64;
        let used = || self.map.used.load(Ordering::Relaxed);
        if used() >= rows || self.map.filled.load(Ordering::Relaxed) >= rows {
            self.resize(self.len() + 1)?;
        }
        let row = used() as usize;
        self.map.core.change_row(self.memory, row, staged.into_chunk(), || {
            self.table().enter(hash, row);
            self.map.used.store(row as u64 + 1, Ordering::Relaxed);
            self.map.live.fetch_add(1, Ordering::Relaxed);
            self.map.filled.fetch_add(1, Ordering::Relaxed);
        });
        Ok(true)
    }

    /// Removes what was found since the map was changed last.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// locked.put(Draft::entry(dict.family(), apples, b"five")?)?;
    /// if let Some((found, _record)) = locked.find(b"apples") {
    ///     locked.remove(found);
    /// }
    /// assert!(locked.find(b"apples").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove(&mut self, found: Found) {
        let map = self.map;
        map.core.change_row(self.memory, found.row, 0, || {
            let table = self.table();
            table.leave(found.place);
            map.live.fetch_sub(1, Ordering::Relaxed);
            let mut used = map.used.load(Ordering::Relaxed) as usize;
            // What was put in last can be found at once, however much is taken from the end.
            while used > 0 && table.rows[used - 1].load(Ordering::Relaxed) == 0 {
                used -= 1;
            }
            map.used.store(used as u64, Ordering::Relaxed);
        });
        let rows = self.table().rows.len();
        if rows > 8 * LEAST_ROWS && self.len() < rows / 8 {
            // Without memory for a smaller table, the large one serves as well.
            let _ = self.resize(self.len());
        }
    }

    /// Removes everything, in one step.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// locked.put(Draft::entry(dict.family(), apples, b"five")?)?;
    /// locked.clear();
    /// assert!(locked.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&mut self) {
        if self.map.core.has_table() {
            let gone: Vec<u64> = self.table().named().map(|(_, chunk)| chunk).collect();
            let derive = || self.map.derive(self.memory);
            self.map.core.change_table(self.memory, 0, &[], &gone, derive);
        }
    }

    /// Empties the map for good: whoever locks it from now on gets [`LockFailed::Retired`].
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// use phalanx_shm::containers::LockFailed;
    ///
    /// locked.retire();
    /// let again = dict.lock(dict.family(), &Patience::forever()).map(drop);
    /// assert_eq!(again, Err(LockFailed::Retired));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retire(mut self) {
        self.map.core.retire();
        self.clear();
    }

    fn table(&self) -> Table<'a> {
        self.map.core.table(self.memory)
    }

    /// Moves to a table with room for `len` records and some more.
    #[cold]
    fn resize(&mut self, len: usize) -> Result<(), AllocError> {
        // A count that was written over does not ask for more than there can be.
        let len = len.min(self.table().rows.len() + 1);
        let rows = len.saturating_mul(2).max(LEAST_ROWS);
        let (chunk, table) = Table::create(self.memory, rows, true)?;
        for (row, (_, record)) in self.table().named().enumerate() {
            table.rows[row].store(record, Ordering::Relaxed);
        }
        let derive = || self.map.derive(self.memory);
        self.map.core.change_table(self.memory, chunk, &[], &[], derive);
        Ok(())
    }
}

#[cfg(not(loom))]
mod as_object {
    use super::Map;
    use crate::arena::Arena;
    use crate::family::Family;
    use crate::object::{ObjectKind, SharedObject};
    use crate::peers::SlotId;
    use crate::view::ShmSafe;

    // SAFETY: atomics only.
    #[allow(unsafe_code)]
    unsafe impl ShmSafe for Map {}

    // SAFETY: the kind is this type's alone; all zero is an empty map.
    #[allow(unsafe_code)]
    unsafe impl SharedObject for Map {
        const KIND: ObjectKind = ObjectKind::Map;

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
