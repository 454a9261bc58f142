//! Descriptors that Python names by their numbers.

use std::os::fd::{BorrowedFd, RawFd};

/// Borrows descriptors for one call. Python code keeps them open meanwhile; of one that it closed
/// nevertheless the kernel says so, or takes the file that has got its number since.
pub(crate) fn borrow_fds(numbers: &[RawFd]) -> Vec<BorrowedFd<'_>> {
    let open = numbers.iter().filter(|&&number| number >= 0);
    // SAFETY: not -1; only handed to system calls, which check it. No memory depends on it.
    open.map(|&number| unsafe { BorrowedFd::borrow_raw(number) }).collect()
}
