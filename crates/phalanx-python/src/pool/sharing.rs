//! Large arguments that the tasks of a call have in common: stored once, read by every worker.
//!
//! `phalanx.Parallel` does not know its tasks beforehand, so a buffer is looked up by where it lies as
//! each task is sent. It stays stored while a task that refers to it is on its way, and for some more
//! tasks after that; what is used once is let go soon, so that an endless stream of large arrays needs
//! no more memory than those on their way.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | the owner | its holds on the stashes | the sweep; workers keep what they have opened |
//! | a worker | its hold | the sweep |

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use phalanx::stash::Stash;
use phalanx_shm::family::Family;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::core::PoolCore;
use super::job::{Callbacks, Job};
use super::owner::locked;
use super::results::{ApplyResult, InProcesses};
use super::sending::name_of;
use super::shared::{ADDRESS, READ_ONLY};
use super::wire::Mode;
use crate::codec::OutOfBand;
use crate::ffi::Payload;
use crate::message::out_of_memory;

/// A stored buffer that no task on its way refers to is kept for so many further tasks with buffers.
const KEPT_FOR: u64 = 8;

/// What is stored for a call, and from which size on.
pub(super) struct Table {
    min_len: usize,
    is_read_only: bool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By address and length; the payload keeps the buffer where it is.
    stashes: HashMap<(usize, usize), Stored>,
    count: u64,
}

struct Stored {
    stash: Arc<Stash>,
    _payload: Payload,
    used: u64,
}

impl Table {
    /// Whether any of a task's buffers is to be shared.
    pub(super) fn concerns(&self, buffers: &OutOfBand) -> bool {
        buffers.iter().any(|buffer| buffer.len() >= self.min_len)
    }

    /// Stores a frame's buffers, those that are not shared for this frame alone, and puts their
    /// addresses before it. What it returns has to be kept until the frame has been answered.
    pub(super) fn store(
        &self,
        py: Python<'_>,
        family: &'static Family,
        frame: &mut Vec<u8>,
        buffers: OutOfBand,
    ) -> PyResult<Vec<Arc<Stash>>> {
        let mut stashes = Vec::with_capacity(buffers.len());
        let mut addresses = Vec::with_capacity(8 + buffers.len() * ADDRESS);
        addresses.extend_from_slice(&(buffers.len() as u64).to_le_bytes());
        for buffer in buffers {
            let is_shared = buffer.len() >= self.min_len;
            let stash = if is_shared {
                self.shared(py, family, buffer)?
            } else {
                Arc::new(Stash::new(family, buffer.as_slice(py)).map_err(out_of_memory)?)
            };
            let [offset, tag, len] = stash.address();
            let flag = if is_shared && self.is_read_only { READ_ONLY } else { 0 };
            for word in [offset, tag, len | flag] {
                addresses.extend_from_slice(&word.to_le_bytes());
            }
            stashes.push(stash);
        }
        frame.splice(0..0, addresses);
        self.forget_unused();
        Ok(stashes)
    }

    fn shared(
        &self,
        py: Python<'_>,
        family: &'static Family,
        buffer: Payload,
    ) -> PyResult<Arc<Stash>> {
        let key = (buffer.as_slice(py).as_ptr().addr(), buffer.len());
        {
            let mut kept = locked(&self.kept);
            let count = kept.count;
            if let Some(stored) = kept.stashes.get_mut(&key) {
                stored.used = count;
                return Ok(Arc::clone(&stored.stash));
            }
        }
        let stash = py.detach(|| buffer.with_bytes(|bytes| Stash::new(family, bytes)));
        let stash = Arc::new(stash.map_err(out_of_memory)?);
        let mut kept = locked(&self.kept);
        let used = kept.count;
        let stored = Stored { stash: Arc::clone(&stash), _payload: buffer, used };
        let old = kept.stashes.insert(key, stored);
        drop(kept);
        drop(old);
        Ok(stash)
    }

    fn forget_unused(&self) {
        let forgotten: Vec<_> = {
            let mut kept = locked(&self.kept);
            kept.count += 1;
            let count = kept.count;
            let is_unused = |stored: &Stored| {
                Arc::strong_count(&stored.stash) == 1 && stored.used + KEPT_FOR < count
            };
            kept.stashes.extract_if(|_, stored| is_unused(stored)).collect()
        };
        // Their objects may run code of the user's as they go, so no lock is held.
        drop(forgotten);
    }
}

/// Where the large arguments of a call are stored once for all of its tasks.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct Sharing(Arc<Table>);

impl Sharing {
    pub(super) fn handle(&self) -> Arc<Table> {
        Arc::clone(&self.0)
    }
}

#[pymethods]
impl Sharing {
    /// Shares buffers of `min_len` bytes and more; receivers may only read them, or else each has its
    /// own to change.
    #[new]
    #[pyo3(signature = (min_len, read_only=true))]
    fn new(min_len: usize, read_only: bool) -> Self {
        let kept = Mutex::default();
        Self(Arc::new(Table { min_len: min_len.max(1), is_read_only: read_only, kept }))
    }

    /// Sends one call to a pool's workers.
    #[pyo3(signature = (core, function, args, callback=None, error_callback=None))]
    fn apply(
        &self,
        py: Python<'_>,
        core: &Bound<'_, PoolCore>,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        callback: Option<Py<PyAny>>,
        error_callback: Option<Py<PyAny>>,
    ) -> PyResult<ApplyResult> {
        let owner = core.get().owner();
        owner.check_running(py)?;
        let shipped = owner.function(py, function, None)?;
        let callbacks = Callbacks { value: callback, error: error_callback };
        let id = owner.next_job.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let job = Job::new(id, Mode::Apply, false, name_of(function), Some(shipped), callbacks)
            .with_sharing(Some(self.handle()));
        let job = owner.enter(job, Some(1));
        owner.send(py, &job, 0, &PyList::new(py, [args])?, 0..1, true);
        Ok(ApplyResult::new(Box::new(InProcesses { owner, job })))
    }
}
