//! Operations on containers as values: a handle in this family does them itself, another one sends
//! them to the manager's server, which does the same.

use phalanx_shm::containers::{Glimpse, Key};
use phalanx_shm::patience::Patience;
use serde::{Deserialize, Serialize};

use super::AccessError;
use super::draft::{Draft, Stored};
use super::raw::{RawDict, RawList};

/// When something is stored, judged in the same step in which it is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum When<'a> {
    Always,
    /// The key is not there.
    Absent,
    /// The value is still this one.
    Same(&'a [u8]),
}

impl When<'_> {
    fn allows(self, now: Option<Stored<'_>>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => now.is_none(),
            Self::Same(bytes) => now.is_some_and(|now| value_of(now) == bytes),
        }
    }
}

/// An operation on a dictionary.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum DictOperation<'a> {
    Get(&'a [u8]),
    Contains(&'a [u8]),
    /// Answers whether the key is new, or that it was not allowed.
    Put(&'a [u8], &'a [u8], #[serde(borrow)] When<'a>),
    PutMany(#[serde(borrow)] Vec<(&'a [u8], &'a [u8])>),
    /// Answers with the value.
    Remove(&'a [u8], #[serde(borrow)] When<'a>),
    RemoveLast,
    Len,
    Clear,
    /// Keys, values or both.
    Copy {
        keys: bool,
        values: bool,
    },
}

/// An operation on a list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ListOperation<'a> {
    Get(usize),
    Put(usize, &'a [u8], #[serde(borrow)] When<'a>),
    Push(&'a [u8]),
    /// Before an index, or at the end if there is none so high.
    Insert(usize, #[serde(borrow)] Vec<&'a [u8]>),
    Remove(usize),
    RemoveLast,
    Len,
    Clear,
    Copy,
    Reverse,
    /// If the version is still this one.
    Rearrange(u64, Vec<usize>),
}

/// What has come of an operation.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// There is no such key or item.
    Nothing,
    Done,
    /// It was not as the operation wanted it.
    Refused,
    Flag(bool),
    Count(u64),
    Value(Vec<u8>),
    Entry(Vec<u8>, Vec<u8>),
    Entries(Vec<(Vec<u8>, Vec<u8>)>),
    Items(u64, Vec<Vec<u8>>),
}

pub(super) fn value_of(stored: Stored<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    stored.value(&mut bytes);
    bytes
}

fn key_of(stored: Stored<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    stored.identity(&mut bytes);
    bytes
}

impl DictOperation<'_> {
    /// Does it.
    pub(super) fn run(self, dict: &RawDict, p: &Patience<'_>) -> Result<Answer, AccessError> {
        let draft =
            |key, value| Draft::entry(dict.family(), Key { identity: key, form: &[] }, value);
        Ok(match self {
            Self::Get(key) => {
                let mut value = Vec::new();
                match dict.glimpse(key, &mut value) {
                    Glimpse::Value => Answer::Value(value),
                    Glimpse::Absent => Answer::Nothing,
                    Glimpse::Unclear => match dict.lock(p)?.find(key) {
                        Some((_, stored)) => Answer::Value(value_of(stored)),
                        None => Answer::Nothing,
                    },
                }
            }
            Self::Contains(key) => Answer::Flag(dict.lock(p)?.find(key).is_some()),
            Self::Put(key, value, when) => {
                let draft = draft(key, value)?;
                let mut locked = dict.lock(p)?;
                let is_allowed = match when {
                    When::Always => true,
                    _ => when.allows(locked.find(key).map(|(_, stored)| stored)),
                };
                match is_allowed {
                    true => Answer::Flag(locked.put_as(key, draft)?),
                    false => Answer::Refused,
                }
            }
            Self::PutMany(entries) => {
                let drafts: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| draft(key, value))
                    .collect::<Result<_, _>>()?;
                let mut locked = dict.lock(p)?;
                for ((key, _), draft) in entries.iter().zip(drafts) {
                    locked.put_as(key, draft)?;
                }
                Answer::Done
            }
            Self::Remove(key, when) => {
                let mut locked = dict.lock(p)?;
                match locked.find(key) {
                    None => Answer::Nothing,
                    Some((_, stored)) if !when.allows(Some(stored)) => Answer::Refused,
                    Some((found, stored)) => {
                        let value = value_of(stored);
                        locked.remove(found);
                        Answer::Value(value)
                    }
                }
            }
            Self::RemoveLast => {
                let mut locked = dict.lock(p)?;
                match locked.last() {
                    None => Answer::Nothing,
                    Some((found, stored)) => {
                        let entry = Answer::Entry(key_of(stored), value_of(stored));
                        locked.remove(found);
                        entry
                    }
                }
            }
            Self::Len => Answer::Count(dict.lock(p)?.len() as u64),
            Self::Clear => {
                dict.lock(p)?.clear();
                Answer::Done
            }
            Self::Copy { keys, values } => {
                let copy = |stored| {
                    let key = if keys { key_of(stored) } else { Vec::new() };
                    (key, if values { value_of(stored) } else { Vec::new() })
                };
                Answer::Entries(dict.lock(p)?.records().map(copy).collect())
            }
        })
    }
}

impl ListOperation<'_> {
    /// Does it.
    pub(super) fn run(self, list: &RawList, p: &Patience<'_>) -> Result<Answer, AccessError> {
        let draft = |value: &[u8]| Draft::item(list.family(), value);
        Ok(match self {
            Self::Get(index) => match list.lock(p)?.get(index) {
                Some(stored) => Answer::Value(value_of(stored)),
                None => Answer::Nothing,
            },
            Self::Put(index, value, when) => {
                let draft = draft(value)?;
                let mut locked = list.lock(p)?;
                match locked.get(index) {
                    None => Answer::Nothing,
                    now if !when.allows(now) => Answer::Refused,
                    Some(_) => {
                        locked.set(index, draft);
                        Answer::Done
                    }
                }
            }
            Self::Push(value) => {
                let draft = draft(value)?;
                list.lock(p)?.push(draft)?;
                Answer::Done
            }
            Self::Insert(index, values) => {
                let drafts = values.into_iter().map(draft).collect::<Result<Vec<_>, _>>()?;
                let mut locked = list.lock(p)?;
                let at = index.min(locked.len());
                locked.splice(at..at, drafts)?;
                Answer::Done
            }
            Self::Remove(index) => return remove(list, p, |_| Some(index)),
            Self::RemoveLast => return remove(list, p, |len| len.checked_sub(1)),
            Self::Len => Answer::Count(list.lock(p)?.len() as u64),
            Self::Clear => {
                list.lock(p)?.clear();
                Answer::Done
            }
            Self::Copy => {
                let locked = list.lock(p)?;
                Answer::Items(locked.version(), locked.records().map(value_of).collect())
            }
            Self::Reverse => {
                let mut locked = list.lock(p)?;
                let order: Vec<usize> = (0..locked.len()).rev().collect();
                locked.rearrange(&order, Vec::new())?;
                Answer::Done
            }
            Self::Rearrange(version, order) => {
                let mut locked = list.lock(p)?;
                // What a stranger sends must not be able to make this process panic.
                let mut sorted = order.clone();
                sorted.sort_unstable();
                sorted.dedup();
                let is_whole = sorted.len() == order.len()
                    && sorted.last().is_none_or(|last| *last < locked.len());
                if locked.version() != version || !is_whole {
                    return Ok(Answer::Refused);
                }
                locked.rearrange(&order, Vec::new())?;
                Answer::Done
            }
        })
    }
}

fn remove(
    list: &RawList,
    patience: &Patience<'_>,
    which: impl FnOnce(usize) -> Option<usize>,
) -> Result<Answer, AccessError> {
    let mut locked = list.lock(patience)?;
    let Some(index) = which(locked.len()) else { return Ok(Answer::Nothing) };
    let Some(value) = locked.get(index).map(value_of) else { return Ok(Answer::Nothing) };
    locked.remove(index)?;
    Ok(Answer::Value(value))
}
