//! The buffers of a forked child's streams.
//!
//! A buffered file has a lock. A thread of the parent that was in the middle of writing to it, or of
//! reading, has left it locked in the child for ever, and nobody can see that. But to initialise such an object
//! once more gives it a new lock and an empty buffer, in place, so that whoever has it goes on with it.
//!
//! That loses nothing: the forking thread has flushed its standard streams, log handlers flush after each record,
//! and what other threads have written since is written out by them, in the parent.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

use crate::once::intern;

/// Gives the standard streams and the files of log handlers new buffers.
pub(super) fn make_new(py: Python<'_>) {
    let Ok(kinds) = Kinds::new(py) else { return };
    let found = standard(py).into_iter().chain(of_log_handlers(py).unwrap_or_default());
    let mut done: Vec<Bound<'_, PyAny>> = Vec::new();
    for stream in found {
        if !done.iter().any(|other| other.is(&stream)) {
            // One that was closed or taken apart has no lock that anybody waits for.
            let _ = kinds.make_new(&stream);
            done.push(stream);
        }
    }
}

fn standard(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
    let Ok(sys) = py.import("sys") else { return Vec::new() };
    ["stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__"]
        .iter()
        .filter_map(|name| sys.getattr(*name).ok())
        .collect()
}

fn of_log_handlers(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyAny>>> {
    let modules = py.import("sys")?.getattr("modules")?;
    let handlers = modules.get_item("logging")?.getattr("_handlerList")?.cast_into::<PyList>()?;
    Ok(handlers
        .iter()
        .filter_map(|reference| reference.call0().ok()?.getattr(intern!(py, "stream")).ok())
        .collect())
}

/// The classes of the `io` module that matter here.
struct Kinds<'py> {
    text: Bound<'py, PyAny>,
    reader: Bound<'py, PyAny>,
    writers: [Bound<'py, PyAny>; 2],
    nowhere: Bound<'py, PyType>,
}

impl<'py> Kinds<'py> {
    fn new(py: Python<'py>) -> PyResult<Self> {
        let io = py.import("io")?;
        Ok(Self {
            text: io.getattr("TextIOWrapper")?,
            reader: io.getattr("BufferedReader")?,
            writers: [io.getattr("BufferedWriter")?, io.getattr("BufferedRandom")?],
            nowhere: io.getattr("BytesIO")?.cast_into()?,
        })
    }

    fn make_new(&self, stream: &Bound<'py, PyAny>) -> PyResult<()> {
        let text = stream.is_instance(&self.text)?.then_some(stream);
        let buffer = match text {
            Some(text) => text.getattr("buffer")?,
            None => stream.clone(),
        };
        let mut kinds = self.writers.iter().chain([&self.reader]);
        let Some(kind) = kinds.find(|kind| buffer.is_instance(kind).unwrap_or(false)) else {
            return Ok(());
        };
        if buffer.getattr("closed")?.is_truthy()? {
            return Ok(());
        }
        let raw = buffer.getattr("raw")?;
        let renew = |raw| kind.call_method1("__init__", (&buffer, raw));
        if let (Some(text), false) = (text, kind.is(&self.reader)) {
            // What the text layer still has is the parent's, too: let it flow off.
            renew(self.nowhere.call0()?)?;
            let _ = text.call_method0("flush");
        }
        renew(raw)?;
        Ok(())
    }
}
