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

/// The operations in one step, for a type with cells: `$at` is the list of parameters that say where. The
/// strings are for the examples: how one with `n` in it is made, between `$make` and `$made`, and what says
/// where it is.
macro_rules! atomic_operations {
    (
        $this:ident, $cells:expr, $place:expr;
        $($at:ident: $at_type:ty)?;
        $make:literal, $made:literal, $there:literal
    ) => {
        /// Adds `by`, and returns what was there before. Integers wrap around.
        ///
        /// ```
        #[doc = concat!("let number = ", $make, "250u8", $made, "?;")]
        #[doc = concat!("assert_eq!(number.fetch_add(", $there, "7), 250);")]
        #[doc = concat!("assert_eq!(number.fetch_add(", $there, "0), 1, \"it has wrapped around\");")]
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn fetch_add(&$this, $($at: $at_type,)? by: T) -> T {
            T::add($cells, $place, by)
        }

        /// Subtracts `by`, and returns what was there before. Integers wrap around.
        ///
        /// ```
        #[doc = concat!("let number = ", $make, "7u64", $made, "?;")]
        /// // The last of seven workers to be done:
        #[doc = concat!("while number.fetch_sub(", $there, "1) > 1 {}")]
        #[doc = concat!("assert_eq!(number.load(", $there, ").min(1), 0);")]
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn fetch_sub(&$this, $($at: $at_type,)? by: T) -> T {
            T::sub($cells, $place, by)
        }

        /// Keeps the larger of what is there and `other`, and returns what was there before. A number
        /// that is none (NaN) stays.
        ///
        /// ```
        #[doc = concat!("let number = ", $make, "2.5f64", $made, "?;")]
        #[doc = concat!("assert_eq!(number.fetch_max(", $there, "1.0), 2.5); // it stays")]
        #[doc = concat!("assert_eq!(number.fetch_max(", $there, "4.0), 2.5);")]
        #[doc = concat!("assert_eq!(number.fetch_max(", $there, "0.0), 4.0);")]
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn fetch_max(&$this, $($at: $at_type,)? other: T) -> T {
            crate::value::atomic::change($cells, $place, |old| (other > old).then_some(other))
        }

        /// Keeps the smaller of what is there and `other`, and returns what was there before. A number
        /// that is none (NaN) stays.
        ///
        /// ```
        #[doc = concat!("let number = ", $make, "f64::INFINITY", $made, "?;")]
        /// // The best of all processes so far:
        #[doc = concat!("assert_eq!(number.fetch_min(", $there, "0.25), f64::INFINITY);")]
        #[doc = concat!("assert_eq!(number.fetch_min(", $there, "0.5), 0.25);")]
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn fetch_min(&$this, $($at: $at_type,)? other: T) -> T {
            crate::value::atomic::change($cells, $place, |old| (other < old).then_some(other))
        }

        /// Writes what `change` makes of what is there, and returns what was there before. `change` is
        /// asked again when another process was quicker.
        ///
        /// # Errors
        /// What was there, unchanged, when `change` returns `None`.
        ///
        /// ```
        #[doc = concat!("let number = ", $make, "4u64", $made, "?;")]
        /// // Never beyond five:
        /// let more = |n: u64| (n < 5).then_some(n + 1);
        #[doc = concat!("assert_eq!(number.fetch_update(", $there, "more), Ok(4));")]
        #[doc = concat!("assert_eq!(number.fetch_update(", $there, "more), Err(5));")]
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn fetch_update(
            &$this,
            $($at: $at_type,)?
            change: impl FnMut(T) -> Option<T>,
        ) -> Result<T, T> {
            $cells.update($place, change)
        }

        /// Writes `new`, and returns what was there before.
        ///
        /// ```
        #[doc = concat!("let number = ", $make, "7u64", $made, "?;")]
        #[doc = concat!("assert_eq!(number.swap(", $there, "0), 7); // nobody has taken the seven but us")]
        #[doc = concat!("assert_eq!(number.swap(", $there, "0), 0);")]
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn swap(&$this, $($at: $at_type,)? new: T) -> T {
            crate::value::atomic::change($cells, $place, |_| Some(new))
        }

        /// Writes `new` if `current` is there, bit by bit; returns what was there.
        ///
        /// # Errors
        /// What was there instead of `current`.
        ///
        /// ```
        #[doc = concat!("let number = ", $make, "0u32", $made, "?;")]
        /// // Whoever is first has it:
        #[doc = concat!("assert_eq!(number.compare_exchange(", $there, "0, 17), Ok(0));")]
        #[doc = concat!("assert_eq!(number.compare_exchange(", $there, "0, 18), Err(17));")]
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn compare_exchange(&$this, $($at: $at_type,)? current: T, new: T) -> Result<T, T> {
            let same = |old: &T| bytemuck::bytes_of(old) == bytemuck::bytes_of(&current);
            $cells.update($place, |old| same(&old).then_some(new))
        }
    };
}
pub(super) use atomic_operations;
