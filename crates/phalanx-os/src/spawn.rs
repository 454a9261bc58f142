//! Starting another program: `posix_spawn(3)`.
//!
//! The cost does not grow with the memory of the caller (unlike `fork`), and no code of ours
//! runs between the two programs. Descriptors stay open in the child only if they are listed:
//! everything else is expected to be closed on exec, as all descriptors of this project are.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;

use crate::signal::SignalSet;

unsafe extern "C" {
    static environ: *const *mut c_char;
}

/// What to start, and what the new process inherits.
#[derive(Debug)]
pub struct Program<'a> {
    /// The file to execute; not looked for along `PATH`.
    pub path: &'a CStr,
    /// The arguments, the program's own name first.
    pub arguments: &'a [CString],
    /// Descriptors that the child has under the same numbers, besides 0, 1 and 2.
    pub keep: &'a [RawFd],
    /// The signals that the child starts with blocked; `None`: those of the calling thread.
    pub mask: Option<SignalSet>,
}

/// Starts the program with the present environment and returns its process id. The caller has
/// to reap it.
///
/// # Errors
/// `NotFound` or `PermissionDenied` when the file cannot be executed, an error of kind
/// `Other` (`EBADF`) when a listed descriptor is not open, or the kernel's refusal.
pub fn spawn(program: &Program<'_>) -> io::Result<u32> {
    let mut argv: Vec<*mut c_char> =
        program.arguments.iter().map(|a| a.as_ptr().cast_mut()).collect();
    argv.push(ptr::null_mut());

    let mut actions = Actions::new()?;
    for &fd in program.keep {
        actions.keep(fd)?;
    }
    let mut attributes = Attributes::new()?;
    if let Some(mask) = &program.mask {
        attributes.mask(mask)?;
    }

    let mut pid = 0;
    // SAFETY: all pointers are to live, null-terminated or initialised values that outlast the
    // call; the environment is read as every exec reads it. A death here leaves at most a child
    // that the kernel gives to init.
    let code = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.path.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            argv.as_ptr(),
            environ,
        )
    };
    check(code)?;
    Ok(pid.cast_unsigned())
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: initialised on success, private to this call.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            Ok(Self(actions.assume_init()))
        }
    }

    /// A dup of a descriptor to itself is how close-on-exec is cleared in the child only.
    fn keep(&mut self, fd: RawFd) -> io::Result<()> {
        // SAFETY: an initialised list of actions, private to this call.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, fd, fd) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: initialised on success, private to this call.
        unsafe {
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            Ok(Self(attributes.assume_init()))
        }
    }

    fn mask(&mut self, mask: &SignalSet) -> io::Result<()> {
        let flags = libc::POSIX_SPAWN_SETSIGMASK as libc::c_short;
        // SAFETY: initialised attributes and set, private to this call.
        unsafe {
            check(libc::posix_spawnattr_setsigmask(&raw mut self.0, mask.as_raw()))?;
            check(libc::posix_spawnattr_setflags(&raw mut self.0, flags))
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used again.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

fn check(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}
