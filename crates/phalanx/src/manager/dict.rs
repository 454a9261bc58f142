//! Dictionaries of typed keys and values.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;

use phalanx_shm::patience::Patience;
use serde::Serialize;

use super::AccessError;
use super::line::{Remote, unexpected};
use super::operation::{Answer, DictOperation, When};
use super::passed::passed;
use super::raw::RawDict;
use crate::sync::CreateError;
use crate::wire::{self, DecodeError, Message};

/// What a [`Dict`] with keys of type `K` can be asked for: a `K`, or what it lends and what is encoded
/// as it is, as `str` for `String` and `[T]` for `Vec<T>`.
///
/// ```
/// use phalanx::manager::Dict;
///
/// let ages: Dict<String, u32> = Dict::new()?;
/// ages.insert("Ada", &36)?; // a `str` for a `String`
/// assert_eq!(ages.get(&"Ada".to_owned())?, Some(36));
/// # Ok::<(), phalanx::Error>(())
/// ```
pub trait KeyOf<K>: Serialize {}

impl<K: Borrow<Q>, Q: Serialize + ?Sized> KeyOf<K> for Q {}

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
/// stock.insert("apples", &5)?;
/// stock.update("apples", |count| Some(count.unwrap_or(0) + 1))?;
/// assert_eq!(stock.get("apples")?, Some(6));
/// assert_eq!(stock.entries()?, [("apples".to_owned(), 6)]);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Dict<K, V> {
    place: Place,
    kinds: PhantomData<fn() -> (K, V)>,
}

/// Where a dictionary is reached.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Here(RawDict),
    Served(Remote),
}

impl Place {
    fn run(&self, operation: DictOperation<'_>) -> Result<Answer, AccessError> {
        match self {
            Self::Here(raw) => operation.run(raw, &Patience::forever()),
            Self::Served(remote) => remote.dict(operation),
        }
    }
}

impl<K, V> Clone for Dict<K, V> {
    fn clone(&self) -> Self {
        Self::at(self.place.clone())
    }
}

impl<K, V> fmt::Debug for Dict<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dict").field(&self.place).finish()
    }
}

impl<K, V> Dict<K, V> {
    pub(super) const fn at(place: Place) -> Self {
        Self { place, kinds: PhantomData }
    }

    /// The dictionary without its types, if it lies in this process's shared memory.
    ///
    /// ```
    /// let dict = phalanx::manager::Dict::<String, u64>::new()?;
    /// assert!(dict.raw().is_some(), "it lies in memory of this process, and nobody serves it");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub const fn raw(&self) -> Option<&RawDict> {
        match &self.place {
            Place::Here(raw) => Some(raw),
            Place::Served(_) => None,
        }
    }
}

impl<K, V> From<RawDict> for Dict<K, V> {
    fn from(raw: RawDict) -> Self {
        Self::at(Place::Here(raw))
    }
}

impl<K: Message, V: Message> Dict<K, V> {
    /// A new dictionary with nothing in it, which no manager knows.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let ages = Dict::<String, u32>::new()?;
    /// Process::fork(|| ages.insert("Ada", &36).is_ok())?.join()?;
    /// assert_eq!(ages.get("Ada")?, Some(36));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new() -> Result<Self, CreateError> {
        RawDict::new().map(Self::from)
    }

    fn run(&self, operation: DictOperation<'_>) -> Result<Answer, AccessError> {
        self.place.run(operation)
    }

    /// The bytes of a key's value.
    fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, AccessError> {
        match self.run(DictOperation::Get(key))? {
            Answer::Value(bytes) => Ok(Some(bytes)),
            Answer::Nothing => Ok(None),
            _ => Err(unexpected()),
        }
    }

    /// Puts a value in; whether the key is new, or `None` if that was not allowed.
    fn put(&self, key: &[u8], value: &V, when: When<'_>) -> Result<Option<bool>, AccessError> {
        match self.run(DictOperation::Put(key, &encoded(value)?, when))? {
            Answer::Flag(is_new) => Ok(Some(is_new)),
            Answer::Refused => Ok(None),
            _ => Err(unexpected()),
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let ages = phalanx::manager::Dict::<String, u32>::new()?;
    /// ages.insert("Ada", &36)?;
    /// assert_eq!((ages.get("Ada")?, ages.get("Grace")?), (Some(36), None));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn get<Q: KeyOf<K> + ?Sized>(&self, key: &Q) -> Result<Option<V>, AccessError> {
        Ok(self.fetch(&encoded(key)?)?.map(|bytes| wire::decode(&bytes)).transpose()?)
    }

    /// Whether the key is there.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let seen = phalanx::manager::Dict::<(u32, u32), ()>::new()?;
    /// seen.insert(&(3, 4), &())?;
    /// assert!(seen.contains_key(&(3, 4))? && !seen.contains_key(&(4, 3))?);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn contains_key<Q: KeyOf<K> + ?Sized>(&self, key: &Q) -> Result<bool, AccessError> {
        match self.run(DictOperation::Contains(&encoded(key)?))? {
            Answer::Flag(there) => Ok(there),
            _ => Err(unexpected()),
        }
    }

    /// Sets the value of a key; returns whether the key is new.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let ages = phalanx::manager::Dict::<String, u32>::new()?;
    /// assert!(ages.insert("Ada", &35)?, "it is new");
    /// assert!(!ages.insert("Ada", &36)?, "it was there");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn insert<Q: KeyOf<K> + ?Sized>(&self, key: &Q, value: &V) -> Result<bool, AccessError> {
        self.put(&encoded(key)?, value, When::Always)?.ok_or_else(unexpected)
    }

    /// Sets the values of several keys, in one step for all others.
    ///
    /// # Errors
    /// [`AccessError`]. Without memory for all of them some may have been set.
    ///
    /// ```
    /// let squares = phalanx::manager::Dict::<u64, u64>::new()?;
    /// squares.extend((0..4).map(|n| (n, n * n)))?;
    /// assert_eq!(squares.values()?, [0, 1, 4, 9]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn extend(&self, entries: impl IntoIterator<Item = (K, V)>) -> Result<(), AccessError> {
        let encode = |(key, value): (K, V)| -> Result<_, AccessError> {
            Ok((encoded(&key)?, encoded(&value)?))
        };
        let entries: Vec<_> = entries.into_iter().map(encode).collect::<Result<_, _>>()?;
        let entries = entries.iter().map(|(key, value)| (&**key, &**value)).collect();
        done(self.run(DictOperation::PutMany(entries))?)
    }

    /// Removes a key and returns its value.
    ///
    /// # Errors
    /// [`AccessError`]. A value that does not decode is removed.
    ///
    /// ```
    /// let ages = phalanx::manager::Dict::<String, u32>::new()?;
    /// ages.insert("Ada", &36)?;
    /// assert_eq!((ages.remove("Ada")?, ages.remove("Ada")?), (Some(36), None));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn remove<Q: KeyOf<K> + ?Sized>(&self, key: &Q) -> Result<Option<V>, AccessError> {
        match self.run(DictOperation::Remove(&encoded(key)?, When::Always))? {
            Answer::Value(bytes) => Ok(Some(wire::decode(&bytes)?)),
            Answer::Nothing => Ok(None),
            _ => Err(unexpected()),
        }
    }

    /// Removes the key that was put in last; returns it and its value.
    ///
    /// # Errors
    /// [`AccessError`]. An entry that does not decode is removed.
    ///
    /// ```
    /// let stack = phalanx::manager::Dict::<u64, String>::new()?;
    /// stack.extend([(1, "a".to_owned()), (2, "b".to_owned())])?;
    /// assert_eq!(stack.pop_last()?, Some((2, "b".to_owned())));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn pop_last(&self) -> Result<Option<(K, V)>, AccessError> {
        match self.run(DictOperation::RemoveLast)? {
            Answer::Entry(key, value) => Ok(Some((wire::decode(&key)?, wire::decode(&value)?))),
            Answer::Nothing => Ok(None),
            _ => Err(unexpected()),
        }
    }

    /// The value of a key, which `make` makes if the key is not there.
    ///
    /// `make` is not called under a lock. When another process was quicker, its value is returned.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let lengths = phalanx::manager::Dict::<String, usize>::new()?;
    /// assert_eq!(lengths.get_or_insert_with("abc", || 3)?, 3);
    /// assert_eq!(lengths.get_or_insert_with("abc", || unreachable!("it is there"))?, 3);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn get_or_insert_with<Q: KeyOf<K> + ?Sized>(
        &self,
        key: &Q,
        make: impl FnOnce() -> V,
    ) -> Result<V, AccessError> {
        let encoded = encoded(key)?;
        if let Some(bytes) = self.fetch(&encoded)? {
            return Ok(wire::decode(&bytes)?);
        }
        let value = make();
        loop {
            if self.put(&encoded, &value, When::Absent)?.is_some() {
                return Ok(value);
            }
            // Unless it is gone again by now.
            if let Some(bytes) = self.fetch(&encoded)? {
                return Ok(wire::decode(&bytes)?);
            }
        }
    }

    /// Changes the value of a key to what `change` makes of it (`None`: the key is, or is to be,
    /// absent), so that no other change of that key comes between.
    ///
    /// `change` is not called under a lock, and again whenever the value has changed meanwhile.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let words = phalanx::manager::Dict::<String, u64>::new()?;
    /// let count = || (0..100).try_for_each(|_| words.update("the", |n| Some(n.unwrap_or(0) + 1)));
    /// let other = Process::fork(|| count().is_ok())?;
    /// count()?;
    /// assert!(other.join()?);
    /// assert_eq!(words.get("the")?, Some(200));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn update<Q: KeyOf<K> + ?Sized>(
        &self,
        key: &Q,
        mut change: impl FnMut(Option<V>) -> Option<V>,
    ) -> Result<(), AccessError> {
        let encoded = encoded(key)?;
        loop {
            let old = self.fetch(&encoded)?;
            let when = old.as_deref().map_or(When::Absent, When::Same);
            let value = old.as_deref().map(wire::decode).transpose()?;
            let is_done = match (change(value), &old) {
                (Some(new), _) => self.put(&encoded, &new, when)?.is_some(),
                (None, None) => true,
                (None, Some(_)) => {
                    let answer = self.run(DictOperation::Remove(&encoded, when))?;
                    matches!(answer, Answer::Value(_))
                }
            };
            if is_done {
                return Ok(());
            }
        }
    }

    /// The number of keys.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let ages = phalanx::manager::Dict::<String, u32>::new()?;
    /// ages.insert("Ada", &35)?;
    /// ages.insert("Ada", &36)?; // the same key
    /// assert_eq!(ages.len()?, 1);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn len(&self) -> Result<usize, AccessError> {
        match self.run(DictOperation::Len)? {
            Answer::Count(count) => Ok(count as usize),
            _ => Err(unexpected()),
        }
    }

    /// Whether there are no keys.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let ages = phalanx::manager::Dict::<String, u32>::new()?;
    /// assert!(ages.is_empty()?);
    /// ages.insert("Ada", &36)?;
    /// assert!(!ages.is_empty()?);
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
    /// let squares = phalanx::manager::Dict::<u64, u64>::new()?;
    /// squares.extend((0..100).map(|n| (n, n * n)))?;
    /// squares.clear()?;
    /// assert_eq!(squares.len()?, 0);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn clear(&self) -> Result<(), AccessError> {
        done(self.run(DictOperation::Clear)?)
    }

    /// The keys at one instant, in the order in which they were first put in.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let ages = phalanx::manager::Dict::<String, u32>::new()?;
    /// ages.insert("Grace", &85)?;
    /// ages.insert("Ada", &36)?;
    /// ages.insert("Grace", &86)?; // stays where it is
    /// assert_eq!(ages.keys()?, ["Grace", "Ada"]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn keys(&self) -> Result<Vec<K>, AccessError> {
        let entries = self.copies(true, false)?;
        let keys = entries.iter().map(|(key, _)| wire::decode(key));
        Ok(keys.collect::<Result<_, DecodeError>>()?)
    }

    /// The values at one instant, in the order of the keys.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let ages = phalanx::manager::Dict::<String, u32>::new()?;
    /// ages.insert("Grace", &85)?;
    /// ages.insert("Ada", &36)?;
    /// assert_eq!(ages.values()?.iter().max(), Some(&85));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn values(&self) -> Result<Vec<V>, AccessError> {
        let entries = self.copies(false, true)?;
        let values = entries.iter().map(|(_, value)| wire::decode(value));
        Ok(values.collect::<Result<_, DecodeError>>()?)
    }

    /// Keys and values at one instant, in the order in which the keys were first put in.
    ///
    /// # Errors
    /// [`AccessError`].
    ///
    /// ```
    /// let ages = phalanx::manager::Dict::<String, u32>::new()?;
    /// ages.insert("Grace", &85)?;
    /// ages.insert("Ada", &36)?;
    /// assert_eq!(ages.entries()?, [("Grace".to_owned(), 85), ("Ada".to_owned(), 36)]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn entries(&self) -> Result<Vec<(K, V)>, AccessError> {
        let decode = |(key, value): &(Vec<u8>, Vec<u8>)| -> Result<_, DecodeError> {
            Ok((wire::decode(key)?, wire::decode(value)?))
        };
        Ok(self.copies(true, true)?.iter().map(decode).collect::<Result<_, _>>()?)
    }

    #[allow(clippy::type_complexity, reason = "keys and values")]
    fn copies(&self, keys: bool, values: bool) -> Result<Vec<(Vec<u8>, Vec<u8>)>, AccessError> {
        match self.run(DictOperation::Copy { keys, values })? {
            Answer::Entries(entries) => Ok(entries),
            _ => Err(unexpected()),
        }
    }
}

passed!([K, V] Dict<K, V>, RawDict, "a dictionary");

pub(super) fn encoded<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, AccessError> {
    let mut bytes = Vec::new();
    wire::encode(value, &mut bytes)?;
    Ok(bytes)
}

pub(super) fn done(answer: Answer) -> Result<(), AccessError> {
    match answer {
        Answer::Done => Ok(()),
        _ => Err(unexpected()),
    }
}
