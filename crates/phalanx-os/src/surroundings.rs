//! What a process finds around it when it begins: standard streams, environment, a name.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// One of the three standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 0.
    Input,
    /// Descriptor 1.
    Output,
    /// Descriptor 2.
    Error,
}

/// Makes a standard stream of this process another name of `fd`: `dup2(2)`.
///
/// # Errors
/// The kernel's refusal.
pub fn replace_stream(stream: Stream, fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(match stream {
        Stream::Input => dup2_stdin(fd),
        Stream::Output => dup2_stdout(fd),
        Stream::Error => dup2_stderr(fd),
    }?)
}

/// Changes the environment of a process that has one thread: sets a variable, or removes it.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] if there are other threads, which may be reading it; `InvalidInput`
/// for a name that is empty or has a `=` in it.
pub fn set_variable(name: &CStr, value: Option<&CStr>) -> io::Result<()> {
    alone()?;
    // SAFETY: terminated strings, copied by the C library; nobody else reads the environment meanwhile,
    // since there is no other thread. A death here concerns this process alone.
    let code = unsafe {
        match value {
            Some(value) => libc::setenv(name.as_ptr(), value.as_ptr(), 1),
            None => libc::unsetenv(name.as_ptr()),
        }
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Removes all variables from the environment of a process that has one thread.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] if there are other threads.
pub fn clear_variables() -> io::Result<()> {
    alone()?;
    // SAFETY: as above.
    if unsafe { libc::clearenv() } == 0 { Ok(()) } else { Err(io::Error::other("clearenv failed")) }
}

fn alone() -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() == 1 {
        return Ok(());
    }
    let text = "the environment of a process that has several threads cannot be changed";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// Gives the calling thread a name for `ps` and the like, cut to 15 bytes; that of its main thread is
/// the name of a process.
///
/// # Errors
/// The kernel's refusal.
pub fn set_name(name: &CStr) -> io::Result<()> {
    let bytes = name.to_bytes();
    let short: Vec<u8> = bytes.iter().copied().take(15).chain([0]).collect();
    let short = CStr::from_bytes_until_nul(&short).map_err(io::Error::other)?;
    Ok(rustix::thread::set_name(short)?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::fork::run_in_child;

    #[test]
    fn a_child_arranges_its_own_surroundings() -> io::Result<()> {
        let child = run_in_child(|| {
            let arrange = || -> io::Result<bool> {
                set_variable(c"PHALANX_A", Some(c"1"))?;
                set_variable(c"PATH", None)?;
                let set = std::env::var("PHALANX_A").is_ok() && std::env::var("PATH").is_err();
                clear_variables()?;
                set_name(c"a name of more than fifteen bytes")?;
                let name = std::fs::read_to_string("/proc/self/comm")?;
                let null = std::fs::File::open("/dev/null")?;
                replace_stream(Stream::Input, null.as_fd())?;
                let input = std::fs::read_link("/proc/self/fd/0")?;
                Ok(set
                    && std::env::vars().count() == 0
                    && name == "a name of more \n"
                    && input.as_os_str() == "/dev/null")
            };
            i32::from(!arrange().unwrap_or(false))
        })?;
        assert_eq!(crate::wait::reap_blocking(child)?, crate::wait::ExitStatus::Code(0));
        let threads = std::thread::scope(|s| s.spawn(clear_variables).join());
        assert!(threads.is_ok_and(|refused| refused.is_err()));
        Ok(())
    }
}
