//! Reading an input whose length nobody knows: it may never end.
//!
//! What has to be read to its end is read until the process has grown by half of the memory that was free;
//! then an error says what to do instead. A list, or whatever else says how long it is, is taken as it is.

use phalanx::pool::allowance::Allowance;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::once::intern;

/// An input that has to be read to its end may take one half of the free memory.
const FOR_ALL: u64 = 2;
/// One that can wait may take an eighth.
const FOR_SOME: u64 = 8;

/// Who has to read an input to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    /// `map` and `starmap`.
    Map,
    /// A `Parallel` that returns a list.
    Parallel,
    /// A list or dictionary that takes the items in.
    Container(&'static str),
    /// A stream of this name that would go on as results are fetched, but no more calls are to come.
    Closed(&'static str),
}

impl Reader {
    fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Parallel => "Parallel",
            Self::Container(name) | Self::Closed(name) => name,
        }
    }

    /// What to do about an input that is too long for it.
    fn advice(self) -> &'static str {
        match self {
            Self::Map => {
                "if it never ends, use imap or imap_unordered, which read it a little ahead of the results that \
                 are fetched; if it ends, hand over a list of its items"
            }
            Self::Parallel => {
                "if it never ends, use return_as=\"generator\", which reads it a little ahead of the results \
                 that are fetched; if it ends, hand over a list of its calls"
            }
            Self::Container(_) => "if it ends, hand over a list of its items",
            Self::Closed(_) => {
                "what is left of it was to be run, for no more calls were to come: fetch the results before that, \
                 or end the workers"
            }
        }
    }
}

/// What watches over the reading of an input that may never end, to its end.
pub(crate) struct Watch(Allowance);

impl Watch {
    pub(crate) fn new() -> Self {
        Self(Allowance::part(FOR_ALL))
    }

    /// `InputTooLongError` once the input of `reader`, of which `count` items were read, has taken its share of
    /// the memory.
    pub(crate) fn check(&mut self, py: Python<'_>, count: u64, reader: Reader) -> PyResult<()> {
        if !self.0.is_used_up() {
            return Ok(());
        }
        let text = format!(
            "cannot read all of the input of {}: it has no length and has not ended after {count} items, while \
             {} of memory were taken, half of what was free; {}",
            reader.name(),
            self.0,
            reader.advice(),
        );
        let facts = PyDict::new(py);
        facts.set_item(intern!(py, "count"), count)?;
        facts.set_item(intern!(py, "memory"), self.0.used())?;
        let class = py.import("phalanx.errors")?.getattr("InputTooLongError")?;
        Err(PyErr::from_value(class.call((text,), Some(&facts))?))
    }
}

/// Whether an input says how long it is.
pub(crate) fn has_length(input: &Bound<'_, PyAny>) -> PyResult<bool> {
    input.hasattr(intern!(input.py(), "__len__"))
}

/// The items of an input as a list, for `map`: a new one, unless it is one.
#[pyfunction]
pub(crate) fn read_for_map<'py>(input: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    read_all(input, Reader::Map)
}

/// The same for `Parallel`.
#[pyfunction]
pub(crate) fn read_for_parallel<'py>(input: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    read_all(input, Reader::Parallel)
}

/// The items of an input as a list: a new one, unless it is one.
pub(crate) fn read_all<'py>(
    input: &Bound<'py, PyAny>,
    reader: Reader,
) -> PyResult<Bound<'py, PyList>> {
    let py = input.py();
    if let Ok(list) = input.cast_exact::<PyList>() {
        return Ok(list.clone());
    }
    if has_length(input)? {
        return Ok(py.get_type::<PyList>().call1((input,))?.cast_into()?);
    }
    let mut watch = Watch::new();
    let items = PyList::empty(py);
    for item in input.try_iter()? {
        items.append(item?)?;
        // An iterator written in C runs no code that would heed Ctrl-C.
        py.check_signals()?;
        watch.check(py, items.len() as u64, reader)?;
    }
    Ok(items)
}

/// The first items of an iterator as a list: `most`, or as many as there is memory for; and whether these are
/// all.
#[pyfunction]
pub(crate) fn read_ahead<'py>(
    iterator: &Bound<'py, PyAny>,
    most: usize,
) -> PyResult<(Bound<'py, PyList>, bool)> {
    let py = iterator.py();
    let mut allowance = Allowance::part(FOR_SOME);
    let items = PyList::empty(py);
    for item in iterator.try_iter()? {
        items.append(item?)?;
        py.check_signals()?;
        if items.len() == most || allowance.is_used_up() {
            return Ok((items, false));
        }
    }
    Ok((items, true))
}

/// Whether there is memory to go ahead of those who fetch the results, while nobody has to wait.
pub(crate) fn spare() -> Allowance {
    Allowance::part(FOR_SOME)
}
