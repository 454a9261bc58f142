//! Lists of typed values.

use std::fmt;
use std::marker::PhantomData;

use phalanx_shm::containers::Key;
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::SlotId;

use super::AccessError;
use super::dict::{decoded, value_of};
use super::draft::Draft;
use super::raw::{LockedList, RawList};
use crate::sync::CreateError;
use crate::wire::{self, Message};

/// A list that processes share. Clones are handles to the same one; a handle among the arguments of a
/// process that is started makes that process a holder.
///
/// What is read is a copy, so an item is changed by [`List::set`] or [`List::update`]. Every operation
/// is one step for all other processes. At both ends items are added and removed in less than a
/// microsecond where nobody else is at it; inside, as with a vector, in proportion to the length.
///
/// Killed at any instruction, a process leaves the list as it was or as it was to become.
///
/// ```
/// use phalanx::manager::List;
///
/// let names: List<String> = List::new()?;
/// names.push(&"Ada".to_owned())?;
/// names.extend(["Grace".to_owned(), "Edsger".to_owned()])?;
/// assert_eq!(names.pop()?.as_deref(), Some("Edsger"));
/// assert_eq!(names.to_vec()?, ["Ada", "Grace"]);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct List<T> {
    raw: RawList,
    kind: PhantomData<fn(T) -> T>,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self::of(self.raw.clone())
    }
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("List").field(&self.raw).finish()
    }
}

impl<T> List<T> {
    pub(crate) fn of(raw: RawList) -> Self {
        Self { raw, kind: PhantomData }
    }

    /// A handle to the list at `offset`, of which this process was made a holder.
    ///
    /// # Errors
    /// [`CreateError`] when it was not, or the object is of another kind.
    pub fn from_offset(offset: u64) -> Result<Self, CreateError> {
        RawList::from_offset(offset).map(Self::of)
    }

    /// Where the list lies in shared memory: what another process of the family makes a handle of.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.raw.name()[0]
    }

    /// Gives another process a hold, before the offset is sent to it.
    pub fn hold_for(&self, slot: SlotId) {
        self.raw.hold_for(slot);
    }

    /// The list without its type.
    #[must_use]
    pub fn raw(&self) -> &RawList {
        &self.raw
    }
}

impl<T: Message> List<T> {
    /// A new list with nothing in it.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    pub fn new() -> Result<Self, CreateError> {
        RawList::new().map(Self::of)
    }

    fn lock(&self) -> Result<LockedList<'_>, AccessError> {
        Ok(self.raw.lock(&Patience::forever())?)
    }

    fn draft(&self, value: &T) -> Result<Draft, AccessError> {
        let mut bytes = Vec::new();
        wire::encode(value, &mut bytes)?;
        Ok(Draft::entry(self.raw.family(), Key::default(), &bytes)?)
    }

    fn fetch(&self, index: usize) -> Result<Option<Vec<u8>>, AccessError> {
        Ok(self.lock()?.get(index).map(value_of))
    }

    /// The item at an index, if there is one.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn get(&self, index: usize) -> Result<Option<T>, AccessError> {
        Ok(self.fetch(index)?.map(|bytes| wire::decode(&bytes)).transpose()?)
    }

    /// Replaces the item at an index; returns whether there is one.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn set(&self, index: usize, value: &T) -> Result<bool, AccessError> {
        let draft = self.draft(value)?;
        let mut locked = self.lock()?;
        let there = index < locked.len();
        if there {
            locked.set(index, draft);
        }
        Ok(there)
    }

    /// Changes the item at an index to what `change` makes of it, so that no other change of it comes
    /// between; returns whether there is such an item.
    ///
    /// `change` is not called under a lock, and again whenever the item has changed meanwhile.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn update(
        &self,
        index: usize,
        mut change: impl FnMut(T) -> T,
    ) -> Result<bool, AccessError> {
        loop {
            let Some(old) = self.fetch(index)? else { return Ok(false) };
            let draft = self.draft(&change(wire::decode(&old)?))?;
            let mut locked = self.lock()?;
            if locked.get(index).map(value_of).as_ref() == Some(&old) {
                locked.set(index, draft);
                return Ok(true);
            }
        }
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn push(&self, value: &T) -> Result<(), AccessError> {
        let draft = self.draft(value)?;
        Ok(self.lock()?.push(draft)?)
    }

    /// Adds items at the end, in one step: all or none.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn extend(&self, values: impl IntoIterator<Item = T>) -> Result<(), AccessError> {
        let drafts: Vec<_> =
            values.into_iter().map(|value| self.draft(&value)).collect::<Result<_, _>>()?;
        Ok(self.lock()?.extend(drafts)?)
    }

    /// Inserts an item before an index, or at the end if the list is not so long.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn insert(&self, index: usize, value: &T) -> Result<(), AccessError> {
        let draft = self.draft(value)?;
        let mut locked = self.lock()?;
        let at = index.min(locked.len());
        Ok(locked.splice(at..at, vec![draft])?)
    }

    /// Removes the last item.
    ///
    /// # Errors
    /// [`AccessError`]. An item that does not decode is removed.
    pub fn pop(&self) -> Result<Option<T>, AccessError> {
        self.take(|len| len.checked_sub(1))
    }

    /// Removes the item at an index, if there is one.
    ///
    /// # Errors
    /// [`AccessError`]. An item that does not decode is removed.
    pub fn remove(&self, index: usize) -> Result<Option<T>, AccessError> {
        self.take(|_| Some(index))
    }

    fn take(&self, which: impl FnOnce(usize) -> Option<usize>) -> Result<Option<T>, AccessError> {
        let mut locked = self.lock()?;
        let Some(index) = which(locked.len()) else { return Ok(None) };
        let Some(bytes) = locked.get(index).map(value_of) else { return Ok(None) };
        locked.remove(index)?;
        drop(locked);
        Ok(Some(wire::decode(&bytes)?))
    }

    /// The number of items.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn len(&self) -> Result<usize, AccessError> {
        Ok(self.lock()?.len())
    }

    /// Whether there are no items.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn is_empty(&self) -> Result<bool, AccessError> {
        Ok(self.len()? == 0)
    }

    /// Removes everything, in one step.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn clear(&self) -> Result<(), AccessError> {
        self.lock()?.clear();
        Ok(())
    }

    /// Reverses the order of the items, in one step.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn reverse(&self) -> Result<(), AccessError> {
        let mut locked = self.lock()?;
        let order: Vec<usize> = (0..locked.len()).rev().collect();
        Ok(locked.rearrange(&order, Vec::new())?)
    }

    /// Sorts the items by a key, equal ones staying in order, in one step.
    ///
    /// `key` is not called under a lock, and again whenever the list has changed meanwhile.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn sort_by_key<O: Ord>(&self, mut key: impl FnMut(&T) -> O) -> Result<(), AccessError> {
        loop {
            let (copies, version) = {
                let locked = self.lock()?;
                (locked.records().map(value_of).collect(), locked.version())
            };
            let items: Vec<T> = decoded(copies)?;
            let mut order: Vec<usize> = (0..items.len()).collect();
            order.sort_by_cached_key(|index| key(&items[*index]));
            let mut locked = self.lock()?;
            if locked.version() == version {
                return Ok(locked.rearrange(&order, Vec::new())?);
            }
        }
    }

    /// The items at one instant.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn to_vec(&self) -> Result<Vec<T>, AccessError> {
        let copies = self.lock()?.records().map(value_of).collect();
        decoded(copies)
    }
}

crate::wire::handle::passed_by_offset!([T] List<T>, "a list");
