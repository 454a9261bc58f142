//! Imports that other threads are in the middle of when a process is to be forked.
//!
//! `importlib` keeps a lock for each module that is being imported, in a dictionary from which it vanishes
//! afterwards. So that dictionary says what is under way. It is read without running code of Python, so
//! nothing changes meanwhile.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use phalanx_os::clock::Deadline;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// How long a fork waits for the imports that it finds under way. Most take far less; one that takes longer
/// may be one that never ends, such as a server's that is run by importing it.
const LIMIT: Duration = Duration::from_secs(5);

/// How long it waits for those that begin meanwhile: some programs import all the time.
const LIMIT_OF_LATER: Duration = Duration::from_secs(1);

/// Imports that a fork has waited for in vain: the next one does not wait for them.
///
/// The lock is held only by a thread that has the GIL and runs no code of Python meanwhile, so a
/// child, which is forked with the GIL, finds it free.
static OUTLASTED: Mutex<Vec<Import>> = Mutex::new(Vec::new());

#[derive(Clone, PartialEq, Eq)]
struct Import {
    module: String,
    /// The identity of the thread; none in the moment before it takes the lock.
    thread: Option<u64>,
}

/// What the other threads import, and how long to wait for it.
pub(super) struct Imports<'py> {
    locks: Bound<'py, PyDict>,
    me: u64,
    found: Vec<Import>,
    deadline: Deadline,
    deadline_of_later: Deadline,
}

impl<'py> Imports<'py> {
    pub(super) fn of_others(py: Python<'py>) -> PyResult<Self> {
        let locks = py.import("_frozen_importlib").and_then(|m| m.getattr("_module_locks"));
        let mut imports = Self {
            // An interpreter that keeps them elsewhere is left to itself.
            locks: locks.ok().and_then(|locks| locks.cast_into().ok()).unwrap_or(PyDict::new(py)),
            me: py.import("_thread")?.call_method0("get_ident")?.extract()?,
            found: Vec::new(),
            deadline: Deadline::after(LIMIT),
            deadline_of_later: Deadline::after(LIMIT_OF_LATER),
        };
        imports.found = imports.under_way();
        Ok(imports)
    }

    /// Whether a fork should wait for an import, as the limit allows.
    pub(super) fn worth_waiting_for(&self) -> bool {
        let under_way = self.under_way();
        if under_way.is_empty() {
            return false;
        }
        let now = Deadline::now();
        let mut outlasted = OUTLASTED.lock().unwrap_or_else(PoisonError::into_inner);
        let in_time = |import: &Import| {
            now < if self.found.contains(import) { self.deadline } else { self.deadline_of_later }
        };
        if under_way.iter().any(|import| in_time(import) && !outlasted.contains(import)) {
            return true;
        }
        outlasted.retain(|import| under_way.contains(import));
        if now >= self.deadline {
            outlasted.extend(under_way.into_iter().filter(|import| self.found.contains(import)));
        }
        false
    }

    fn under_way(&self) -> Vec<Import> {
        let known = self.locks.items();
        known.iter().filter_map(|item| self.of_another(&item).ok().flatten()).collect()
    }

    /// The import that a name and a weak reference to a lock stand for, if it is another thread's.
    fn of_another(&self, item: &Bound<'py, PyAny>) -> PyResult<Option<Import>> {
        let (module, lock): (String, Bound<'py, PyAny>) = item.extract()?;
        let lock = lock.call0()?;
        if lock.is_none() {
            return Ok(None);
        }
        let thread: Option<u64> = lock.getattr("owner")?.extract()?;
        Ok((thread != Some(self.me)).then_some(Import { module, thread }))
    }

    /// In the child: lets what its parent's other threads were importing be as if that had failed.
    pub(super) fn forget(&self, py: Python<'py>) {
        for Import { module, .. } in self.under_way() {
            let _ = self.locks.del_item(&module);
            let _ = forget_half_made(py, &module);
        }
    }
}

/// Removes a module from those that are known, unless it was complete.
fn forget_half_made(py: Python<'_>, name: &str) -> PyResult<()> {
    let modules = py.import("sys")?.getattr("modules")?;
    let module = modules.get_item(name)?;
    if module.getattr("__spec__")?.getattr("_initializing")?.is_truthy()? {
        modules.del_item(name)?;
    }
    Ok(())
}
