//! Forking beside the program's own threads.
//!
//! The child of a fork has one thread. What any other was in the middle of stays as it was at that moment, for
//! ever: a lock that it held is never released, a module that it imported never complete. The interpreter
//! puts its own locks in order, and those of `threading` and `logging`; the engine does the same
//! with its own. Two things that nearly every program has are left, and are dealt with here:
//!
//! * **Imports.** Each module has a lock while it is imported. The fork waits until no other thread imports
//!   anything; an import that takes too long fails in the child, which means that it is begun anew there.
//! * **Streams.** A buffered file has a lock, held while a thread writes into a pipe or reads from a terminal.
//!   The child makes the buffers of its standard streams and of the log handlers new. What is in them has
//!   been written by threads of the parent, which will write it out.
//!
//! A process without other threads pays nothing for these two. Locks of the program itself are its own affair, and so are
//! those of C libraries that keep threads: nobody can know what they protect.

mod imports;
mod streams;

use std::io;
use std::time::Duration;

use pyo3::prelude::*;

use crate::ffi::{self, Forked};
use crate::undisturbed::Waiting;
use imports::Imports;

/// How often imports of other threads are looked at while one is waited for.
const LOOK: Duration = Duration::from_millis(1);

/// Duplicates the process; `None` in the child, the child's process id in the parent. On both sides signal handlers wait
/// until the caller has done what must not be interrupted: what they raised in a function of
/// `os.register_at_fork` would be printed and forgotten.
///
/// The outer error is an exception that a signal handler raised before or after an attempt, the
/// inner one the kernel's refusal.
pub(crate) fn fork(py: Python<'_>) -> PyResult<io::Result<(Option<u32>, Waiting)>> {
    if !ffi::has_other_threads(py) {
        let waiting = Waiting::begin(py)?;
        return match fork_alone(py) {
            Ok(forked) => Ok(Ok((forked, waiting))),
            Err(e) => waiting.end(py).map(|()| Err(e)),
        };
    }
    let imports = Imports::of_others(py)?;
    loop {
        while imports.worth_waiting_for() {
            py.detach(|| std::thread::sleep(LOOK));
            py.check_signals()?;
        }
        let waiting = Waiting::begin(py)?;
        match ffi::fork(py, |_| !imports.worth_waiting_for()) {
            Ok(Forked::Postponed) => waiting.end(py)?,
            Ok(Forked::Parent(pid)) => return Ok(Ok((Some(pid), waiting))),
            Ok(Forked::Child) => {
                streams::make_new(py);
                imports.forget(py);
                return Ok(Ok((None, waiting)));
            }
            Err(e) => return waiting.end(py).map(|()| Err(e)),
        }
    }
}

/// The same in a process that has no other threads.
pub(crate) fn fork_alone(py: Python<'_>) -> io::Result<Option<u32>> {
    ffi::fork(py, |_| true).map(|forked| match forked {
        Forked::Parent(pid) => Some(pid),
        Forked::Child | Forked::Postponed => None,
    })
}
