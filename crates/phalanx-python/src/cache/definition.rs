//! What a function does: its code, what it closes over, and the helpers and values that it refers to by
//! name, as far as they belong to the program and not to a library.

use std::collections::HashMap;

use phalanx::cache::Digest;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyCode, PyDict, PyModule, PyString, PyTuple, PyType};

use super::reduce;
use super::walk::{Walk, Written, write_bytes};
use crate::ffi::FunctionParts;
use crate::once::{KeptTable, intern};

/// How many functions and classes one definition may spread over; what is met after that counts by its name.
const WIDEST: usize = 2000;

/// The functions and classes that one definition spreads over, in the order in which they were met.
pub(super) struct Definitions<'py> {
    /// The module that the first one is from, which belongs to the program wherever it lies.
    module: String,
    met: Vec<Bound<'py, PyAny>>,
    places: HashMap<*mut pyo3::ffi::PyObject, usize>,
    checks: Vec<Check>,
    /// In a set, whose order is by chance: functions are not followed from there.
    pub(super) names_only: bool,
}

/// One thing that has to be as it was for a digest to be right.
pub(super) enum Check {
    /// The function still has this code.
    Code { function: Py<PyAny>, code: Py<PyAny> },
    /// The name still means this, or still nothing.
    Name { names: Py<PyDict>, name: Py<PyAny>, value: Option<Py<PyAny>> },
    /// The closure's cell still holds this, or still nothing.
    Cell { cell: Py<PyAny>, value: Option<Py<PyAny>> },
}

impl Check {
    pub(super) fn holds(&self, py: Python<'_>) -> PyResult<bool> {
        let same = |now: Option<Bound<'_, PyAny>>, then: &Option<Py<PyAny>>| match (now, then) {
            (Some(now), Some(then)) => now.is(then),
            (now, then) => now.is_none() && then.is_none(),
        };
        Ok(match self {
            Self::Code { function, code } => {
                FunctionParts::of(function.bind(py)).is_some_and(|parts| parts.code.is(code))
            }
            Self::Name { names, name, value } => same(names.bind(py).get_item(name)?, value),
            Self::Cell { cell, value } => same(contents(cell.bind(py)), value),
        })
    }
}

/// The digest of what `callable` does, and what it depends on.
pub(super) fn define(callable: &Bound<'_, PyAny>) -> PyResult<(Digest, Vec<Check>)> {
    let py = callable.py();
    let mut walk = Walk::new(py, false);
    walk.definitions = Some(Definitions {
        module: module_of(callable),
        met: Vec::new(),
        places: HashMap::new(),
        checks: Vec::new(),
        names_only: false,
    });
    let mut all = Written::new();
    all.update(b"definition 1");
    // A method's object is an argument; what it does is the function's business.
    let start = match callable.getattr(intern!(py, "__func__")) {
        Ok(function) if FunctionParts::of(&function).is_some() => function,
        _ => callable.clone(),
    };
    if FunctionParts::of(&start).is_some() {
        walk.meet(&start);
    } else {
        walk.mention(&start, &mut all)?;
    }
    let mut next = 0;
    while let Some(one) = walk.definitions.as_ref().and_then(|d| d.met.get(next)).cloned() {
        let mut own = Written::new();
        if let Some(parts) = FunctionParts::of(&one) {
            walk.contents_of_function(&one, &parts, &mut own)?;
        } else if let Ok(class) = one.cast::<PyType>() {
            walk.contents_of_class(class, &mut own)?;
        }
        all.update(own.finish().as_bytes());
        next += 1;
    }
    let checks = walk.definitions.map(|d| d.checks).unwrap_or_default();
    Ok((all.finish(), checks))
}

impl<'py> Walk<'py> {
    /// Writes a function that is met as a value.
    pub(super) fn function(
        &mut self,
        function: &Bound<'py, PyAny>,
        parts: &FunctionParts<'py>,
        out: &mut Written,
    ) -> PyResult<()> {
        let Some(definitions) = &self.definitions else {
            if is_library(self.py(), &module_of(function))? {
                out.update(b"g");
                return reduce::name(function, out);
            }
            out.update(b"D").update(define(function)?.0.as_bytes());
            return Ok(());
        };
        if !definitions.is_own(self.py(), function)? {
            out.update(b"g");
            return reduce::name(function, out);
        }
        if definitions.names_only {
            out.update(b"n");
            reduce::name(function, out)?;
            return self.value(&parts.code, out);
        }
        let place = self.meet(function);
        out.update(b"D").update(&(place as u64).to_le_bytes());
        Ok(())
    }

    /// Writes what a name stands for in a definition.
    fn mention(&mut self, value: &Bound<'py, PyAny>, out: &mut Written) -> PyResult<()> {
        let py = self.py();
        // What wraps a function of the program does what that function does.
        for name in [intern!(py, "__wrapped__"), intern!(py, "func")] {
            let is_wrapper =
                FunctionParts::of(value).is_none() && !value.is_instance_of::<PyType>();
            if !is_wrapper || value.is_instance_of::<PyModule>() {
                break;
            }
            let Some(inner) = value.getattr(name).ok() else { continue };
            if FunctionParts::of(&inner).is_some() {
                out.update(b"w");
                reduce::name(value.get_type().as_any(), out)?;
                self.value(&inner, out)?;
                if is_memorized(value)? {
                    return Ok(());
                }
            }
        }
        let class = match value.cast::<PyType>() {
            Ok(class) => class.clone(),
            Err(_) => value.get_type(),
        };
        if FunctionParts::of(value).is_none() && self.is_own(class.as_any())? {
            let place = self.meet(class.as_any());
            out.update(b"k").update(&(place as u64).to_le_bytes());
        }
        self.value_or_type(value, out)
    }

    fn is_own(&self, obj: &Bound<'py, PyAny>) -> PyResult<bool> {
        match &self.definitions {
            Some(definitions) => definitions.is_own(self.py(), obj),
            None => Ok(false),
        }
    }

    fn meet(&mut self, definition: &Bound<'py, PyAny>) -> usize {
        let Some(definitions) = &mut self.definitions else { return 0 };
        let next = definitions.met.len();
        let place = *definitions.places.entry(definition.as_ptr()).or_insert(next);
        if place == next {
            definitions.met.push(definition.clone());
        }
        place
    }

    fn check(&mut self, check: Check) {
        if let Some(definitions) = &mut self.definitions {
            definitions.checks.push(check);
        }
    }

    fn contents_of_function(
        &mut self,
        function: &Bound<'py, PyAny>,
        parts: &FunctionParts<'py>,
        out: &mut Written,
    ) -> PyResult<()> {
        self.check(Check::Code {
            function: function.clone().unbind(),
            code: parts.code.clone().unbind(),
        });
        // Defaults of the cached function itself are among its arguments; to write them here as well would
        // tell apart what a changing default, such as a list, was at first.
        let is_first = self.meet(function) == 0;
        if !is_first {
            for defaults in [&parts.defaults, &parts.kwdefaults].into_iter().flatten() {
                self.value_or_type(defaults, out)?;
            }
        }
        if let Some(closure) = &parts.closure {
            for cell in closure.cast::<PyTuple>()?.iter() {
                let value = contents(&cell);
                if let Some(value) = &value {
                    self.mention(value, out)?;
                }
                let value = value.map(Bound::unbind);
                self.check(Check::Cell { cell: cell.unbind(), value });
            }
        }
        let code = parts.code.cast::<PyCode>()?;
        let globals = parts.globals.cast::<PyDict>()?;
        self.code(code, out)?;
        let mut names = Vec::new();
        names_in(code, &mut names)?;
        for name in &names {
            let Some(value) = self.look_up(globals, name)? else { continue };
            write_bytes(b"=", name.cast::<PyString>()?.to_string_lossy().as_bytes(), out);
            match value.cast::<PyModule>() {
                Ok(module) => self.module(module, &names, out)?,
                Err(_) => self.mention(&value, out)?,
            }
        }
        Ok(())
    }

    /// Writes a module by its name; of one that belongs to the program, what the code may use of it too.
    fn module(
        &mut self,
        module: &Bound<'py, PyModule>,
        names: &[Bound<'py, PyAny>],
        out: &mut Written,
    ) -> PyResult<()> {
        let name = module.name()?.to_string_lossy().into_owned();
        write_bytes(b"o", name.as_bytes(), out);
        let own = self.definitions.as_ref().is_some_and(|d| name == d.module);
        if !own && is_library(self.py(), &name)? {
            return Ok(());
        }
        for name in names {
            let Some(value) = self.look_up(&module.dict(), name)? else { continue };
            if !value.is_instance_of::<PyModule>() {
                write_bytes(b".", name.cast::<PyString>()?.to_string_lossy().as_bytes(), out);
                self.mention(&value, out)?;
            }
        }
        Ok(())
    }

    /// What a name means, which is looked at again later.
    fn look_up(
        &mut self,
        names: &Bound<'py, PyDict>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let value = names.get_item(name)?;
        self.check(Check::Name {
            names: names.clone().unbind(),
            name: name.clone().unbind(),
            value: value.clone().map(Bound::unbind),
        });
        Ok(value)
    }

    fn contents_of_class(&mut self, class: &Bound<'py, PyType>, out: &mut Written) -> PyResult<()> {
        let py = self.py();
        for base in class.getattr(intern!(py, "__bases__"))?.cast::<PyTuple>()?.iter() {
            self.mention_class(&base, out)?;
        }
        let members = class.getattr(intern!(py, "__dict__"))?.call_method0(intern!(py, "items"))?;
        for pair in members.try_iter()? {
            let (name, member): (String, Bound<'py, PyAny>) = pair?.extract()?;
            // What the interpreter adds says nothing, or differs from process to process.
            let added = ["__dict__", "__weakref__", "__module__", "__doc__", "__abstractmethods__"];
            if added.contains(&&*name)
                || name.starts_with("_abc_")
                || name == "__firstlineno__"
                || name == "__static_attributes__"
            {
                continue;
            }
            write_bytes(b"=", name.as_bytes(), out);
            for part in ["__func__", "fget", "fset", "fdel", "func", "__wrapped__"] {
                if let Ok(function) = member.getattr(part)
                    && FunctionParts::of(&function).is_some()
                {
                    self.value(&function, out)?;
                }
            }
            self.value_or_type(&member, out)?;
        }
        Ok(())
    }

    fn mention_class(&mut self, class: &Bound<'py, PyAny>, out: &mut Written) -> PyResult<()> {
        if self.is_own(class)? {
            let place = self.meet(class);
            out.update(b"k").update(&(place as u64).to_le_bytes());
        }
        reduce::name(class, out)
    }

    /// Writes what code does, wherever it stands and however its lines are broken.
    pub(super) fn code(&mut self, code: &Bound<'py, PyCode>, out: &mut Written) -> PyResult<()> {
        let py = self.py();
        for name in ["co_code", "co_exceptiontable"] {
            if let Ok(bytes) = code.getattr(name) {
                write_bytes(b"b", bytes.cast::<PyBytes>()?.as_bytes(), out);
            }
        }
        for name in ["co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags"] {
            self.value(&code.getattr(name)?, out)?;
        }
        for name in ["co_names", "co_varnames", "co_cellvars", "co_freevars"] {
            self.value(&code.getattr(name)?, out)?;
        }
        self.value(&code.getattr(intern!(py, "co_consts"))?, out)
    }
}

impl<'py> Definitions<'py> {
    /// Whether something is defined by the program, not by a library.
    fn is_own(&self, py: Python<'py>, obj: &Bound<'py, PyAny>) -> PyResult<bool> {
        if self.places.contains_key(&obj.as_ptr()) {
            return Ok(true);
        }
        let module = module_of(obj);
        let is_own = module == self.module && !is_builtin(&module) || !is_library(py, &module)?;
        Ok(is_own && self.met.len() < WIDEST)
    }
}

/// All names that code uses, with those of the functions inside of it.
fn names_in<'py>(code: &Bound<'py, PyCode>, names: &mut Vec<Bound<'py, PyAny>>) -> PyResult<()> {
    let py = code.py();
    for name in code.getattr(intern!(py, "co_names"))?.cast::<PyTuple>()?.iter() {
        if !names.iter().any(|known| known.is(&name)) {
            names.push(name);
        }
    }
    for constant in code.getattr(intern!(py, "co_consts"))?.cast::<PyTuple>()?.iter() {
        if let Ok(code) = constant.cast::<PyCode>() {
            names_in(code, names)?;
        }
    }
    Ok(())
}

/// What a cell holds; nothing if it is empty.
fn contents<'py>(cell: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    cell.getattr(intern!(cell.py(), "cell_contents")).ok()
}

fn module_of(obj: &Bound<'_, PyAny>) -> String {
    let module = obj.getattr(intern!(obj.py(), "__module__")).ok();
    match module.and_then(|module| module.extract::<String>().ok()) {
        Some(module) if module == "__mp_main__" => "__main__".to_owned(),
        module => module.unwrap_or_default(),
    }
}

fn is_builtin(module: &str) -> bool {
    module.is_empty() || module == "builtins"
}

/// Whether a value is a memorized function of ours, which is its function as far as results go.
fn is_memorized(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(module_of(value.get_type().as_any()) == "phalanx.memory")
}

/// Whether a module was installed, not written for the program: its functions count by their names.
fn is_library(py: Python<'_>, module: &str) -> PyResult<bool> {
    static KNOWN: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    if is_builtin(module) || module == "phalanx" || module.starts_with("phalanx.") {
        return Ok(true);
    }
    let known = KNOWN.table(py);
    if let Some(answer) = known.get_item(module)? {
        return answer.extract();
    }
    let answer = find_library(py, module)?;
    known.set_item(module, answer)?;
    Ok(answer)
}

fn find_library(py: Python<'_>, module: &str) -> PyResult<bool> {
    let modules = py.import("sys")?.getattr("modules")?;
    if module == "__main__" || module == "__mp_main__" {
        return Ok(false);
    }
    let Ok(found) = modules.get_item(module) else { return Ok(false) };
    let Some(file) = found.getattr("__file__").ok().and_then(|file| file.extract::<String>().ok())
    else {
        // Built in, frozen, or made up by the program.
        let origin = found.getattr("__spec__").and_then(|spec| spec.getattr("origin"));
        let origin = origin.ok().and_then(|origin| origin.extract::<String>().ok());
        return Ok(origin.is_some_and(|origin| origin == "built-in" || origin == "frozen"));
    };
    if file.contains("/site-packages/") || file.contains("/dist-packages/") {
        return Ok(true);
    }
    let standard: String = py.import("os")?.getattr("__file__")?.extract()?;
    Ok(standard.rsplit_once('/').is_some_and(|(folder, _)| file.starts_with(&format!("{folder}/"))))
}
