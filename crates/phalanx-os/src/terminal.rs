//! The size of a terminal: `TIOCGWINSZ`.

#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

/// How many columns the terminal behind a descriptor has; `None` if it is none, or does not know.
#[must_use]
pub fn columns(fd: impl AsFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel fills the structure; nobody else is concerned.
    let done = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}
