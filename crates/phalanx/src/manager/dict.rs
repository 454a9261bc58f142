//! Dictionaries of typed keys and values.

use std::fmt;
use std::marker::PhantomData;

use phalanx_shm::containers::Key;
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::SlotId;

use super::AccessError;
use super::draft::{Draft, Stored};
use super::raw::{LockedDict, RawDict};
use crate::sync::CreateError;
use crate::wire::{self, DecodeError, Message};

/// A dictionary that processes share. Clones are handles to the same one; a handle among the
/// arguments of a process that is started makes that process a holder.
///
/// What is read is a copy, so a value is changed by storing another one, or by [`Dict::update`]. Keys
/// are the same if they are encoded alike; they stay in the order in which they were first put in.
/// Every operation is one step for all other processes, and takes less than a microsecond where nobody
/// else is at it.
///
/// Killed at any instruction, a process leaves each entry as it was or as it was to become.
///
/// ```
/// use phalanx::manager::Dict;
///
/// let stock: Dict<String, u32> = Dict::new()?;
/// stock.insert(&"apples".to_owned(), &5)?;
/// stock.update(&"apples".to_owned(), |count| Some(count.unwrap_or(0) + 1))?;
/// assert_eq!(stock.get(&"apples".to_owned())?, Some(6));
/// assert_eq!(stock.entries()?, [("apples".to_owned(), 6)]);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Dict<K, V> {
    raw: RawDict,
    kinds: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Dict<K, V> {
    fn clone(&self) -> Self {
        Self::of(self.raw.clone())
    }
}

impl<K, V> fmt::Debug for Dict<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dict").field(&self.raw).finish()
    }
}

impl<K, V> Dict<K, V> {
    pub(crate) fn of(raw: RawDict) -> Self {
        Self { raw, kinds: PhantomData }
    }

    /// A handle to the dictionary at `offset`, of which this process was made a holder.
    ///
    /// # Errors
    /// [`CreateError`] when it was not, or the object is of another kind.
    pub fn from_offset(offset: u64) -> Result<Self, CreateError> {
        RawDict::from_offset(offset).map(Self::of)
    }

    /// Where the dictionary lies in shared memory: what another process of the family makes a handle of.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.raw.name()[0]
    }

    /// Gives another process a hold, before the offset is sent to it.
    pub fn hold_for(&self, slot: SlotId) {
        self.raw.hold_for(slot);
    }

    /// The dictionary without its types.
    #[must_use]
    pub fn raw(&self) -> &RawDict {
        &self.raw
    }
}

impl<K: Message, V: Message> Dict<K, V> {
    /// A new dictionary with nothing in it.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    pub fn new() -> Result<Self, CreateError> {
        RawDict::new().map(Self::of)
    }

    fn lock(&self) -> Result<LockedDict<'_>, AccessError> {
        Ok(self.raw.lock(&Patience::forever())?)
    }

    fn key(key: &K) -> Result<Vec<u8>, AccessError> {
        let mut bytes = Vec::new();
        wire::encode(key, &mut bytes)?;
        Ok(bytes)
    }

    fn draft(&self, key: &[u8], value: &V) -> Result<Draft, AccessError> {
        let mut bytes = Vec::new();
        wire::encode(value, &mut bytes)?;
        Ok(Draft::entry(self.raw.family(), Key { identity: key, form: &[] }, &bytes)?)
    }

    /// The bytes of a key's value.
    fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, AccessError> {
        let locked = self.lock()?;
        Ok(locked.find(key).map(|(_, stored)| value_of(stored)))
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn get(&self, key: &K) -> Result<Option<V>, AccessError> {
        Ok(self.fetch(&Self::key(key)?)?.map(|bytes| wire::decode(&bytes)).transpose()?)
    }

    /// Whether the key is there.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn contains_key(&self, key: &K) -> Result<bool, AccessError> {
        Ok(self.lock()?.find(&Self::key(key)?).is_some())
    }

    /// Sets the value of a key; returns whether the key is new.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn insert(&self, key: &K, value: &V) -> Result<bool, AccessError> {
        let key = Self::key(key)?;
        let draft = self.draft(&key, value)?;
        Ok(self.lock()?.put_as(&key, draft)?)
    }

    /// Sets the values of several keys, in one step for all others.
    ///
    /// # Errors
    /// [`AccessError`]. Without memory for all of them some may have been set.
    pub fn extend(&self, entries: impl IntoIterator<Item = (K, V)>) -> Result<(), AccessError> {
        let draft = |(key, value): (K, V)| -> Result<_, AccessError> {
            let key = Self::key(&key)?;
            let draft = self.draft(&key, &value)?;
            Ok((key, draft))
        };
        let drafts: Vec<_> = entries.into_iter().map(draft).collect::<Result<_, _>>()?;
        let mut locked = self.lock()?;
        for (key, draft) in drafts {
            locked.put_as(&key, draft)?;
        }
        Ok(())
    }

    /// Removes a key and returns its value.
    ///
    /// # Errors
    /// [`AccessError`]. A value that does not decode is removed.
    pub fn remove(&self, key: &K) -> Result<Option<V>, AccessError> {
        let key = Self::key(key)?;
        let mut locked = self.lock()?;
        let Some((found, stored)) = locked.find(&key) else { return Ok(None) };
        let value = value_of(stored);
        locked.remove(found);
        drop(locked);
        Ok(Some(wire::decode(&value)?))
    }

    /// Removes the key that was put in last; returns it and its value.
    ///
    /// # Errors
    /// [`AccessError`]. An entry that does not decode is removed.
    pub fn pop_last(&self) -> Result<Option<(K, V)>, AccessError> {
        let mut locked = self.lock()?;
        let Some((found, stored)) = locked.last() else { return Ok(None) };
        let (key, value) = (key_of(stored), value_of(stored));
        locked.remove(found);
        drop(locked);
        Ok(Some((wire::decode(&key)?, wire::decode(&value)?)))
    }

    /// The value of a key, which `make` makes if the key is not there.
    ///
    /// `make` is not called under a lock. When another process was quicker, its value is returned.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn get_or_insert_with(&self, key: &K, make: impl FnOnce() -> V) -> Result<V, AccessError> {
        let key = Self::key(key)?;
        if let Some(bytes) = self.fetch(&key)? {
            return Ok(wire::decode(&bytes)?);
        }
        let value = make();
        let draft = self.draft(&key, &value)?;
        let mut locked = self.lock()?;
        if let Some((_, stored)) = locked.find(&key) {
            let bytes = value_of(stored);
            drop(locked);
            return Ok(wire::decode(&bytes)?);
        }
        locked.put_as(&key, draft)?;
        Ok(value)
    }

    /// Changes the value of a key to what `change` makes of it (`None`: the key is, or is to be,
    /// absent), so that no other change of that key comes between.
    ///
    /// `change` is not called under a lock, and again whenever the value has changed meanwhile.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn update(
        &self,
        key: &K,
        mut change: impl FnMut(Option<V>) -> Option<V>,
    ) -> Result<(), AccessError> {
        let key = Self::key(key)?;
        loop {
            let old = self.fetch(&key)?;
            let value = old.as_deref().map(wire::decode).transpose()?;
            let new = change(value).map(|value| self.draft(&key, &value)).transpose()?;
            let mut locked = self.lock()?;
            let found = locked.find(&key);
            if found.map(|(_, stored)| value_of(stored)) != old {
                continue;
            }
            match (new, found.map(|(found, _)| found)) {
                (Some(draft), _) => drop(locked.put_as(&key, draft)?),
                (None, Some(found)) => locked.remove(found),
                (None, None) => {}
            }
            return Ok(());
        }
    }

    /// The number of keys.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn len(&self) -> Result<usize, AccessError> {
        Ok(self.lock()?.len())
    }

    /// Whether there are no keys.
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

    /// The keys at one instant, in the order in which they were first put in.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn keys(&self) -> Result<Vec<K>, AccessError> {
        decoded(self.copies(key_of)?)
    }

    /// The values at one instant, in the order of the keys.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn values(&self) -> Result<Vec<V>, AccessError> {
        decoded(self.copies(value_of)?)
    }

    /// Keys and values at one instant, in the order in which the keys were first put in.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn entries(&self) -> Result<Vec<(K, V)>, AccessError> {
        let copies = self.copies(|stored| (key_of(stored), value_of(stored)))?;
        let decode = |(key, value): (Vec<u8>, Vec<u8>)| -> Result<_, DecodeError> {
            Ok((wire::decode(&key)?, wire::decode(&value)?))
        };
        Ok(copies.into_iter().map(decode).collect::<Result<_, _>>()?)
    }

    fn copies<R>(&self, copy: impl Fn(Stored<'_>) -> R) -> Result<Vec<R>, AccessError> {
        Ok(self.lock()?.records().map(copy).collect())
    }
}

crate::wire::handle::passed_by_offset!([K, V] Dict<K, V>, "a dictionary");

pub(super) fn decoded<T: Message>(copies: Vec<Vec<u8>>) -> Result<Vec<T>, AccessError> {
    let values = copies.iter().map(|bytes| wire::decode(bytes));
    Ok(values.collect::<Result<_, DecodeError>>()?)
}

fn key_of(stored: Stored<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    stored.identity(&mut bytes);
    bytes
}

pub(super) fn value_of(stored: Stored<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    stored.value(&mut bytes);
    bytes
}
