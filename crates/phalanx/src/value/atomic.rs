//! Which types can be changed in one step.

use bytemuck::Pod;
use phalanx_shm::cells::Cells;

mod sealed {
    pub trait Sealed {}
}

/// Numbers that can be changed in one step, whoever else does the same at the same time: all integers of
/// up to 64 bits, `f32` and `f64`.
///
/// ```
/// use phalanx::Value;
/// use phalanx::value::Atomic;
///
/// /// Works for all numbers that can be changed in one step.
/// fn keep_best<T: Atomic>(best: &Value<T>, found: T) -> bool {
///     best.fetch_max(found) < found
/// }
///
/// assert!(keep_best(&Value::new(1.5f64)?, 2.5));
/// assert!(!keep_best(&Value::new(7u8)?, 5));
/// # Ok::<(), phalanx::Error>(())
/// ```
pub trait Atomic: Pod + PartialOrd + sealed::Sealed {
    #[doc(hidden)]
    fn add(cells: &Cells<Self>, index: usize, by: Self) -> Self;
    #[doc(hidden)]
    fn sub(cells: &Cells<Self>, index: usize, by: Self) -> Self;
}

macro_rules! integers {
    ($($t:ty),*) => { $(
        impl sealed::Sealed for $t {}
        impl Atomic for $t {
            #[inline]
            fn add(cells: &Cells<Self>, index: usize, by: Self) -> Self {
                cells.wrapping_add(index, by)
            }

            #[inline]
            fn sub(cells: &Cells<Self>, index: usize, by: Self) -> Self {
                cells.wrapping_add(index, by.wrapping_neg())
            }
        }
    )* };
}
integers!(u8, i8, u16, i16, u32, i32, u64, i64, usize, isize);

macro_rules! floats {
    ($($t:ty),*) => { $(
        impl sealed::Sealed for $t {}
        impl Atomic for $t {
            #[inline]
            fn add(cells: &Cells<Self>, index: usize, by: Self) -> Self {
                change(cells, index, |old| Some(old + by))
            }

            #[inline]
            fn sub(cells: &Cells<Self>, index: usize, by: Self) -> Self {
                change(cells, index, |old| Some(old - by))
            }
        }
    )* };
}
floats!(f32, f64);

/// The same whether `to` was willing or not: what was there before.
#[inline]
pub(super) fn change<T: Pod>(cells: &Cells<T>, index: usize, to: impl FnMut(T) -> Option<T>) -> T {
    cells.update(index, to).unwrap_or_else(|old| old)
}

/// The operations in one step, for a type with cells: `$at` is the list of parameters that say where.
macro_rules! atomic_operations {
    ($this:ident, $cells:expr, $place:expr; $($at:ident: $at_type:ty)?) => {
        /// Adds `by`, and returns what was there before. Integers wrap around.
        #[inline]
        pub fn fetch_add(&$this, $($at: $at_type,)? by: T) -> T {
            T::add($cells, $place, by)
        }

        /// Subtracts `by`, and returns what was there before. Integers wrap around.
        #[inline]
        pub fn fetch_sub(&$this, $($at: $at_type,)? by: T) -> T {
            T::sub($cells, $place, by)
        }

        /// Keeps the larger of what is there and `other`, and returns what was there before. A number
        /// that is none (NaN) stays.
        #[inline]
        pub fn fetch_max(&$this, $($at: $at_type,)? other: T) -> T {
            crate::value::atomic::change($cells, $place, |old| (other > old).then_some(other))
        }

        /// Keeps the smaller of what is there and `other`, and returns what was there before. A number
        /// that is none (NaN) stays.
        #[inline]
        pub fn fetch_min(&$this, $($at: $at_type,)? other: T) -> T {
            crate::value::atomic::change($cells, $place, |old| (other < old).then_some(other))
        }

        /// Writes what `change` makes of what is there, and returns what was there before. `change` is
        /// asked again when another process was quicker.
        ///
        /// # Errors
        /// What was there, unchanged, when `change` returns `None`.
        #[inline]
        pub fn fetch_update(
            &$this,
            $($at: $at_type,)?
            change: impl FnMut(T) -> Option<T>,
        ) -> Result<T, T> {
            $cells.update($place, change)
        }

        /// Writes `new`, and returns what was there before.
        #[inline]
        pub fn swap(&$this, $($at: $at_type,)? new: T) -> T {
            crate::value::atomic::change($cells, $place, |_| Some(new))
        }

        /// Writes `new` if `current` is there, bit by bit; returns what was there.
        ///
        /// # Errors
        /// What was there instead of `current`.
        #[inline]
        pub fn compare_exchange(&$this, $($at: $at_type,)? current: T, new: T) -> Result<T, T> {
            let same = |old: &T| bytemuck::bytes_of(old) == bytemuck::bytes_of(&current);
            $cells.update($place, |old| same(&old).then_some(new))
        }
    };
}
pub(super) use atomic_operations;
