//! The worker's side: the generators, set for each task.

use std::cell::{Cell, RefCell};

use phalanx::seed::SeedSequence;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::once::intern;

/// The module whose global generator is set, if the program has imported it.
const NUMPY: &str = "numpy.random";

/// Words for `random`, and as many for numpy's global generator: both are Mersenne twisters, which would
/// give the same numbers if they began with the same words.
const WORDS: usize = 4;

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// The generator of this thread outside of seeded tasks.
    static OWN: RefCell<Option<(u32, Py<PyAny>)>> = const { RefCell::new(None) };
}

/// The stream of the task that this thread runs.
struct Current {
    /// A forked child has a copy that is not meant for it.
    process: u32,
    seed: Py<PyAny>,
    call: u64,
    index: u64,
    /// For numpy's global generator, if that is the task's.
    numpy: Option<[u32; WORDS]>,
    generator: Option<Py<PyAny>>,
}

/// The streams of the tasks of one call.
pub(in super::super) struct Streams {
    bytes: Vec<u8>,
    sequence: SeedSequence,
    seed: Py<PyAny>,
    call: u64,
    /// The number of the first task.
    first: u64,
    /// `random.seed`.
    reseed: Py<PyAny>,
    /// A later import of numpy has been provided for.
    watches: Cell<bool>,
}

impl Streams {
    /// The streams of a call, from what [`super::Seeds`] has written.
    pub(in super::super) fn of(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let damaged = || PyValueError::new_err("the seed of the call is gone from shared memory");
        let (call, rest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (first, seed) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (call, first) = (u64::from_le_bytes(*call), u64::from_le_bytes(*first));
        let (words, rest) = seed.as_chunks::<4>();
        if words.is_empty() || !rest.is_empty() {
            return Err(damaged());
        }
        let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let int = py.get_type::<pyo3::types::PyInt>();
        let seed = int.call_method1("from_bytes", (seed, "little"))?.unbind();
        let reseed = py.import("random")?.getattr("seed")?.unbind();
        let sequence = SeedSequence::new(&words).child(call);
        let watches = Cell::new(false);
        Ok(Self { bytes: bytes.to_vec(), sequence, seed, call, first, reseed, watches })
    }

    /// Whether they are those of what was read.
    pub(in super::super) fn are_of(&self, bytes: &[u8]) -> bool {
        self.bytes == bytes
    }

    /// Sets the generators for a task.
    pub(in super::super) fn begin(&self, py: Python<'_>, index: u64) -> PyResult<()> {
        let index = self.first + index;
        let mut words = [0; 2 * WORDS];
        self.sequence.child(index).fill(&mut words);
        let number = words[..WORDS].iter().rev().fold(0, |n, word| n << 32 | u128::from(*word));
        self.reseed.call1(py, (number,))?;
        let mut numpy = [0; WORDS];
        numpy.copy_from_slice(&words[WORDS..]);
        CURRENT.set(Some(self.current(py, index, Some(numpy))));
        if !self.watches.replace(true) {
            watch_for_numpy(py)?;
        }
        seed_numpy(py, &numpy)
    }

    fn current(&self, py: Python<'_>, index: u64, numpy: Option<[u32; WORDS]>) -> Current {
        let (process, seed) = (std::process::id(), self.seed.clone_ref(py));
        Current { process, seed, call: self.call, index, numpy, generator: None }
    }

    /// Runs a task of one thread among others. It has [`rng`] for itself; the global generators belong to
    /// all threads, and are left alone.
    pub(super) fn run_in_thread<R>(
        &self,
        py: Python<'_>,
        index: u64,
        task: impl FnOnce() -> PyResult<R>,
    ) -> PyResult<R> {
        let outer = CURRENT.replace(Some(self.current(py, self.first + index, None)));
        let outcome = task();
        drop(CURRENT.replace(outer));
        outcome
    }

    /// No task of theirs runs any more.
    pub(in super::super) fn end() {
        drop(CURRENT.take());
    }

    /// Runs a function with a task's streams, and puts the generators back as they were.
    pub(super) fn run_here(
        &self,
        py: Python<'_>,
        index: u64,
        function: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let random = py.import("random")?;
        let before = random.call_method0("getstate")?;
        let numpy = loaded(py, NUMPY)?;
        let numpy_before = numpy.as_ref().map(|m| m.call_method0("get_state")).transpose()?;
        let outer = CURRENT.take();
        let outcome = self.begin(py, index).and_then(|()| function.call0());
        drop(CURRENT.replace(outer));
        random.call_method1("setstate", (before,))?;
        if let (Some(numpy), Some(state)) = (numpy, numpy_before) {
            numpy.call_method1("set_state", (state,))?;
        }
        Ok(outcome?.unbind())
    }
}

fn loaded<'py>(py: Python<'py>, module: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    modules.cast::<PyDict>()?.get_item(module)
}

fn seed_numpy(py: Python<'_>, words: &[u32; WORDS]) -> PyResult<()> {
    if let Some(numpy) = loaded(py, NUMPY)?
        && let Some(seed) = numpy.getattr_opt(intern!(py, "seed"))?
    {
        seed.call1((PyList::new(py, words)?,))?;
    }
    Ok(())
}

/// A task may be the first to import numpy, whose global generator is then to be set as well.
fn watch_for_numpy(py: Python<'_>) -> PyResult<()> {
    if loaded(py, NUMPY)?.is_none() {
        py.import("phalanx._late")?.call_method1("watch", (NUMPY,))?;
    }
    Ok(())
}

/// Sets numpy's global generator for the task that runs: numpy has just been imported.
#[pyfunction]
pub(crate) fn _reseed_numpy(py: Python<'_>) -> PyResult<()> {
    let me = std::process::id();
    let words = CURRENT.with_borrow(|current| {
        current.as_ref().filter(|current| current.process == me).and_then(|current| current.numpy)
    });
    words.map_or(Ok(()), |words| seed_numpy(py, &words))
}

/// Prepares the generators of a worker that has just begun: forked ones have copies of one state. (That
/// of `random` is set anew by the interpreter in every forked child.)
pub(in super::super) fn begin_worker(py: Python<'_>) {
    drop(CURRENT.take());
    let Ok(Some(_)) = loaded(py, NUMPY) else { return };
    let mut bytes = [0; 4 * WORDS];
    if phalanx_os::random::fill(&mut bytes).is_err() {
        return;
    }
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    // A program may have put a generator there that cannot be seeded: then it is the program's affair.
    let _ = seed_numpy(py, &words);
}

/// Return the numpy generator of the running task.
///
/// In a task of a pool, an executor or a `Parallel` with a `seed` it is the task's own: the same for
/// the same seed, whatever else runs where and when. Elsewhere it is one that this thread of this
/// process has alone, with a seed that nobody knows.
#[pyfunction]
pub(crate) fn rng(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let me = std::process::id();
    let known = CURRENT.with_borrow(|current| {
        let current = current.as_ref().filter(|current| current.process == me)?;
        let generator = current.generator.as_ref().map(|known| known.clone_ref(py));
        Some((generator, current.seed.clone_ref(py), current.call, current.index))
    });
    match known {
        Some((Some(generator), ..)) => Ok(generator),
        Some((None, seed, call, index)) => {
            let key = PyDict::new(py);
            key.set_item("spawn_key", (call, index))?;
            let numpy = py.import(NUMPY)?;
            let sequence = numpy.getattr("SeedSequence")?.call((seed,), Some(&key))?;
            let generator = numpy.call_method1("default_rng", (sequence,))?.unbind();
            CURRENT.with_borrow_mut(|current| {
                if let Some(current) = current {
                    current.generator = Some(generator.clone_ref(py));
                }
            });
            Ok(generator)
        }
        None => own_generator(py, me),
    }
}

fn own_generator(py: Python<'_>, me: u32) -> PyResult<Py<PyAny>> {
    let known = OWN.with_borrow(|own| {
        own.as_ref().filter(|(process, _)| *process == me).map(|(_, own)| own.clone_ref(py))
    });
    if let Some(generator) = known {
        return Ok(generator);
    }
    let generator = py.import(NUMPY)?.call_method0("default_rng")?.unbind();
    let former = OWN.replace(Some((me, generator.clone_ref(py))));
    drop(former);
    Ok(generator)
}
