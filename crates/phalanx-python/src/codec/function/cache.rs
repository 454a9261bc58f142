//! The worker's side: bytes become a callable, once.
use std::collections::VecDeque;
use std::sync::Arc;

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::adopt::{adopt, begin_adopting, is_adopted};
use super::definition::Definition;
use super::ship::{find_in_main, id_of, main_namespace};
use super::{form, value};
use crate::codec::frame::{Reader, corrupt};
use crate::codec::pickler;
use crate::ffi::{FunctionParts, str_from_utf8};

/// How many functions a worker keeps unless told otherwise.
const KEPT: usize = 256;

/// The functions that a worker has been given, those used last in front.
pub(crate) struct FunctionCache {
    entries: VecDeque<Entry>,
    kept: usize,
}

struct Entry {
    id: u64,
    bytes: Arc<[u8]>,
    /// The callable, unless it has state of its own and is made anew for each use.
    callable: Option<Py<PyAny>>,
}

impl Default for FunctionCache {
    fn default() -> Self {
        Self::with_capacity(KEPT)
    }
}

impl FunctionCache {
    /// A cache that keeps up to `kept` functions, at least one.
    ///
    /// Makes this process a worker: functions of the sender's `__main__` that arrive by value,
    /// whichever way, belong to the `__main__` of this process from now on.
    pub(crate) fn with_capacity(kept: usize) -> Self {
        begin_adopting();
        Self { entries: VecDeque::new(), kept: kept.max(1) }
    }

    /// The callable with this id; nothing if it was never given, or so long ago that it is
    /// forgotten and has to be sent again.
    ///
    /// # Errors
    ///
    /// What unpickling raises for a callable that is made anew.
    pub(crate) fn get(&mut self, py: Python<'_>, id: u64) -> PyResult<Option<Py<PyAny>>> {
        let Some(place) = self.entries.iter().position(|entry| entry.id == id) else {
            return Ok(None);
        };
        if place > 0 {
            self.entries.swap(place, place - 1);
        }
        let entry = &self.entries[place.saturating_sub(1)];
        match &entry.callable {
            Some(callable) => Ok(Some(callable.clone_ref(py))),
            None => Ok(Some(make(py, &entry.bytes)?.unbind())),
        }
    }

    /// The callable that [`ship`](super::ship()) sent as `bytes`; kept under their id from now on.
    ///
    /// # Errors
    ///
    /// `AttributeError` if `__main__` here lacks the function and its value did not come along,
    /// `ValueError` for damaged bytes, what importing or unpickling raises.
    pub(crate) fn resolve(&mut self, py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
        let id = id_of(bytes);
        if let Some(callable) = self.get(py, id)? {
            return Ok(callable);
        }
        let made = make(py, bytes)?;
        let is_stateful = bytes.first() == Some(&form::STATEFUL);
        let callable = (!is_stateful).then(|| made.clone().unbind());
        if self.entries.len() >= self.kept {
            self.entries.pop_back();
        }
        self.entries.push_front(Entry { id, bytes: bytes.into(), callable });
        Ok(made.unbind())
    }
}

fn make<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        form::NAMED | form::STATEFUL => load(py, reader.remainder()),
        form::MAIN => {
            let name = reader.long_bytes()?;
            let fingerprint = u64::from_le_bytes(reader.array()?);
            let form = reader.u8()?;
            of_main(py, name, fingerprint, form, reader.remainder())
        }
        other => Err(corrupt(&format!("unknown form {other} of a function"))),
    }
}

fn of_main<'py>(
    py: Python<'py>,
    path: &[u8],
    fingerprint: u64,
    value_form: u8,
    value: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let found = find_in_main(py, path)?;
    let path = str_from_utf8(py, path)?;
    if let Some(found) = &found
        && has_fingerprint(py, found, fingerprint)?
        // What an adopted function refers to may have changed since in the sender.
        && (value_form == form::NO_VALUE || !is_adopted(&path, found)?)
    {
        return Ok(found.clone());
    }
    let function = match value_form {
        form::NO_VALUE => None,
        form::PLAIN => Some(value::rebuild(py, value)?),
        form::PICKLED => Some(load(py, value)?),
        other => return Err(corrupt(&format!("unknown form {other} of a value"))),
    };
    if let Some(function) = function {
        if !path.contains(".")? {
            adopt(&main_namespace(py)?, &path, &function)?;
        }
        return Ok(function);
    }
    found.ok_or_else(|| {
        PyAttributeError::new_err(format!(
            "cannot find '{path}' in the __main__ module of this worker: define it before the \
             worker is started"
        ))
    })
}

fn has_fingerprint(py: Python<'_>, found: &Bound<'_, PyAny>, fingerprint: u64) -> PyResult<bool> {
    let namespace = main_namespace(py)?;
    if !FunctionParts::of(found).is_some_and(|parts| parts.globals.is(&namespace)) {
        return Ok(false);
    }
    let definition = Definition::of(found, &namespace);
    Ok(definition.is_known() && definition.fingerprint == fingerprint)
}

fn load<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    pickler::load(py, &PyBytes::new(py, pickle).into_any(), Vec::new().into_iter())
}
