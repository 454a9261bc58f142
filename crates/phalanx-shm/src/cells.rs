//! Plain values side by side in an object's bytes, which processes read and write without a lock.
//!
//! A value of 1, 2, 4 or 8 bytes is read, written and changed in one step. A larger one is read and
//! written word by word: who reads while another writes may get some words of the old value and some of
//! the new, never anything that is no value, since plain data is valid whatever its bits.
//!
//! | a process dies | what remains |
//! |---|---|
//! | changing a value of at most 8 bytes | the old or the new value |
//! | writing a larger one | some words of the old, some of the new |

#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use bytemuck::Pod;

use crate::object::{Bytes, Shared};

/// A handle to values in the bytes of a shared object.
pub struct Cells<T> {
    bytes: Shared<Bytes>,
    first: NonNull<u8>,
    len: usize,
    values: PhantomData<fn(T) -> T>,
}

// SAFETY: the pointer leads to memory that stays mapped, which is accessed by atomics only.
unsafe impl<T: Send> Send for Cells<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Cells<T> {}

/// The largest unit that is read or written in one step, for values of a size and at an alignment.
const fn unit(size: usize) -> usize {
    match size {
        _ if size.is_multiple_of(8) => 8,
        _ if size.is_multiple_of(4) => 4,
        _ if size.is_multiple_of(2) => 2,
        _ => 1,
    }
}

impl<T: Pod> Cells<T> {
    /// As many values as fit into the bytes of the object, which begin at a multiple of 64.
    #[must_use]
    pub fn new(bytes: Shared<Bytes>, len_in_bytes: usize) -> Self {
        const { assert!(size_of::<T>() > 0 && align_of::<T>() <= 64) };
        let len = len_in_bytes.min(bytes.tail_len()) / size_of::<T>();
        let first =
            NonNull::new(bytes.address()).expect("the arena does not begin at address zero");
        assert!(first.as_ptr().addr().is_multiple_of(64), "an object's bytes are aligned");
        Self { bytes, first, len, values: PhantomData }
    }

    /// The place of a value, as atomics of type `A`. Panics beyond the end.
    #[inline]
    fn units<A>(&self, index: usize) -> &[A] {
        assert!(index < self.len, "index {index} in {} shared values", self.len);
        // SAFETY: in bounds. `A` is an atomic integer whose size divides that of `T`, so that it is
        // aligned too: the first value is, to 64 bytes. All who access these bytes do it by atomics. A
        // process that dies leaves valid integers behind.
        unsafe {
            let at = self.first.as_ptr().add(index * size_of::<T>());
            std::slice::from_raw_parts(at.cast::<A>(), size_of::<T>() / size_of::<A>())
        }
    }

    /// Reads a value; sees all that its writer wrote before.
    ///
    /// # Panics
    /// Beyond the end.
    #[inline]
    #[must_use]
    pub fn load(&self, index: usize) -> T {
        macro_rules! load {
            ($atomic:ty) => {{
                let places = self.units::<$atomic>(index);
                if let [place] = places {
                    return bytemuck::cast(place.load(Ordering::Acquire));
                }
                let mut value = T::zeroed();
                let to = bytemuck::bytes_of_mut(&mut value);
                for (place, to) in places.iter().zip(to.chunks_exact_mut(size_of::<$atomic>())) {
                    to.copy_from_slice(&place.load(Ordering::Acquire).to_ne_bytes());
                }
                value
            }};
        }
        match unit(size_of::<T>()) {
            8 => load!(AtomicU64),
            4 => load!(AtomicU32),
            2 => load!(AtomicU16),
            _ => load!(AtomicU8),
        }
    }

    /// Writes a value.
    ///
    /// # Panics
    /// Beyond the end.
    #[inline]
    pub fn store(&self, index: usize, value: T) {
        macro_rules! store {
            ($atomic:ty, $word:ty) => {{
                let places = self.units::<$atomic>(index);
                if let [place] = places {
                    return place.store(bytemuck::cast(value), Ordering::Release);
                }
                let from = bytemuck::bytes_of(&value);
                for (place, from) in places.iter().zip(from.chunks_exact(size_of::<$atomic>())) {
                    let word = from.try_into().map_or(0, <$word>::from_ne_bytes);
                    place.store(word, Ordering::Release);
                }
            }};
        }
        match unit(size_of::<T>()) {
            8 => store!(AtomicU64, u64),
            4 => store!(AtomicU32, u32),
            2 => store!(AtomicU16, u16),
            _ => store!(AtomicU8, u8),
        }
    }

    /// Changes a value in one step by `change`, which may be asked again when another was quicker;
    /// returns what was there before.
    ///
    /// # Errors
    /// What was there, when `change` returns `None`.
    ///
    /// # Panics
    /// Beyond the end, and for a type that is not of 1, 2, 4 or 8 bytes.
    #[inline]
    pub fn update(&self, index: usize, mut change: impl FnMut(T) -> Option<T>) -> Result<T, T> {
        const { assert!(matches!(size_of::<T>(), 1 | 2 | 4 | 8), "such a type has no atomics") };
        macro_rules! update {
            ($atomic:ty) => {{
                let place = &self.units::<$atomic>(index)[0];
                let old = place.fetch_update(Ordering::AcqRel, Ordering::Acquire, |bits| {
                    change(bytemuck::cast(bits)).map(bytemuck::cast)
                });
                old.map(bytemuck::cast).map_err(bytemuck::cast)
            }};
        }
        match size_of::<T>() {
            8 => update!(AtomicU64),
            4 => update!(AtomicU32),
            2 => update!(AtomicU16),
            _ => update!(AtomicU8),
        }
    }

    /// Adds to a value in one step, wrapping around; returns what was there before. For integers of
    /// either sign, which are the same to this.
    ///
    /// # Panics
    /// Beyond the end, and for a type that is not of 1, 2, 4 or 8 bytes.
    #[inline]
    pub fn wrapping_add(&self, index: usize, by: T) -> T {
        const { assert!(matches!(size_of::<T>(), 1 | 2 | 4 | 8), "such a type has no atomics") };
        macro_rules! add {
            ($atomic:ty) => {
                bytemuck::cast(
                    self.units::<$atomic>(index)[0].fetch_add(bytemuck::cast(by), Ordering::AcqRel),
                )
            };
        }
        match size_of::<T>() {
            8 => add!(AtomicU64),
            4 => add!(AtomicU32),
            2 => add!(AtomicU16),
            _ => add!(AtomicU8),
        }
    }
}

impl<T> Cells<T> {
    /// How many values there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &Shared<Bytes> {
        &self.bytes
    }
}

impl<T> Clone for Cells<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), first: self.first, len: self.len, values: PhantomData }
    }
}

impl<T> fmt::Debug for Cells<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("object", &self.bytes).field("len", &self.len).finish()
    }
}
