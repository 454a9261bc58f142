//! What has to happen around every `fork` of this process: `pthread_atfork(3)`.

#![allow(unsafe_code)]

use std::io;

/// Registers functions that the C library calls around each `fork(2)` of this process, whoever
/// calls it: before it, after it in the parent, and after it in the child.
///
/// `vfork` and `posix_spawn` do not call them. The child's function runs in a process that has
/// one thread; it must not wait for a lock that another thread may have held.
///
/// # Errors
/// When the C library has no memory for the registration.
pub fn at_fork(
    before: extern "C" fn(),
    in_parent: extern "C" fn(),
    in_child: extern "C" fn(),
) -> io::Result<()> {
    // SAFETY: the functions are static and take no arguments.
    let code = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code))
    }
}
