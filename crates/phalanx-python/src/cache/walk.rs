//! The digest of an object: equal for equal objects, in any process and at any time.
//!
//! An object is written as its type and contents. Each container and each instance is digested for itself,
//! so that sets and dictionaries can be put in an order of their own, and an object that is met again costs
//! nothing. One that is met again within itself is written as how far up it stands.

use std::collections::HashMap;

use phalanx::cache::Digest;
use pyo3::exceptions::{PyException, PyRecursionError};
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyCode, PyDict, PyFrozenSet, PyList, PyModule, PySet, PyString, PyTuple,
    PyType,
};

use super::definition::Definitions;
use super::{array, reduce};
use crate::ffi::{FunctionParts, Payload, View, is_shared, view};
use crate::once::intern;

/// How deep objects may be nested; each level takes some of the stack.
const DEEPEST: usize = 1000;

/// From this length on bytes are digested for themselves, by several threads.
const LONG: usize = 1 << 20;

type Address = *const ();

/// What was written of one object, to be digested at once. It is kept on the heap: a digest that is being
/// made takes two thousand bytes, which is too much for each level of the stack.
#[derive(Default)]
pub(super) struct Written(Vec<u8>);

impl Written {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn finish(&self) -> Digest {
        Digest::of(&self.0)
    }
}

/// One look at an object and all that it consists of.
pub(super) struct Walk<'py> {
    py: Python<'py>,
    /// Whether a memory-mapped array is the same as one in memory.
    pub(super) coerce_mmap: bool,
    /// Set while the definition of a function is looked at: whom it refers to.
    pub(super) definitions: Option<Definitions<'py>>,
    depth: usize,
    /// The objects around the one that is looked at, and where they stand.
    open: HashMap<Address, usize>,
    /// The outermost object that was met within itself, since the one that is looked at was begun.
    lowest: usize,
    /// The digests of objects that may be met again, which are kept alive.
    seen: HashMap<Address, (Digest, Bound<'py, PyAny>)>,
}

impl<'py> Walk<'py> {
    pub(super) fn new(py: Python<'py>, coerce_mmap: bool) -> Self {
        Self {
            py,
            coerce_mmap,
            definitions: None,
            depth: 0,
            open: HashMap::new(),
            lowest: usize::MAX,
            seen: HashMap::new(),
        }
    }

    /// Writes an object to which we hold one reference.
    pub(super) fn value(&mut self, obj: &Bound<'py, PyAny>, out: &mut Written) -> PyResult<()> {
        match view(obj.as_borrowed()) {
            View::None => {
                out.update(b"N");
            }
            View::Bool(truth) => {
                out.update(if truth { b"T" } else { b"F" });
            }
            View::Int(number) => {
                out.update(b"i").update(&number.to_le_bytes());
            }
            View::Float(number) => {
                out.update(b"f").update(&number.to_bits().to_le_bytes());
            }
            View::Str(text) => write_bytes(b"s", text, out),
            View::Bytes(bytes) => write_bytes(b"b", bytes, out),
            _ => return self.object(obj, out),
        }
        Ok(())
    }

    /// Writes the digest of an object that has parts.
    fn object(&mut self, obj: &Bound<'py, PyAny>, out: &mut Written) -> PyResult<()> {
        let address: Address = obj.as_ptr().cast::<()>().cast_const();
        // The outermost one has nothing around it that refers to it.
        let may_return = self.depth == 0 || is_shared(obj.as_borrowed(), 1);
        if may_return {
            if let Some((digest, _)) = self.seen.get(&address) {
                out.update(digest.as_bytes());
                return Ok(());
            }
            if let Some(&level) = self.open.get(&address) {
                out.update(b"R").update(&((self.depth - level) as u64).to_le_bytes());
                self.lowest = self.lowest.min(level);
                return Ok(());
            }
            self.open.insert(address, self.depth);
        }
        if self.depth >= DEEPEST {
            return Err(PyRecursionError::new_err(format!(
                "objects nested deeper than {DEEPEST} levels cannot be hashed"
            )));
        }
        let level = self.depth;
        let around = std::mem::replace(&mut self.lowest, usize::MAX);
        self.depth += 1;
        let mut own = Written::new();
        let done = self.parts(obj, &mut own);
        self.depth = level;
        if may_return {
            self.open.remove(&address);
        }
        done?;
        let digest = own.finish();
        if self.lowest >= level {
            // It stands for itself wherever it is met; in a set functions are written in another way.
            let names_only = self.definitions.as_ref().is_some_and(|d| d.names_only);
            if may_return && !names_only {
                self.seen.insert(address, (digest, obj.clone()));
            }
            self.lowest = around;
        } else {
            self.lowest = self.lowest.min(around);
        }
        out.update(digest.as_bytes());
        Ok(())
    }

    fn parts(&mut self, obj: &Bound<'py, PyAny>, out: &mut Written) -> PyResult<()> {
        if let Ok(list) = obj.cast_exact::<PyList>() {
            write_len(b"l", list.len(), out);
            return list.iter().try_for_each(|item| self.value(&item, out));
        }
        if let Ok(tuple) = obj.cast_exact::<PyTuple>() {
            write_len(b"t", tuple.len(), out);
            return tuple.iter().try_for_each(|item| self.value(&item, out));
        }
        if let Ok(dict) = obj.cast_exact::<PyDict>() {
            out.update(b"d");
            // A copy, since looking at an item may run code that changes it.
            return self.pairs(dict.items().iter(), out);
        }
        if let Ok(set) = obj.cast_exact::<PySet>() {
            return self.set(b"S", &PyList::new(self.py, set.iter())?, out);
        }
        if let Ok(set) = obj.cast_exact::<PyFrozenSet>() {
            return self.set(b"Z", &PyList::new(self.py, set.iter())?, out);
        }
        if let Ok(bytes) = obj.cast_exact::<PyByteArray>() {
            let payload = Payload::of_exporter(bytes.as_any())?;
            write_payload(b"a", &payload, self.py, out);
            return Ok(());
        }
        if obj.is_exact_instance_of::<PyString>() {
            // It has lone surrogates.
            let form = (intern!(self.py, "utf-8"), intern!(self.py, "surrogatepass"));
            let bytes = obj.call_method1(intern!(self.py, "encode"), form)?;
            write_bytes(b"s", bytes.cast::<PyBytes>()?.as_bytes(), out);
            return Ok(());
        }
        if obj.is_exact_instance_of::<pyo3::types::PyInt>() {
            let digits = obj.call_method1(intern!(self.py, "__format__"), ("x",))?;
            write_bytes(b"I", digits.cast::<PyString>()?.to_str()?.as_bytes(), out);
            return Ok(());
        }
        if let Some(parts) = FunctionParts::of(obj) {
            return self.function(obj, &parts, out);
        }
        if let Ok(class) = obj.cast::<PyType>() {
            out.update(b"T");
            return reduce::name(class.as_any(), out);
        }
        if let Ok(module) = obj.cast::<PyModule>() {
            write_bytes(b"o", module.name()?.to_string_lossy().as_bytes(), out);
            return Ok(());
        }
        if let Ok(code) = obj.cast::<PyCode>() {
            return self.code(code, out);
        }
        if array::write(self, obj, out)? {
            return Ok(());
        }
        reduce::write(self, obj, out)
    }

    fn set(&mut self, tag: &[u8], items: &Bound<'py, PyList>, out: &mut Written) -> PyResult<()> {
        let names_only =
            self.definitions.as_mut().map(|d| std::mem::replace(&mut d.names_only, true));
        let mut digests = Vec::with_capacity(items.len());
        for item in items.iter() {
            let mut own = Written::new();
            self.value(&item, &mut own)?;
            digests.push(own.finish());
        }
        if let (Some(definitions), Some(before)) = (&mut self.definitions, names_only) {
            definitions.names_only = before;
        }
        write_sorted(tag, digests, out);
        Ok(())
    }

    /// Writes pairs, whatever their order.
    pub(super) fn pairs(
        &mut self,
        pairs: impl Iterator<Item = Bound<'py, PyAny>>,
        out: &mut Written,
    ) -> PyResult<()> {
        let mut digests = Vec::new();
        for pair in pairs {
            let pair = pair.cast_into::<PyTuple>()?;
            let mut own = Written::new();
            self.value(&pair.get_item(0)?, &mut own)?;
            self.value(&pair.get_item(1)?, &mut own)?;
            digests.push(own.finish());
        }
        write_sorted(b"p", digests, out);
        Ok(())
    }

    /// Writes an object, or no more than its type if it cannot be written.
    pub(super) fn value_or_type(
        &mut self,
        obj: &Bound<'py, PyAny>,
        out: &mut Written,
    ) -> PyResult<()> {
        let (depth, lowest) = (self.depth, self.lowest);
        let mut own = Written::new();
        match self.value(obj, &mut own) {
            Ok(()) => {
                out.update(own.finish().as_bytes());
            }
            Err(e) if e.is_instance_of::<PyException>(self.py) => {
                self.depth = depth;
                self.lowest = lowest;
                self.open.retain(|_, level| *level < depth);
                out.update(b"?");
                reduce::name(obj.get_type().as_any(), out)?;
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    pub(super) fn py(&self) -> Python<'py> {
        self.py
    }
}

fn write_len(tag: &[u8], len: usize, out: &mut Written) {
    out.update(tag).update(&(len as u64).to_le_bytes());
}

/// Writes bytes, or their digest if they are many.
pub(super) fn write_bytes(tag: &[u8], bytes: &[u8], out: &mut Written) {
    write_len(tag, bytes.len(), out);
    if bytes.len() < LONG {
        out.update(bytes);
    } else {
        out.update(Digest::of(bytes).as_bytes());
    }
}

/// Writes the bytes of a buffer; without the GIL if they are many.
pub(super) fn write_payload(tag: &[u8], payload: &Payload, py: Python<'_>, out: &mut Written) {
    if payload.len() < LONG {
        write_bytes(tag, payload.as_slice(py), out);
    } else {
        write_len(tag, payload.len(), out);
        let digest = py.detach(|| payload.with_bytes(Digest::of));
        out.update(digest.as_bytes());
    }
}

fn write_sorted(tag: &[u8], mut digests: Vec<Digest>, out: &mut Written) {
    digests.sort_unstable();
    write_len(tag, digests.len(), out);
    for digest in digests {
        out.update(digest.as_bytes());
    }
}
