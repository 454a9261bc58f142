//! Typed views of bytes in a shared region.

#![allow(unsafe_code)]

/// Types that may lie in memory which other processes change at any time.
///
/// # Safety
/// The type must be `repr(C)` or `repr(transparent)`, consist of atomics (or arrays and structs of
/// them) only, hold no pointers, and be valid for every bit pattern.
pub unsafe trait ShmSafe {}

macro_rules! shm_safe {
    ($($t:ty),* $(,)?) => { $(
        // SAFETY: an atomic integer is valid for every bit pattern and may be shared.
        unsafe impl ShmSafe for $t {}
    )* };
}
shm_safe!(crate::sync::AtomicU32, crate::sync::AtomicU64, crate::event_count::EventCount);

// SAFETY: an array of such values has no padding and no pointers either.
unsafe impl<T: ShmSafe, const N: usize> ShmSafe for [T; N] {}

/// A reference to the `T` at `offset` of a region of `len` bytes mapped at `base`.
///
/// Panics if the range lies outside the region or is not aligned: offsets come from shared memory,
/// so a broken peer must not be able to make us read elsewhere.
///
/// # Safety
/// The region must stay mapped for `'a`.
#[inline]
pub unsafe fn at<'a, T: ShmSafe>(base: *mut u8, len: usize, offset: u64) -> &'a T {
    let offset = offset as usize;
    let size = std::mem::size_of::<T>();
    assert!(
        offset.checked_add(size).is_some_and(|end| end <= len)
            && offset.is_multiple_of(std::mem::align_of::<T>()),
        "shared offset {offset:#x} is outside the arena"
    );
    // SAFETY: in bounds and aligned (checked above); every bit pattern is a valid `T`, and others
    // change it only through atomics. A process that dies leaves some valid `T` behind.
    unsafe { &*base.add(offset).cast::<T>() }
}

/// A slice of `count` such values; else as [`at`].
///
/// # Safety
/// The region must stay mapped for `'a`.
#[inline]
pub unsafe fn slice_at<'a, T: ShmSafe>(
    base: *mut u8,
    len: usize,
    offset: u64,
    count: usize,
) -> &'a [T] {
    let offset = offset as usize;
    let size = std::mem::size_of::<T>().saturating_mul(count);
    assert!(
        offset.checked_add(size).is_some_and(|end| end <= len)
            && offset.is_multiple_of(std::mem::align_of::<T>()),
        "shared range at {offset:#x} is outside the arena"
    );
    // SAFETY: as in `at`, for each value of the range.
    unsafe { std::slice::from_raw_parts(base.add(offset).cast::<T>(), count) }
}
