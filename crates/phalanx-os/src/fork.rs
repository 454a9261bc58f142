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
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

/// Duplicates the calling process; `None` in the child, the child's process id in the parent.
///
/// # Safety
/// In the child only the calling thread exists: locks that other threads held stay locked for
/// ever, and values that they own are never dropped. The caller makes sure that what the child
/// runs does not depend on them (an interpreter: by calling its own functions around this one).
///
/// # Errors
/// When the kernel refuses another process (`RLIMIT_NPROC`, memory).
pub unsafe fn fork() -> io::Result<Option<u32>> {
    // SAFETY: the caller's promise. A death on either side leaves two ordinary processes.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid.cast_unsigned())),
    }
}

/// Duplicates a process that has one thread, with which the child goes on: `None` in the child,
/// the child's process id in the parent.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] if there are other threads; or when the kernel refuses another
/// process.
pub fn fork_alone() -> io::Result<Option<u32>> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "cannot fork a process that has several threads: fork before starting them",
        ));
    }
    // SAFETY: no other thread holds a lock or owns a value that the child could miss, and none can
    // have been started since, but by this one. A death on either side concerns nobody else.
    unsafe { fork() }
}

/// Ends the process at once, without running destructors or `atexit` handlers: what a forked
/// child does, since those belong to its parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process; nothing of it is used afterwards.
    unsafe { libc::_exit(code) }
}

/// Runs `body` in a forked child, which ends with the code it returns (101 if it panics);
/// returns the child's process id to the parent, which has to reap it.
///
/// In a process with several threads `body` must not need a lock that another thread may have
/// held at this moment.
///
/// # Errors
/// When the kernel refuses another process.
pub fn run_in_child(body: impl FnOnce() -> i32) -> io::Result<u32> {
    // SAFETY: the child never returns into the caller's code, and what `body` may touch is named
    // above; a lock that is never released makes it wait, which breaks no memory.
    if let Some(pid) = unsafe { fork() }? {
        return Ok(pid);
    }
    let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
    exit_now(code)
}
