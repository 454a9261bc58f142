//! The keys of a function's calls.

use std::sync::{Mutex, PoisonError};

use phalanx::cache::Digest;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::definition::{Check, define};
use super::parameters::Parameters;
use super::walk::{Walk, Written};

/// The digest of an object as hexadecimal digits, as many bytes as are asked for.
#[pyfunction]
#[pyo3(name = "_hash_object", signature = (obj, length, coerce_mmap))]
pub(crate) fn hash_object(
    obj: &Bound<'_, PyAny>,
    length: usize,
    coerce_mmap: bool,
) -> PyResult<String> {
    let mut out = Written::new();
    out.update(b"object 1");
    Walk::new(obj.py(), coerce_mmap).value(obj, &mut out)?;
    let mut digits = out.finish().to_string();
    digits.truncate(2 * length);
    Ok(digits)
}

/// Makes the keys of a function's calls: what the function does, and what it is called with.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct CallKeys {
    function: Py<PyAny>,
    bound: Option<Py<PyAny>>,
    parameters: Option<Parameters>,
    coerce_mmap: bool,
    definition: Mutex<Option<Definition>>,
}

/// What a function does, and how to tell that it does something else now.
struct Definition {
    digest: Digest,
    checks: Vec<Check>,
}

#[pymethods]
impl CallKeys {
    /// For a function with these parameters (nothing: any, each of which counts); `label` names it in
    /// messages, and `bound` is the object of a method. `definition` is what another process found that the function does.
    #[new]
    #[pyo3(signature = (function, parameters, label, bound, coerce_mmap, definition))]
    fn new(
        function: Bound<'_, PyAny>,
        parameters: Option<&Bound<'_, PyList>>,
        label: &str,
        bound: Option<Py<PyAny>>,
        coerce_mmap: bool,
        definition: Option<&str>,
    ) -> PyResult<Self> {
        let parameters = parameters.map(|rows| Parameters::new(rows, label)).transpose()?;
        let known = match definition {
            None => None,
            // As it is found here may differ, as that of a list which the sender has changed; from now on
            // only changes count.
            Some(digest) => {
                Some(Definition { digest: parse(digest)?, checks: define(&function)?.1 })
            }
        };
        Ok(Self {
            function: function.unbind(),
            bound,
            parameters,
            coerce_mmap,
            definition: Mutex::new(known),
        })
    }

    /// The key of a call. Raises `ValueError` if the function cannot be called like that.
    #[pyo3(signature = (args, kwargs))]
    fn key(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: &Bound<'_, PyDict>,
    ) -> PyResult<String> {
        let mut out = Written::new();
        out.update(b"call 1").update(self.digest(py)?.as_bytes());
        let mut walk = Walk::new(py, self.coerce_mmap);
        match &self.parameters {
            None => {
                walk.value(args.as_any(), &mut out)?;
                walk.value(kwargs.as_any(), &mut out)?;
            }
            Some(parameters) => {
                let bound = self.bound.as_ref().map(|bound| bound.bind(py));
                for value in parameters.bind(py, bound, args, Some(kwargs))? {
                    walk.value(&value, &mut out)?;
                }
            }
        }
        Ok(out.finish().to_string())
    }

    /// What the function does, for the same function in another process.
    fn definition(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.digest(py)?.to_string())
    }
}

impl CallKeys {
    fn digest(&self, py: Python<'_>) -> PyResult<Digest> {
        // Taken out meanwhile, since looking may run code that comes here again.
        let known = self.known().take();
        if let Some(known) = known {
            let mut holds = true;
            for check in &known.checks {
                holds = holds && check.holds(py)?;
            }
            if holds {
                let digest = known.digest;
                *self.known() = Some(known);
                return Ok(digest);
            }
        }
        let (digest, checks) = define(self.function.bind(py))?;
        *self.known() = Some(Definition { digest, checks });
        Ok(digest)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Definition>> {
        self.definition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn parse(key: &str) -> PyResult<Digest> {
    Digest::parse(key).ok_or_else(|| {
        PyValueError::new_err(format!("{key:?} is no key: 64 hexadecimal digits are expected"))
    })
}

/// A key given as Python's string.
pub(super) fn key_of(key: &Bound<'_, PyString>) -> PyResult<Digest> {
    parse(&key.to_string_lossy())
}
