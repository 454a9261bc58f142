//! The cache on disk as Python objects.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use phalanx::cache::{Cache, CacheError, Claim, Entry, Limits, Lookup};
use phalanx_shm::patience::GaveUp;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};

use super::array;
use super::function::key_of;
use crate::ffi::{Payload, fill_new};
use crate::interrupt;

/// From this length on the system's untouched memory is worth a call into NumPy.
const LARGE: usize = 1 << 20;

/// A folder of computed values.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct CacheStore(Cache);

#[pymethods]
impl CacheStore {
    #[new]
    #[pyo3(signature = (location, bytes_limit = None))]
    fn new(location: PathBuf, bytes_limit: Option<u64>) -> PyResult<Self> {
        let cache = Cache::open(location).map_err(error)?;
        Ok(Self(match bytes_limit {
            Some(limit) => cache.with_limit(limit),
            None => cache,
        }))
    }

    /// The folder of the cache.
    #[getter]
    fn folder(&self) -> PathBuf {
        self.0.folder().to_owned()
    }

    /// The folder of the entries of one shelf.
    fn shelf_folder(&self, shelf: &str) -> PathBuf {
        self.0.shelf_folder(shelf)
    }

    /// The entry of a key, or `None`. Raises `ValueError` if it is not what was stored.
    fn get(&self, shelf: &str, key: &Bound<'_, PyString>) -> PyResult<Option<CacheEntry>> {
        let found = self.0.get(shelf, key_of(key)?).map_err(error)?;
        Ok(found.map(CacheEntry))
    }

    /// The entry of a key, or the right to compute it; waits while another process or thread does.
    /// An entry that is the `refused` one is taken for missing.
    #[pyo3(signature = (shelf, key, refused = None, timeout = None))]
    fn get_or_claim(
        &self,
        py: Python<'_>,
        shelf: &str,
        key: &Bound<'_, PyString>,
        refused: Option<&CacheEntry>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let (key, refused) = (key_of(key)?, refused.map(|entry| entry.0.stamp()));
        let found = interrupt::waiting(py, interrupt::timeout(timeout), |patience| {
            self.0.get_or_claim(shelf, key, refused, &patience)
        })?;
        match found.map_err(error)? {
            Lookup::Found(entry) => Ok(Py::new(py, CacheEntry(entry))?.into_any()),
            Lookup::Claimed(claim) => Ok(Py::new(py, CacheClaim::new(claim))?.into_any()),
        }
    }

    /// The right to store a value whether there is one or not.
    fn claim_anew(&self, shelf: &str, key: &Bound<'_, PyString>) -> PyResult<CacheClaim> {
        Ok(CacheClaim::new(self.0.claim_anew(shelf, key_of(key)?)))
    }

    /// Removes an entry, if there is one.
    fn remove(&self, shelf: &str, key: &Bound<'_, PyString>) -> PyResult<()> {
        self.0.remove(shelf, key_of(key)?).map_err(error)
    }

    /// Removes all entries of a shelf.
    fn clear_shelf(&self, py: Python<'_>, shelf: &str) -> PyResult<()> {
        py.detach(|| self.0.clear_shelf(shelf)).map_err(error)
    }

    /// Removes everything.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.clear()).map_err(error)
    }

    /// What is in the cache: path, size in bytes and time of the last use of each entry.
    fn items(&self, py: Python<'_>) -> PyResult<Vec<(PathBuf, u64, f64)>> {
        let items = py.detach(|| self.0.items()).map_err(error)?;
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
        };
        Ok(items.into_iter().map(|item| (item.path, item.size, seconds(item.last_used))).collect())
    }

    /// Removes the least recently used entries until the limits hold; returns how many it removed.
    #[pyo3(signature = (bytes_limit = None, items_limit = None, age_limit = None))]
    fn reduce(
        &self,
        py: Python<'_>,
        bytes_limit: Option<u64>,
        items_limit: Option<u64>,
        age_limit: Option<f64>,
    ) -> PyResult<usize> {
        let age = match age_limit {
            None => None,
            Some(age) if age < 0.0 => {
                return Err(PyValueError::new_err("age_limit has to be a positive timedelta"));
            }
            // Longer than any entry lives is no limit.
            Some(age) => Duration::try_from_secs_f64(age).ok(),
        };
        let limits = Limits { bytes: bytes_limit, items: items_limit, age };
        py.detach(|| self.0.reduce(limits)).map_err(error)
    }
}

/// An entry of a cache, open: it can be read even if it is removed meanwhile.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct CacheEntry(Entry);

#[pymethods]
impl CacheEntry {
    /// What was stored with the value to describe it.
    fn notes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.notes())
    }

    /// The file.
    #[getter]
    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Where in the file the value begins.
    #[getter]
    fn offset(&self) -> u64 {
        self.0.offset()
    }

    /// The value in memory of its own, a `bytearray` or an array of bytes. Raises `ValueError` if it is not
    /// what was stored.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let len = usize::try_from(self.0.len())?;
        if len >= LARGE
            && let Some(value) = array::bytes(py, len)?
        {
            fill_new(&value, |bytes| self.0.read_into(bytes))?.map_err(error)?;
            return Ok(value);
        }
        let value = PyByteArray::new_with(py, len, |value| {
            py.detach(|| self.0.read_into(value)).map_err(error)
        })?;
        Ok(value.into_any())
    }

    /// Raises `ValueError` if the value is not what was stored.
    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.verify()).map_err(error)
    }
}

/// The right to compute a value, until it is stored or released or the process ends.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct CacheClaim {
    claim: Mutex<Option<Claim>>,
    damage: Option<String>,
}

impl CacheClaim {
    fn new(claim: Claim) -> Self {
        let damage = claim.damage().map(ToString::to_string);
        Self { claim: Mutex::new(Some(claim)), damage }
    }

    fn take(&self) -> Option<Claim> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl CacheClaim {
    /// What was wrong with an earlier entry, which is removed.
    #[getter]
    fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Stores the value, given in parts, and ends the claim. Raises `OSError` if there is no room.
    fn store(&self, py: Python<'_>, notes: &[u8], parts: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        let parts = parts.iter().map(Payload::of_exporter).collect::<PyResult<Vec<_>>>()?;
        let Some(claim) = self.take() else {
            return Err(PyRuntimeError::new_err("the claim has been released"));
        };
        py.detach(|| Payload::with_all(&parts, |value| claim.store(notes, value))).map_err(error)
    }

    /// Lets the next who wants the value compute it.
    fn release(&self) {
        drop(self.take());
    }
}

fn error(error: CacheError) -> PyErr {
    let text = error.to_string();
    match &error {
        CacheError::Io { source, .. } | CacheError::Full { source, .. } => {
            match source.raw_os_error() {
                Some(number) => PyOSError::new_err((number, text)),
                None => PyOSError::new_err(text),
            }
        }
        CacheError::GaveUp(GaveUp::TimedOut) => PyTimeoutError::new_err(text),
        CacheError::TooLarge { .. } => PyOSError::new_err((27, text)),
        _ => PyValueError::new_err(text),
    }
}
