//! What is passed to which parameter: a call, however it is written, as one list of values.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

/// How a parameter is passed, as `inspect.Parameter.kind` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Positional,
    Rest,
    KeywordOnly,
    Keywords,
}

struct Parameter {
    name: Py<PyString>,
    kind: Kind,
    default: Option<Py<PyAny>>,
    /// Whether it decides about the result.
    counts: bool,
}

/// The parameters of a function.
pub(super) struct Parameters {
    all: Vec<Parameter>,
    /// The function as one would write its definition.
    label: String,
}

impl Parameters {
    /// From rows of name, kind, whether there is a default, the default, and whether it counts.
    pub(super) fn new(rows: &Bound<'_, PyList>, label: &str) -> PyResult<Self> {
        let mut all = Vec::new();
        for row in rows.iter() {
            let (name, kind, has_default, default, counts): (_, u8, bool, Bound<'_, PyAny>, bool) =
                row.extract()?;
            let kind = match kind {
                0 | 1 => Kind::Positional,
                2 => Kind::Rest,
                3 => Kind::KeywordOnly,
                _ => Kind::Keywords,
            };
            let default = has_default.then(|| default.unbind());
            all.push(Parameter { name, kind, default, counts });
        }
        Ok(Self { all, label: label.to_owned() })
    }

    /// The values of a call for the parameters that count, in their order; the bound object of a method
    /// comes first. What is left over belongs to `*args` and `**kwargs`.
    ///
    /// # Errors
    /// `ValueError` if the function cannot be called like that.
    pub(super) fn bind<'py>(
        &self,
        py: Python<'py>,
        bound: Option<&Bound<'py, PyAny>>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut positional = bound.cloned().into_iter().chain(args.iter());
        let mut used = 0;
        let mut values = Vec::with_capacity(self.all.len());
        for parameter in &self.all {
            let name = parameter.name.bind(py);
            let named = match kwargs {
                Some(kwargs)
                    if parameter.kind != Kind::Rest && parameter.kind != Kind::Keywords =>
                {
                    kwargs.get_item(name)?
                }
                _ => None,
            };
            used += usize::from(named.is_some());
            let value = match parameter.kind {
                Kind::Positional => match (positional.next(), named) {
                    (Some(_), Some(_)) => {
                        return Err(PyValueError::new_err(format!(
                            "Argument {name} was given both as positional and as keyword for {}",
                            self.label
                        )));
                    }
                    (Some(value), None) | (None, Some(value)) => value,
                    (None, None) => self.default_of(parameter, py)?,
                },
                Kind::KeywordOnly => match named {
                    Some(value) => value,
                    None => self.default_of(parameter, py)?,
                },
                Kind::Rest => PyTuple::new(py, positional.by_ref().collect::<Vec<_>>())?.into_any(),
                Kind::Keywords => {
                    let rest = PyDict::new(py);
                    for (key, value) in kwargs.into_iter().flatten() {
                        if !self.takes_by_name(py, &key)? {
                            rest.set_item(key, value)?;
                        }
                    }
                    used += rest.len();
                    rest.into_any()
                }
            };
            if parameter.counts {
                values.push(value);
            }
        }
        if positional.next().is_some() {
            let text = format!("Too many arguments for {}", self.label);
            return Err(PyValueError::new_err(text));
        }
        if kwargs.is_some_and(|kwargs| kwargs.len() > used) {
            let text = format!("Too many keyword arguments for {}", self.label);
            return Err(PyValueError::new_err(text));
        }
        Ok(values)
    }

    fn takes_by_name(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        for parameter in &self.all {
            if matches!(parameter.kind, Kind::Positional | Kind::KeywordOnly)
                && key.eq(parameter.name.bind(py))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn default_of<'py>(
        &self,
        parameter: &Parameter,
        py: Python<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &parameter.default {
            Some(default) => Ok(default.bind(py).clone()),
            None => Err(PyValueError::new_err(format!(
                "Wrong number of arguments for {}: {} is missing",
                self.label,
                parameter.name.bind(py)
            ))),
        }
    }
}
