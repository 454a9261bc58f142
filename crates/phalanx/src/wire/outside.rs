//! Bytes outside of the frame: how [`SharedBytes`] inside of values travel.
//!
//! While a value is encoded for a message, the large bytes in it are collected here and the frame says
//! only which they are; while it is decoded, they are given out again in the same order. A task's argument
//! *lends* its bytes: the frame says where they lie, and who sent it keeps them until it is answered.
//! Wherever else a value is encoded its bytes are in line, or, while a child is being started, shared
//! with it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use phalanx_shm::family::Family;
use phalanx_shm::frozen::Frozen;
use phalanx_shm::object::NotHeld;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::because;
use crate::bytes::SharedBytes;
use crate::message::ALIGNMENT;
use crate::process::spawning_slot;

/// Fewer bytes are copied into the frame.
pub(super) const LEAST: usize = 4096;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// Not in a message.
    No,
    /// In a message, with nothing outside of the frame so far.
    Nothing,
    /// In a message, with bytes outside of the frame.
    Some,
    /// In an argument whose bytes are lent, with none so far.
    Lending,
    /// In an argument, with bytes that are lent.
    Lent,
}

impl Mode {
    fn has_collected(self) -> bool {
        matches!(self, Self::Some | Self::Lent)
    }
}

thread_local! {
    // Apart from the bytes, which need a destructor: the mode is looked at for every message.
    static MODE: Cell<Mode> = const { Cell::new(Mode::No) };
    static COLLECTED: RefCell<Vec<SharedBytes>> = const { RefCell::new(Vec::new()) };
    static ARRIVED: RefCell<Option<Source>> = const { RefCell::new(None) };
}

/// Whether the calling thread is not in the middle of a message.
#[inline]
pub(super) fn is_idle() -> bool {
    MODE.get() == Mode::No
}

/// Sets the mode until it is dropped. A scope within a scope, by a `Serialize` that itself sends
/// something, leaves what the outer one has collected alone.
pub(super) struct Scope {
    before: Mode,
    collected: Vec<SharedBytes>,
}

impl Scope {
    /// The calling thread encodes or decodes something that is no message.
    #[inline]
    pub(super) fn outside() -> Self {
        Self::enter(Mode::No)
    }

    /// The calling thread encodes or decodes a message.
    #[inline]
    pub(super) fn message() -> Self {
        Self::enter(Mode::Nothing)
    }

    /// The calling thread encodes something whose bytes it will keep.
    #[inline]
    pub(super) fn lending() -> Self {
        Self::enter(Mode::Lending)
    }

    #[inline]
    fn enter(mode: Mode) -> Self {
        let before = MODE.replace(mode);
        let collected = if before.has_collected() { COLLECTED.take() } else { Vec::new() };
        Self { before, collected }
    }
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        if MODE.replace(self.before).has_collected() || self.before.has_collected() {
            self.put_back();
        }
    }
}

impl Scope {
    #[cold]
    fn put_back(&mut self) {
        let before = std::mem::take(&mut self.collected);
        let _dropped_outside_of_the_borrow = COLLECTED.replace(before);
    }
}

/// The bytes that the value that has just been encoded in this scope has outside of its frame.
#[inline]
pub(super) fn collected(_scope: &Scope) -> Option<Vec<SharedBytes>> {
    let mode = MODE.get();
    if !mode.has_collected() {
        return None;
    }
    MODE.set(if mode == Mode::Some { Mode::Nothing } else { Mode::Lending });
    Some(COLLECTED.take())
}

/// Where the bytes outside of a frame are found when it is decoded.
#[derive(Clone)]
pub(super) enum Source {
    /// In memory that was handed over, at the places that the frame tells.
    Handed(Arc<Frozen>),
    /// In a parcel, one after another; the next behind so many bytes.
    Parcel(Arc<Frozen>, usize),
    /// Still with the sender, which takes its own value back; the next is the nth.
    Sender(Vec<SharedBytes>, usize),
}

/// Decodes by `decode` with the bytes outside of the frame to be found in `source`.
#[cold]
pub(super) fn with_source<T>(source: Source, decode: impl FnOnce() -> T) -> T {
    struct Restore(Option<Source>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let _dropped_outside_of_the_borrow = ARRIVED.replace(self.0.take());
        }
    }
    let _restore = Restore(ARRIVED.replace(Some(source)));
    let _scope = Scope::message();
    decode()
}

/// The next bytes outside of the frame.
fn next(at: u64, len: u64) -> Option<SharedBytes> {
    let (at, len) = (usize::try_from(at).ok()?, usize::try_from(len).ok()?);
    ARRIVED.with_borrow_mut(|source| match source.as_mut()? {
        Source::Handed(memory) => part(memory, at, len),
        Source::Parcel(memory, end) => {
            let at = end.checked_next_multiple_of(ALIGNMENT)?;
            *end = at.checked_add(len)?;
            part(memory, at, len)
        }
        Source::Sender(all, nth) => {
            *nth += 1;
            all.get(*nth - 1).cloned()
        }
    })
}

/// Bytes in memory that this process holds, or comes to hold.
fn found(
    at: u64,
    len: u64,
    open: impl FnOnce(&'static Family) -> Result<Frozen, NotHeld>,
) -> Option<SharedBytes> {
    let memory = Arc::new(open(Family::get().ok()?).ok()?);
    part(&memory, usize::try_from(at).ok()?, usize::try_from(len).ok()?)
}

fn part(memory: &Arc<Frozen>, at: usize, len: usize) -> Option<SharedBytes> {
    let fits = at.checked_add(len)? <= memory.len();
    fits.then(|| SharedBytes { memory: Arc::clone(memory), at, len })
}

/// How bytes stand in a frame of postcard's, when written.
#[derive(Serialize)]
enum Written<'a> {
    Inline(Raw<'a>),
    Outside { at: u64, len: u64 },
    Held { offset: u64, at: u64, len: u64 },
    Lent { offset: u64, at: u64, len: u64 },
}

/// The same when read.
#[derive(Deserialize)]
enum Read {
    Inline(Copied),
    Outside { at: u64, len: u64 },
    Held { offset: u64, at: u64, len: u64 },
    Lent { offset: u64, at: u64, len: u64 },
}

struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Serialize for SharedBytes {
    /// Hands them over in a message, if the sender has no other view of them; else copies them. Formats
    /// that people can read have the bytes themselves.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_bytes(self);
        }
        let (at, len) = (self.at as u64, self.len as u64);
        let written = if self.len < LEAST {
            Written::Inline(Raw(self))
        } else if matches!(MODE.get(), Mode::Lending | Mode::Lent) {
            MODE.set(Mode::Lent);
            COLLECTED.with_borrow_mut(|all| all.push(self.clone()));
            Written::Lent { offset: self.memory.offset(), at, len }
        } else if MODE.get() != Mode::No {
            MODE.set(Mode::Some);
            COLLECTED.with_borrow_mut(|all| all.push(self.clone()));
            Written::Outside { at, len }
        } else if let Some(slot) = spawning_slot() {
            self.memory.hold_for(slot);
            Written::Held { offset: self.memory.offset(), at, len }
        } else {
            Written::Inline(Raw(self))
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Copied::deserialize(deserializer).map(|copied| copied.0);
        }
        let lost = |why: &str| {
            because(why.to_owned());
            de::Error::custom(why)
        };
        match Read::deserialize(deserializer)? {
            Read::Inline(copied) => Ok(copied.0),
            Read::Outside { at, len } if MODE.get() != Mode::No => {
                next(at, len).ok_or_else(|| lost("the message has fewer shared bytes than it says"))
            }
            Read::Outside { .. } => Err(lost("shared bytes in it came without the bytes")),
            Read::Held { offset, at, len } => {
                found(at, len, |family| Frozen::from_offset(family, offset))
                    .ok_or_else(|| lost("shared bytes in it were passed to another process"))
            }
            Read::Lent { offset, at, len } => found(at, len, |family| Frozen::join(family, offset))
                .ok_or_else(|| lost("shared bytes in it were lent, and are gone")),
        }
    }
}

/// Bytes that stand in the frame, copied into shared memory.
struct Copied(SharedBytes);

impl<'de> Deserialize<'de> for Copied {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Copier)
    }
}

struct Copier;

impl<'de> Visitor<'de> for Copier {
    type Value = Copied;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Copied, E> {
        SharedBytes::copy_from(bytes).map(Copied).map_err(|e| {
            because(e.to_string());
            E::custom(e)
        })
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Copied, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = items.next_element()? {
            bytes.push(byte);
        }
        self.visit_bytes(&bytes)
    }
}
