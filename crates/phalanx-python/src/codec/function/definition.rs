//! What a function of `__main__` depends on: for its fingerprint, and to see whether it changed.
use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyCFunction, PyDict, PyFloat, PyFrozenSet, PyInt, PyModule, PyString, PyTuple,
    PyType,
};

use crate::ffi::FunctionParts;
use crate::once::intern;

/// Longer strings are not looked upon as a small constant.
const SMALL: usize = 64 * 1024;

/// How many functions and classes one definition may spread over.
const WIDEST: usize = 256;

/// A function of `__main__` and the functions of `__main__` that it refers to, taken together.
pub(super) struct Definition {
    /// The same in two processes if the definitions are the same, however they are reached.
    pub(super) fingerprint: u64,
    /// Whether all that it refers to is definitions, modules and small constants: then its value
    /// is small, and the same as long as [`is_current`](Self::is_current) says so.
    pub(super) is_plain: bool,
    /// The functions and classes of `__main__` that belong together, the function itself first.
    pub(super) members: Vec<Py<PyAny>>,
    checks: Vec<Check>,
}

/// One thing that must not have changed.
enum Check {
    /// The function still has these parts.
    Parts { function: Py<PyAny>, code: Py<PyAny>, defaults: usize, kwdefaults: usize },
    /// The name still means this (or still means nothing).
    Global { globals: Py<PyDict>, name: Py<PyAny>, value: Option<Py<PyAny>> },
    /// The closure's cell still holds this.
    Cell { cell: Py<PyAny>, value: Option<Py<PyAny>> },
}

impl Definition {
    /// Looks at a function; `main` is the namespace of `__main__`.
    ///
    /// What somebody made so strange that looking at it raises is not [known](Self::is_known).
    pub(super) fn of<'py>(function: &Bound<'py, PyAny>, main: &Bound<'py, PyDict>) -> Self {
        let unknown = Self { fingerprint: 0, is_plain: false, members: vec![], checks: vec![] };
        Self::try_of(function, main).unwrap_or(unknown)
    }

    fn try_of<'py>(function: &Bound<'py, PyAny>, main: &Bound<'py, PyDict>) -> PyResult<Self> {
        let mut walk = Walk {
            main,
            hash: DefaultHasher::new(),
            seen: vec![function.clone()],
            is_plain: true,
            checks: Vec::new(),
        };
        let mut next = 0;
        while let Some(definition) = walk.seen.get(next).cloned() {
            walk.definition(&definition)?;
            next += 1;
        }
        Ok(Self {
            fingerprint: walk.hash.finish(),
            is_plain: walk.is_plain,
            members: walk.seen.into_iter().map(Bound::unbind).collect(),
            checks: walk.checks,
        })
    }

    /// The global variables that the members refer to, with their values.
    pub(super) fn globals<'a, 'py>(
        &'a self,
        py: Python<'py>,
    ) -> impl Iterator<Item = (Bound<'py, PyAny>, Bound<'py, PyAny>)> + use<'a, 'py> {
        self.checks.iter().filter_map(move |check| match check {
            Check::Global { name, value: Some(value), .. } => {
                Some((name.bind(py).clone(), value.bind(py).clone()))
            }
            _ => None,
        })
    }

    /// Whether there is a fingerprint and a way to see changes.
    pub(super) fn is_known(&self) -> bool {
        !self.members.is_empty()
    }

    /// Whether everything is still as it was.
    pub(super) fn is_current(&self, py: Python<'_>) -> bool {
        self.checks.iter().all(|check| check.holds(py).unwrap_or(false))
    }
}

impl Check {
    fn holds(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(match self {
            Self::Parts { function, code, defaults, kwdefaults } => {
                FunctionParts::of(function.bind(py)).is_some_and(|parts| {
                    parts.code.is(code)
                        && address(&parts.defaults) == *defaults
                        && address(&parts.kwdefaults) == *kwdefaults
                })
            }
            Self::Global { globals, name, value } => {
                is_same(globals.bind(py).get_item(name)?.as_ref(), value.as_ref())
            }
            Self::Cell { cell, value } => is_same(contents(cell.bind(py)).as_ref(), value.as_ref()),
        })
    }
}

fn is_same(now: Option<&Bound<'_, PyAny>>, then: Option<&Py<PyAny>>) -> bool {
    now.map(|now| now.as_ptr()) == then.map(|then| then.as_ptr())
}

fn address(object: &Option<Bound<'_, PyAny>>) -> usize {
    object.as_ref().map_or(0, |object| object.as_ptr() as usize)
}

/// What a cell holds; nothing if it is empty.
fn contents<'py>(cell: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    cell.getattr(intern!(cell.py(), "cell_contents")).ok()
}

/// The search through one definition.
struct Walk<'m, 'py> {
    main: &'m Bound<'py, PyDict>,
    hash: DefaultHasher,
    seen: Vec<Bound<'py, PyAny>>,
    is_plain: bool,
    checks: Vec<Check>,
}

impl<'py> Walk<'_, 'py> {
    fn definition(&mut self, definition: &Bound<'py, PyAny>) -> PyResult<()> {
        if let Some(parts) = FunctionParts::of(definition) {
            return self.function(definition, &parts);
        }
        if let Ok(class) = definition.cast::<PyType>() {
            return self.class(class);
        }
        Ok(())
    }

    fn function(
        &mut self,
        function: &Bound<'py, PyAny>,
        parts: &FunctionParts<'py>,
    ) -> PyResult<()> {
        self.checks.push(Check::Parts {
            function: function.clone().unbind(),
            code: parts.code.clone().unbind(),
            defaults: address(&parts.defaults),
            kwdefaults: address(&parts.kwdefaults),
        });
        if let Some(defaults) = &parts.defaults {
            for value in defaults.cast::<PyTuple>()?.iter() {
                self.value(&value, true)?;
            }
        }
        if let Some(defaults) = &parts.kwdefaults {
            for (name, value) in defaults.cast::<PyDict>()?.copy()? {
                self.constant(&name)?;
                self.value(&value, true)?;
            }
        }
        if let Some(closure) = &parts.closure {
            for cell in closure.cast::<PyTuple>()?.iter() {
                let value = contents(&cell);
                if let Some(value) = &value {
                    self.value(value, false)?;
                }
                self.checks
                    .push(Check::Cell { cell: cell.unbind(), value: value.map(Bound::unbind) });
            }
        }
        self.code(&parts.code, parts.globals.cast::<PyDict>()?)
    }

    fn class(&mut self, class: &Bound<'py, PyType>) -> PyResult<()> {
        self.constant(class.qualname()?.as_any())?;
        let members = class.getattr(intern!(class.py(), "__dict__"))?;
        for pair in members.call_method0("items")?.try_iter()? {
            let (name, member): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair?.extract()?;
            let function = match &*member.get_type().name()?.to_string_lossy() {
                "staticmethod" | "classmethod" => member.getattr("__func__")?,
                "property" => member.getattr("fget")?,
                _ => member,
            };
            if FunctionParts::of(&function).is_some() {
                self.constant(&name)?;
                self.meet(&function);
            }
        }
        Ok(())
    }

    /// Hashes what the code does and follows the names that it uses.
    fn code(&mut self, code: &Bound<'py, PyAny>, globals: &Bound<'py, PyDict>) -> PyResult<()> {
        let py = code.py();
        let instructions = code.getattr(intern!(py, "co_code"))?;
        instructions.cast::<PyBytes>()?.as_bytes().hash(&mut self.hash);
        for name in ["co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags"] {
            code.getattr(name)?.extract::<i64>()?.hash(&mut self.hash);
        }
        for names in ["co_names", "co_varnames", "co_freevars"] {
            self.constant(&code.getattr(names)?)?;
        }
        for constant in code.getattr(intern!(py, "co_consts"))?.cast::<PyTuple>()?.iter() {
            if constant.hasattr(intern!(py, "co_code"))? {
                self.code(&constant, globals)?;
            } else {
                self.constant(&constant)?;
            }
        }
        for name in code.getattr(intern!(py, "co_names"))?.cast::<PyTuple>()?.iter() {
            let value = globals.get_item(&name)?;
            if let Some(value) = &value {
                self.value(value, false)?;
            }
            self.checks.push(Check::Global {
                globals: globals.clone().unbind(),
                name: name.unbind(),
                value: value.map(Bound::unbind),
            });
        }
        Ok(())
    }

    /// Something that the definition refers to; `hashed` says whether it belongs to the
    /// definition (a default value) or to the state of the process (a global variable).
    fn value(&mut self, value: &Bound<'py, PyAny>, hashed: bool) -> PyResult<()> {
        if self.is_of_main(value) {
            self.meet(value);
        } else if is_small_constant(value)? {
            if hashed {
                self.constant(value)?;
            }
        } else if hashed {
            // The contents may differ from process to process without meaning anything.
            self.constant(value.get_type().qualname()?.as_any())?;
            self.is_plain &= has_name(value);
        } else {
            self.is_plain &= has_name(value);
        }
        Ok(())
    }

    fn is_of_main(&self, value: &Bound<'py, PyAny>) -> bool {
        if let Some(parts) = FunctionParts::of(value) {
            return parts.globals.is(self.main);
        }
        let Ok(class) = value.cast::<PyType>() else {
            return false;
        };
        class.module().is_ok_and(|module| is_main(module.as_any()))
    }

    fn meet(&mut self, definition: &Bound<'py, PyAny>) {
        if self.seen.iter().any(|seen| seen.is(definition)) {
            return;
        }
        if self.seen.len() < WIDEST {
            self.seen.push(definition.clone());
        } else {
            self.is_plain = false;
        }
    }

    /// Hashes a constant by its `repr`, the members of a set in an order of our own.
    fn constant(&mut self, constant: &Bound<'py, PyAny>) -> PyResult<()> {
        if let Ok(set) = constant.cast_exact::<PyFrozenSet>() {
            let members = set.iter().map(|member| Ok(member.repr()?.to_string()));
            let mut members = members.collect::<PyResult<Vec<_>>>()?;
            members.sort_unstable();
            members.hash(&mut self.hash);
        } else if let Ok(tuple) = constant.cast_exact::<PyTuple>() {
            tuple.len().hash(&mut self.hash);
            for item in tuple.iter() {
                self.constant(&item)?;
            }
        } else {
            constant.repr()?.to_string_lossy().hash(&mut self.hash);
        }
        Ok(())
    }
}

/// Whether a module's name is that of the program.
fn is_main(name: &Bound<'_, PyAny>) -> bool {
    let name = name.cast::<PyString>().map(|name| name.to_string_lossy());
    name.is_ok_and(|name| name == "__main__" || name == "__mp_main__")
}

/// Whether a value is immutable and small, so that its identity stands for its contents.
fn is_small_constant(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if value.is_none()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
    {
        return Ok(true);
    }
    if value.is_exact_instance_of::<PyString>() || value.is_exact_instance_of::<PyBytes>() {
        return Ok(value.len()? <= SMALL);
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        for item in tuple.iter() {
            if tuple.len() > 16 || !is_small_constant(&item)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Ok(false)
}

/// Whether a value travels by its name: a module, or a function or class of another module.
fn has_name(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyModule>()
        || value.is_instance_of::<PyType>()
        || value.is_exact_instance_of::<PyCFunction>()
        || FunctionParts::of(value).is_some_and(|parts| parts.closure.is_none())
}
