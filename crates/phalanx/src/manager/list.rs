//! Lists of typed values.

use std::fmt;
use std::marker::PhantomData;

use phalanx_shm::patience::Patience;

use super::AccessError;
use super::dict::{done, encoded};
use super::line::{Remote, unexpected};
use super::operation::{Answer, ListOperation, When};
use super::passed::passed;
use super::raw::RawList;
use crate::sync::CreateError;
use crate::wire::{self, DecodeError, Message};

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
    place: Place,
    kind: PhantomData<fn(T) -> T>,
}

/// Where a list is reached.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Here(RawList),
    Served(Remote),
}

impl Place {
    fn run(&self, operation: ListOperation<'_>) -> Result<Answer, AccessError> {
        match self {
            Self::Here(raw) => operation.run(raw, &Patience::forever()),
            Self::Served(remote) => remote.list(operation),
        }
    }
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self::at(self.place.clone())
    }
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("List").field(&self.place).finish()
    }
}

impl<T> List<T> {
    pub(super) const fn at(place: Place) -> Self {
        Self { place, kind: PhantomData }
    }

    /// The list without its type, if it lies in this process's shared memory.
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// assert!(list.raw().is_some(), "it lies in memory of this process, and nobody serves it");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub const fn raw(&self) -> Option<&RawList> {
        match &self.place {
            Place::Here(raw) => Some(raw),
            Place::Served(_) => None,
        }
    }
}

impl<T> From<RawList> for List<T> {
    fn from(raw: RawList) -> Self {
        Self::at(Place::Here(raw))
    }
}

impl<T: Message> List<T> {
    /// A new list with nothing in it, which no manager knows.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let log = List::<String>::new()?;
    /// Process::fork(|| log.push(&"from the child".to_owned()).is_ok())?.join()?;
    /// assert_eq!(log.to_vec()?, ["from the child"]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new() -> Result<Self, CreateError> {
        RawList::new().map(Self::from)
    }

    fn run(&self, operation: ListOperation<'_>) -> Result<Answer, AccessError> {
        self.place.run(operation)
    }

    /// The bytes that an operation gives, if any.
    fn bytes(&self, operation: ListOperation<'_>) -> Result<Option<Vec<u8>>, AccessError> {
        match self.run(operation)? {
            Answer::Value(bytes) => Ok(Some(bytes)),
            Answer::Nothing => Ok(None),
            _ => Err(unexpected()),
        }
    }

    fn value(&self, operation: ListOperation<'_>) -> Result<Option<T>, AccessError> {
        Ok(self.bytes(operation)?.map(|bytes| wire::decode(&bytes)).transpose()?)
    }

    fn copies(&self) -> Result<(u64, Vec<T>), AccessError> {
        match self.run(ListOperation::Copy)? {
            Answer::Items(version, items) => {
                let values = items.iter().map(|bytes| wire::decode(bytes));
                Ok((version, values.collect::<Result<_, DecodeError>>()?))
            }
            _ => Err(unexpected()),
        }
    }

    /// The item at an index, if there is one.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let list = phalanx::manager::List::<char>::new()?;
    /// list.extend("ab".chars())?;
    /// assert_eq!((list.get(1)?, list.get(2)?), (Some('b'), None));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn get(&self, index: usize) -> Result<Option<T>, AccessError> {
        self.value(ListOperation::Get(index))
    }

    /// Replaces the item at an index; returns whether there is one.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// list.extend([1, 2])?;
    /// assert!(list.set(1, &20)? && !list.set(2, &30)?);
    /// assert_eq!(list.to_vec()?, [1, 20]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn set(&self, index: usize, value: &T) -> Result<bool, AccessError> {
        match self.run(ListOperation::Put(index, &encoded(value)?, When::Always))? {
            Answer::Done => Ok(true),
            Answer::Nothing => Ok(false),
            _ => Err(unexpected()),
        }
    }

    /// Changes the item at an index to what `change` makes of it, so that no other change of it comes
    /// between; returns whether there is such an item.
    ///
    /// `change` is not called under a lock, and again whenever the item has changed meanwhile.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let scores = phalanx::manager::List::<u64>::new()?;
    /// scores.push(&1)?;
    /// assert!(scores.update(0, |score| score + 10)?);
    /// assert!(!scores.update(1, |score| score)?, "there is no such item");
    /// assert_eq!(scores.get(0)?, Some(11));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn update(
        &self,
        index: usize,
        mut change: impl FnMut(T) -> T,
    ) -> Result<bool, AccessError> {
        loop {
            let Some(old) = self.bytes(ListOperation::Get(index))? else { return Ok(false) };
            let new = encoded(&change(wire::decode(&old)?))?;
            match self.run(ListOperation::Put(index, &new, When::Same(&old)))? {
                Answer::Done => return Ok(true),
                Answer::Nothing | Answer::Refused => {}
                _ => return Err(unexpected()),
            }
        }
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// list.push(&7)?;
    /// list.push(&8)?;
    /// assert_eq!(list.to_vec()?, [7, 8]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn push(&self, value: &T) -> Result<(), AccessError> {
        done(self.run(ListOperation::Push(&encoded(value)?))?)
    }

    /// Adds items at the end, in one step: all or none.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// list.push(&0)?;
    /// list.extend(1..4)?; // others see all three or none
    /// assert_eq!(list.to_vec()?, [0, 1, 2, 3]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn extend(&self, values: impl IntoIterator<Item = T>) -> Result<(), AccessError> {
        let items: Vec<_> =
            values.into_iter().map(|value| encoded(&value)).collect::<Result<_, _>>()?;
        let items = items.iter().map(|item| &**item).collect();
        done(self.run(ListOperation::Insert(usize::MAX, items))?)
    }

    /// Inserts an item before an index, or at the end if the list is not so long.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// list.extend([1, 3])?;
    /// list.insert(1, &2)?;
    /// list.insert(100, &4)?;
    /// assert_eq!(list.to_vec()?, [1, 2, 3, 4]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn insert(&self, index: usize, value: &T) -> Result<(), AccessError> {
        done(self.run(ListOperation::Insert(index, vec![&encoded(value)?]))?)
    }

    /// Removes the last item.
    ///
    /// # Errors
    /// [`AccessError`]. An item that does not decode is removed.
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// list.extend([1, 2])?;
    /// assert_eq!((list.pop()?, list.pop()?, list.pop()?), (Some(2), Some(1), None));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn pop(&self) -> Result<Option<T>, AccessError> {
        self.value(ListOperation::RemoveLast)
    }

    /// Removes the item at an index, if there is one.
    ///
    /// # Errors
    /// [`AccessError`]. An item that does not decode is removed.
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// list.extend([1, 2, 3])?;
    /// assert_eq!((list.remove(1)?, list.remove(5)?), (Some(2), None));
    /// assert_eq!(list.len()?, 2);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn remove(&self, index: usize) -> Result<Option<T>, AccessError> {
        self.value(ListOperation::Remove(index))
    }

    /// The number of items.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// list.extend(0..100)?;
    /// assert_eq!(list.len()?, 100);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn len(&self) -> Result<usize, AccessError> {
        match self.run(ListOperation::Len)? {
            Answer::Count(count) => Ok(count as usize),
            _ => Err(unexpected()),
        }
    }

    /// Whether there are no items.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// assert!(list.is_empty()?);
    /// list.push(&7)?;
    /// assert!(!list.is_empty()?);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, AccessError> {
        Ok(self.len()? == 0)
    }

    /// Removes everything, in one step.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// list.extend(0..100)?;
    /// list.clear()?;
    /// assert_eq!(list.pop()?, None);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn clear(&self) -> Result<(), AccessError> {
        done(self.run(ListOperation::Clear)?)
    }

    /// Reverses the order of the items, in one step.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// list.extend(0..3)?;
    /// list.reverse()?;
    /// assert_eq!(list.to_vec()?, [2, 1, 0]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn reverse(&self) -> Result<(), AccessError> {
        done(self.run(ListOperation::Reverse)?)
    }

    /// Sorts the items by a key, equal ones staying in order, in one step.
    ///
    /// `key` is not called under a lock, and again whenever the list has changed meanwhile.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let words = phalanx::manager::List::<String>::new()?;
    /// words.extend(["three", "one", "two"].map(str::to_owned))?;
    /// words.sort_by_key(|word| word.len())?;
    /// assert_eq!(words.to_vec()?, ["one", "two", "three"]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn sort_by_key<O: Ord>(&self, mut key: impl FnMut(&T) -> O) -> Result<(), AccessError> {
        loop {
            let (version, items) = self.copies()?;
            let mut order: Vec<usize> = (0..items.len()).collect();
            order.sort_by_cached_key(|index| key(&items[*index]));
            match self.run(ListOperation::Rearrange(version, order))? {
                Answer::Done => return Ok(()),
                Answer::Refused => {}
                _ => return Err(unexpected()),
            }
        }
    }

    /// The items at one instant.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let list = phalanx::manager::List::<u64>::new()?;
    /// list.extend(0..3)?;
    /// let copy = list.to_vec()?;
    /// list.clear()?;
    /// assert_eq!(copy, [0, 1, 2]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn to_vec(&self) -> Result<Vec<T>, AccessError> {
        Ok(self.copies()?.1)
    }
}

passed!([T] List<T>, RawList, "a list");
