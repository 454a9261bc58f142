//! Forking a process that runs an interpreter.

use std::io;

use pyo3::{Python, ffi};

/// Duplicates the process with the interpreter's own preparations around the fork, as `os.fork`
/// does; `None` in the child.
///
/// Unlike `os.fork` it draws no warning when the process has several threads: what runs in the
/// child is ours.
pub(crate) fn fork(_py: Python<'_>) -> io::Result<Option<u32>> {
    // SAFETY: the caller is attached to the interpreter, which is what all of these ask for, and
    // the interpreter's handlers make the child's only thread its main one. The child goes on in
    // the same frames with the same attachment. Either side may die at any step: the two share no
    // interpreter state.
    unsafe {
        ffi::PyOS_BeforeFork();
        let result = phalanx_os::fork::fork();
        if matches!(result, Ok(None)) {
            ffi::PyOS_AfterFork_Child();
        } else {
            ffi::PyOS_AfterFork_Parent();
        }
        result
    }
}
