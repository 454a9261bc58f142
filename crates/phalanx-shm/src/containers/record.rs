//! Records: one entry each, with a key (in maps) and a value.
//!
//! ```text
//!   hash: u64 | key length: u32, form length: u32 | shape: 1 bit, value length: 63 | key | form | value
//! ```

use super::Cells;
use crate::alloc_error::AllocError;
use crate::sync::Ordering;

const HASH: usize = 0;
const KEY: usize = 8;
const VALUE: usize = 16;
const HEADER: usize = 24;
/// The smallest chunks have so many bytes.
const LEAST: usize = 64;
/// The value is a parcel: see [`Shape::Parcel`].
const PARCEL: u64 = 1 << 63;

/// A key: what decides whether two are the same, and how this one was written.
///
/// The form is kept from the first time the key was put in. Keys that are the same must have forms of
/// the same length.
///
/// ```
/// # mod phalanx { pub use phalanx_shm::containers as manager; }
/// use phalanx::manager::Key;
///
/// // 1 and 1.0 are the same key to whoever says so, and each is given back as it was put in.
/// let (int, float) = (Key { identity: b"1", form: b"i" }, Key { identity: b"1", form: b"f" });
/// assert!(int.identity == float.identity && int != float);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key<'a> {
    /// Equal for equal keys, and only for them.
    pub identity: &'a [u8],
    /// What else the owner of the key wants to know of it.
    pub form: &'a [u8],
}

/// What the bytes of a value are.
///
/// ```
/// # use phalanx_shm::containers::{Key, Staged};
/// # use phalanx_shm::{containers::Map, family::Family, object::Shared, patience::Patience};
/// # mod phalanx { pub use phalanx_shm::containers as manager; }
/// use phalanx::manager::Shape;
///
/// # let family = Family::get()?;
/// # let dict = Shared::new(family, |map: &Map| map.prepare([1, 2], 3))?;
/// let key = Key { identity: b"apples", form: b"" };
/// let mut draft = Staged::new(family, key, Shape::Plain, 4)?;
/// draft.write(0, b"five");
/// let mut locked = dict.lock(family, &Patience::forever())?;
/// locked.put(draft)?;
/// assert_eq!(locked.find(b"apples").map(|(_, record)| record.shape()), Some(Shape::Plain));
/// # drop(locked);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One run of bytes.
    Plain,
    /// Bytes with an inner structure, to be copied as a whole; the meaning is the user's affair.
    Parcel,
}

/// A record that is being written; freed when it is dropped before it was put into a container.
///
/// ```
/// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
/// # type Draft = Staged<'static, Family>;
/// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
/// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
/// # let apples = Key { identity: b"apples", form: b"" };
/// let draft: Draft = Draft::entry(dict.family(), apples, b"five")?; // nothing is locked for that
/// locked.put(draft)?;
/// assert_eq!(locked.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Staged<'m, M: Cells> {
    memory: &'m M,
    chunk: u64,
    value: usize,
}

impl<'m, M: Cells> Staged<'m, M> {
    /// A record with its key in place and room for a value of `len` bytes.
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory, or a key is longer than 4 GiB.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// let mut draft = Draft::new(dict.family(), apples, Shape::Plain, 1 << 20)?;
    /// for part in 0..1024 {
    ///     draft.write(part * 1024, &[part as u8; 1024]); // in parts, so that it need not exist twice
    /// }
    /// locked.put(draft)?;
    /// # assert_eq!(locked.find(b"apples").map(|(_, record)| record.value_len()), Some(1 << 20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(memory: &'m M, key: Key<'_>, shape: Shape, len: usize) -> Result<Self, AllocError> {
        let (key_len, form_len) = (key.identity.len(), key.form.len());
        let value = HEADER.saturating_add(key_len).saturating_add(form_len);
        // A sum beyond all memory is refused by the arena.
        let whole = value.saturating_add(len).min(usize::MAX / 2);
        let whole = if key_len.max(form_len) > u32::MAX as usize { usize::MAX / 2 } else { whole };
        let chunk = memory.take_chunk(whole)?;
        let words = memory.words(chunk, 0, HEADER / 8);
        let flag = if shape == Shape::Parcel { PARCEL } else { 0 };
        words[KEY / 8].store(key_len as u64 | (form_len as u64) << 32, Ordering::Relaxed);
        words[VALUE / 8].store(len as u64 | flag, Ordering::Relaxed);
        if value > HEADER {
            memory.fill(chunk, HEADER, key.identity);
            memory.fill(chunk, HEADER + key_len, key.form);
        }
        Ok(Self { memory, chunk, value })
    }

    /// A record without a key, whose value is these bytes.
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory.
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
    /// locked.push(Draft::item(list.family(), b"one")?)?;
    /// assert_eq!(locked.get(0).map(text).as_deref(), Some("one"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn item(memory: &'m M, value: &[u8]) -> Result<Self, AllocError> {
        Self::entry(memory, Key::default(), value)
    }

    /// A record with a key, whose value is these bytes.
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// locked.put(Draft::entry(dict.family(), Key { identity: b"1", form: b"int" }, b"one")?)?;
    /// assert!(locked.find(b"1").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entry(memory: &'m M, key: Key<'_>, value: &[u8]) -> Result<Self, AllocError> {
        let mut staged = Self::new(memory, key, Shape::Plain, value.len())?;
        staged.write(0, value);
        Ok(staged)
    }

    /// Writes a part of the value.
    ///
    /// # Panics
    /// When it does not fit.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// let mut draft = Draft::new(dict.family(), apples, Shape::Plain, 8)?;
    /// draft.write(0, b"four");
    /// draft.write(4, b"five");
    /// locked.put(draft)?;
    /// # let mut value = Vec::new();
    /// # locked.records().for_each(|record| record.value(&mut value));
    /// # assert_eq!(value, b"fourfive");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        self.memory.fill(self.chunk, self.value + at, bytes);
    }

    /// What has been written.
    pub(super) fn record(&self) -> Record<'m, M> {
        Record { memory: self.memory, chunk: self.chunk }
    }

    pub(super) fn set_hash(&self, hash: u64) {
        self.memory.words(self.chunk, HASH, 1)[0].store(hash, Ordering::Relaxed);
    }

    /// Replaces the form by that of a record with the same key.
    pub(super) fn take_form(&self, other: Record<'_, M>) {
        let (mine, theirs) = (self.record().lengths(), other.lengths());
        if mine.form > 0 && mine.form == theirs.form && mine.key == theirs.key {
            let mut form = Vec::new();
            other.form(&mut form);
            self.memory.fill(self.chunk, HEADER + mine.key, &form);
        }
    }

    /// Hands the chunk over to whoever puts it into a container.
    pub(super) fn into_chunk(self) -> u64 {
        let chunk = self.chunk;
        std::mem::forget(self);
        chunk
    }
}

impl<M: Cells> Drop for Staged<'_, M> {
    fn drop(&mut self) {
        self.memory.free_chunk(self.chunk);
    }
}

struct Lengths {
    key: usize,
    form: usize,
    value: usize,
    shape: Shape,
}

/// A record in a container, valid while the container is locked.
///
/// ```
/// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
/// # type Draft = Staged<'static, Family>;
/// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
/// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
/// # let apples = Key { identity: b"apples", form: b"" };
/// locked.put(Draft::entry(dict.family(), apples, b"five")?)?;
/// let (_found, record) = locked.find(b"apples").ok_or("it has been put in")?;
/// let (mut name, mut value) = (Vec::new(), Vec::new());
/// record.identity(&mut name);
/// record.value(&mut value);
/// assert_eq!((&name[..], &value[..]), (&b"apples"[..], &b"five"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Record<'a, M: Cells> {
    pub(super) memory: &'a M,
    pub(super) chunk: u64,
}

impl<M: Cells> Clone for Record<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Cells> Copy for Record<'_, M> {}

impl<M: Cells> Record<'_, M> {
    #[inline]
    fn lengths(self) -> Lengths {
        let words = self.memory.words(self.chunk, 0, HEADER / 8);
        let key = words[KEY / 8].load(Ordering::Relaxed);
        let value = words[VALUE / 8].load(Ordering::Relaxed);
        let lengths = Lengths {
            key: key as u32 as usize,
            form: (key >> 32) as usize,
            value: (value & !PARCEL) as usize,
            shape: if value & PARCEL == 0 { Shape::Plain } else { Shape::Parcel },
        };
        // What every chunk has room for needs no look at this one.
        let sum = lengths.key.saturating_add(lengths.form).saturating_add(lengths.value);
        if sum > LEAST - HEADER {
            let room = self.memory.capacity(self.chunk).saturating_sub(HEADER);
            assert!(sum <= room, "a shared container was damaged by another process");
        }
        lengths
    }

    pub(super) fn hash(self) -> u64 {
        self.memory.words(self.chunk, HASH, 1)[0].load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn is_of(self, hash: u64, identity: &[u8]) -> bool {
        self.hash() == hash
            && self.lengths().key == identity.len()
            && self.memory.has(self.chunk, HEADER, identity)
    }

    /// Appends what decides whether two keys are the same.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// # locked.put(Draft::entry(dict.family(), Key { identity: b"1", form: b"int" }, b"one")?)?;
    /// # let (_found, record) = locked.find(b"1").ok_or("it has been put in")?;
    /// let mut identity = Vec::new();
    /// record.identity(&mut identity);
    /// assert_eq!(identity, b"1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn identity(self, out: &mut Vec<u8>) {
        self.memory.read(self.chunk, HEADER, self.lengths().key, out);
    }

    /// Appends how the key was written when it was first put in.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// # locked.put(Draft::entry(dict.family(), Key { identity: b"1", form: b"int" }, b"one")?)?;
    /// # let (_found, record) = locked.find(b"1").ok_or("it has been put in")?;
    /// let mut form = Vec::new();
    /// record.form(&mut form);
    /// assert_eq!(form, b"int"); // what came as `Key::form`
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn form(self, out: &mut Vec<u8>) {
        let lengths = self.lengths();
        self.memory.read(self.chunk, HEADER + lengths.key, lengths.form, out);
    }

    /// What the value's bytes are.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// # locked.put(Draft::entry(dict.family(), Key { identity: b"1", form: b"int" }, b"one")?)?;
    /// # let (_found, record) = locked.find(b"1").ok_or("it has been put in")?;
    /// assert_eq!(record.shape(), Shape::Plain);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn shape(self) -> Shape {
        self.lengths().shape
    }

    /// How many bytes the value has.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// # locked.put(Draft::entry(dict.family(), Key { identity: b"1", form: b"int" }, b"one")?)?;
    /// # let (_found, record) = locked.find(b"1").ok_or("it has been put in")?;
    /// assert_eq!(record.value_len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn value_len(self) -> usize {
        self.lengths().value
    }

    /// Appends the value.
    ///
    /// ```
    /// # use phalanx_shm::{containers::{Key, Map, Record, Shape, Staged}, family::Family, object::Shared, patience::Patience};
    /// # type Draft = Staged<'static, Family>;
    /// # let dict = Shared::new(Family::get()?, |map: &Map| map.prepare([1, 2], 3))?;
    /// # let mut locked = dict.lock(dict.family(), &Patience::forever())?;
    /// # let apples = Key { identity: b"apples", form: b"" };
    /// # locked.put(Draft::entry(dict.family(), Key { identity: b"1", form: b"int" }, b"one")?)?;
    /// # let (_found, record) = locked.find(b"1").ok_or("it has been put in")?;
    /// let mut value = b"number ".to_vec();
    /// record.value(&mut value);
    /// assert_eq!(value, b"number one");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn value(self, out: &mut Vec<u8>) {
        let lengths = self.lengths();
        let at = HEADER + lengths.key + lengths.form;
        self.memory.read(self.chunk, at, lengths.value, out);
    }

    /// Where the value lies in its chunk, and the chunk.
    #[doc(hidden)]
    #[must_use]
    pub fn place(self) -> (u64, usize) {
        let lengths = self.lengths();
        (self.chunk, HEADER + lengths.key + lengths.form)
    }
}

/// What a look at a record without the lock has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glimpsed {
    /// It has another key, or none at all.
    Other,
    /// Its value was appended.
    Copied,
    /// It is too long for a look, or a parcel.
    Long,
}

/// Records up to this many words can be read without the lock.
const GLIMPSE_WORDS: usize = 64;

/// Copies the value of what may be a record, if it is one of that key.
#[inline]
pub(super) fn glimpse_record(
    memory: &impl Cells,
    chunk: u64,
    key: Option<(u64, &[u8])>,
    out: &mut Vec<u8>,
) -> Glimpsed {
    let room = memory.capacity(chunk);
    if room < HEADER {
        return Glimpsed::Other;
    }
    let head = memory.words(chunk, 0, HEADER / 8);
    let [hash, lengths, value_len] = [0, 1, 2].map(|word| head[word].load(Ordering::Relaxed));
    let (key_len, form_len) = (lengths as u32 as usize, (lengths >> 32) as usize);
    if key.is_some_and(|(wanted, identity)| hash != wanted || key_len != identity.len()) {
        return Glimpsed::Other;
    }
    let most = room.min(GLIMPSE_WORDS * 8) as u64;
    let value = (HEADER + key_len + form_len) as u64;
    // A parcel's length is longer than all.
    if value_len > most || value + value_len > most {
        return Glimpsed::Long;
    }
    let end = (value + value_len) as usize;
    let mut copy = [0u64; GLIMPSE_WORDS];
    let words = memory.words(chunk, 0, end.div_ceil(8));
    for (to, from) in copy.iter_mut().zip(words) {
        *to = from.load(Ordering::Relaxed);
    }
    let bytes: &[u8] = bytemuck::cast_slice(&copy);
    if key.is_some_and(|(_, identity)| bytes[HEADER..HEADER + key_len] != *identity) {
        return Glimpsed::Other;
    }
    out.extend_from_slice(&bytes[value as usize..end]);
    Glimpsed::Copied
}
