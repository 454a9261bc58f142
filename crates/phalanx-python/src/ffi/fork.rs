//! Forking a process that runs an interpreter.

use std::io;

use pyo3::{Python, ffi};

/// What came of an attempt to fork.
pub(crate) enum Forked {
    /// This is the parent; the child has that process id.
    Parent(u32),
    /// This is the child.
    Child,
    /// There was no fork, since this was not the moment for it.
    Postponed,
}

/// Duplicates the process with the interpreter's own preparations around the fork, as `os.fork`
/// does.
///
/// `is_good_moment` is asked after the interpreter's preparations, which run code of Python. If it
/// runs none itself, no other thread does anything between its answer and the fork that needs
/// the interpreter.
///
/// Unlike `os.fork` it draws no warning when the process has several threads: what runs in the
/// child is ours.
pub(crate) fn fork<'py>(
    py: Python<'py>,
    is_good_moment: impl FnOnce(Python<'py>) -> bool,
) -> io::Result<Forked> {
    // SAFETY: the caller is attached to the interpreter, which is what all of these ask for, and
    // the interpreter's handlers make the child's only thread its main one. The child goes on in
    // the same frames with the same attachment. After a fork that failed or was put off the
    // handlers for the parent undo the preparations. Either side may die at any step: the two share
    // no interpreter state.
    unsafe {
        ffi::PyOS_BeforeFork();
        let result = if is_good_moment(py) { Some(phalanx_os::fork::fork()) } else { None };
        if matches!(result, Some(Ok(None))) {
            ffi::PyOS_AfterFork_Child();
        } else {
            ffi::PyOS_AfterFork_Parent();
        }
        match result {
            None => Ok(Forked::Postponed),
            Some(result) => Ok(result?.map_or(Forked::Child, Forked::Parent)),
        }
    }
}

/// Whether threads other than the calling one take part in this interpreter.
pub(crate) fn has_other_threads(_py: Python<'_>) -> bool {
    // SAFETY: the caller is attached, so the list has its thread. A thread that joins the list
    // meanwhile does so in front, complete; one leaves it only while it has the GIL, which the
    // caller has. No other process has a part in this.
    unsafe {
        let first = ffi::PyInterpreterState_ThreadHead(ffi::PyInterpreterState_Get());
        !ffi::PyThreadState_Next(first).is_null()
    }
}
