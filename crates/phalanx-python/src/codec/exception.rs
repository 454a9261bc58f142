//! Exceptions into frames and back, whatever their classes do.
//!
//! The frame holds the formatted traceback and one *node* for the exception and for each of those
//! that it was raised from or while handling. A node carries up to three descriptions, best first:
//! what the exception's own `__reduce__` gives, where it has one; its class, arguments and
//! attributes; its name and `repr`. The receiver takes the first that it can rebuild, so an
//! exception always arrives, at worst as a `phalanx.RemoteError`.
//!
//! ```text
//! frame := traceback: text  nodes: u32  node*
//! node  := cause: u32  context: u32  suppress: u8     (index of a node; u32::MAX for none)
//!          name: text  repr: text
//!          own: pickle  class: pickle  contents: pickle                 (empty where missing)
//! ```
//!
//! A text and a pickle are their length, a `u64`, and their bytes.
use pyo3::exceptions::{PyBaseException, PyKeyboardInterrupt};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::frame::{Reader, corrupt};
use super::pickler;
use crate::ffi::{str_from_utf8, utf8};
use crate::once::intern;

/// How many exceptions of one chain travel.
const LONGEST_CHAIN: usize = 32;

/// Marks that there is no cause or context.
const NO_NODE: u32 = u32::MAX;

/// Appends the exception `error`, with its chain and the text of its traceback, to `out`.
///
/// Never fails: what cannot be sent is described instead. Whatever the exception's own methods
/// raise, `SystemExit` included, ends here.
pub(crate) fn encode_exception(py: Python<'_>, error: &Bound<'_, PyAny>, out: &mut Vec<u8>) {
    let chain = Chain::of(error);
    put(out, &traceback_text(error));
    out.extend_from_slice(&(chain.errors.len() as u32).to_le_bytes());
    for error in &chain.errors {
        out.extend_from_slice(&chain.index_of(linked(error, "__cause__")).to_le_bytes());
        out.extend_from_slice(&chain.index_of(linked(error, "__context__")).to_le_bytes());
        out.push(u8::from(is_suppressed(error)));
        put(out, type_name(error).as_bytes());
        put(out, &repr_text(error));
        put(out, &own_form(py, error).unwrap_or_default());
        put(out, &whole(py, error.get_type().as_any()).unwrap_or_default());
        put(out, &contents(py, error).unwrap_or_default());
    }
}

/// Makes the exception that [`encode_exception`] wrote as `frame`.
///
/// The last exception of its chain of explicit causes, usually itself, gets a
/// `phalanx.errors.RemoteTraceback` with the text of the traceback as its `__cause__`.
///
/// # Errors
///
/// `ValueError` for a damaged frame, `KeyboardInterrupt` if one comes meanwhile; nothing else that
/// the exception's class may raise.
pub(crate) fn decode_exception(py: Python<'_>, frame: &[u8]) -> PyResult<Py<PyAny>> {
    let mut reader = Reader::new(frame);
    let traceback = str_from_utf8(py, reader.long_bytes()?)?;
    // A node is at least three numbers and five lengths.
    let count = reader.count(9 + 5 * 8)?;
    let mut nodes = Vec::with_capacity(count);
    for _ in 0..count {
        let cause = u32::from_le_bytes(reader.array()?) as usize;
        let context = u32::from_le_bytes(reader.array()?) as usize;
        let suppress = reader.u8()? != 0;
        let error = Description::read(&mut reader)?.rebuild(py, &traceback)?;
        nodes.push(Node { error, cause, context, suppress });
    }
    reader.finish()?;
    link(py, &nodes)?;
    let first = nodes.first().ok_or_else(|| corrupt("no exception in it"))?;
    let remote = py.import("phalanx.errors")?.getattr(intern!(py, "RemoteTraceback"))?;
    let text = format!("\n\"\"\"\n{traceback}\"\"\"");
    set(last_cause(&nodes), "__cause__", &remote.call1((text,))?)?;
    Ok(first.error.clone().unbind())
}

/// The exception and those that it is linked to, each once, itself first.
struct Chain<'py> {
    errors: Vec<Bound<'py, PyAny>>,
}

impl<'py> Chain<'py> {
    fn of(error: &Bound<'py, PyAny>) -> Self {
        let mut chain = Self { errors: vec![error.clone()] };
        let mut next = 0;
        while next < chain.errors.len() {
            for link in ["__cause__", "__context__"] {
                let linked = linked(&chain.errors[next], link);
                let is_new = chain.index_of(linked.clone()) == NO_NODE;
                if is_new && chain.errors.len() < LONGEST_CHAIN {
                    chain.errors.extend(linked);
                }
            }
            next += 1;
        }
        chain
    }

    fn index_of(&self, error: Option<Bound<'py, PyAny>>) -> u32 {
        let index = error.and_then(|error| self.errors.iter().position(|known| known.is(&error)));
        index.map_or(NO_NODE, |index| index as u32)
    }
}

/// The cause or context of an exception; a traceback from elsewhere is text of ours, not a cause.
fn linked<'py>(error: &Bound<'py, PyAny>, link: &str) -> Option<Bound<'py, PyAny>> {
    let linked = get(error, link).ok().filter(|linked| !linked.is_none())?;
    let is_ours = type_name(&linked) == "phalanx.errors.RemoteTraceback";
    (!is_ours).then_some(linked)
}

/// Reads an attribute of `BaseException` past whatever the class put in front of it.
fn get<'py>(error: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    base(error.py()).getattr(name)?.call_method1("__get__", (error,))
}

/// Writes an attribute of `BaseException` past whatever the class put in front of it.
fn set(error: &Bound<'_, PyAny>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    base(error.py()).getattr(name)?.call_method1("__set__", (error, value))?;
    Ok(())
}

fn base(py: Python<'_>) -> Bound<'_, PyType> {
    py.get_type::<PyBaseException>()
}

fn is_suppressed(error: &Bound<'_, PyAny>) -> bool {
    let suppressed = get(error, "__suppress_context__");
    suppressed.and_then(|suppressed| suppressed.is_truthy()).unwrap_or(false)
}

fn type_name(error: &Bound<'_, PyAny>) -> String {
    full_name(&error.get_type()).unwrap_or_else(|_| "exception without a name".to_owned())
}

fn full_name(kind: &Bound<'_, PyType>) -> PyResult<String> {
    let name = kind.qualname()?.to_string_lossy().into_owned();
    match kind.module()?.to_string_lossy().as_ref() {
        "builtins" => Ok(name),
        module => Ok(format!("{module}.{name}")),
    }
}

fn repr_text(error: &Bound<'_, PyAny>) -> Vec<u8> {
    let repr = error.repr().map(|repr| text_bytes(repr.as_any()));
    repr.unwrap_or_else(|_| format!("<{} whose repr failed>", type_name(error)).into_bytes())
}

fn traceback_text(error: &Bound<'_, PyAny>) -> Vec<u8> {
    let format = || -> PyResult<Vec<u8>> {
        let py = error.py();
        let format = py.import("traceback")?.getattr(intern!(py, "format_exception"))?;
        let trace = get(error, "__traceback__")?;
        let lines = format.call1((error.get_type(), error, trace))?;
        Ok(text_bytes(&intern!(py, "").call_method1(intern!(py, "join"), (lines,))?))
    };
    format().unwrap_or_else(|_| {
        let name = type_name(error);
        format!("{name}: its traceback cannot be formatted\n").into_bytes()
    })
}

/// UTF-8 for any string: what UTF-8 cannot express is escaped.
fn text_bytes(text: &Bound<'_, PyAny>) -> Vec<u8> {
    if let Some(bytes) = utf8(text.as_borrowed()) {
        return bytes.to_vec();
    }
    let escaped = text.call_method1("encode", ("utf-8", "backslashreplace"));
    escaped.and_then(|bytes| bytes.extract()).unwrap_or_default()
}

/// The pickle of an exception whose class (or a registered reducer) says how to make it.
fn own_form(py: Python<'_>, error: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    let reduces_itself = || -> PyResult<bool> {
        let kind = error.get_type();
        let table = py.import("copyreg")?.getattr(intern!(py, "dispatch_table"))?;
        if table.contains(&kind)? {
            return Ok(true);
        }
        for name in ["__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"] {
            let inherited = base(py).getattr_opt(name)?;
            let own = kind.getattr_opt(name)?;
            if own.map(|own| own.as_ptr()) != inherited.map(|inherited| inherited.as_ptr()) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if reduces_itself().unwrap_or(true) { whole(py, error) } else { None }
}

/// The pickle of `obj`, or nothing, whatever the object's code raises.
fn whole(py: Python<'_>, obj: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    let stream = pickler::encode_whole(py, obj, None).ok()?;
    Some(stream.as_bytes().to_vec())
}

/// The arguments and attributes as one pickle; those that cannot be sent become their `repr`.
fn contents(py: Python<'_>, error: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    let args = get(error, "args").ok()?;
    let attributes = error.getattr(intern!(py, "__dict__")).ok()?;
    let pair = (&args, &attributes).into_pyobject(py).ok()?;
    if let Some(contents) = whole(py, pair.as_any()) {
        return Some(contents);
    }
    let sendable = |value: Bound<'_, PyAny>| match whole(py, &value) {
        Some(_) => value.unbind(),
        None => str_from_utf8(py, &repr_text(&value)).map_or_else(|_| py.None(), Bound::unbind),
    };
    let args = args.cast_into::<PyTuple>().ok()?;
    let args = PyTuple::new(py, args.iter().map(sendable).collect::<Vec<_>>()).ok()?;
    let kept = PyDict::new(py);
    for (name, value) in attributes.cast_into::<PyDict>().ok()?.copy().ok()? {
        kept.set_item(name, sendable(value)).ok()?;
    }
    whole(py, (args, kept).into_pyobject(py).ok()?.as_any())
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// What a frame says of one exception.
struct Description<'a> {
    name: &'a [u8],
    repr: &'a [u8],
    own: &'a [u8],
    class: &'a [u8],
    contents: &'a [u8],
}

impl<'a> Description<'a> {
    fn read(reader: &mut Reader<'a>) -> PyResult<Self> {
        Ok(Self {
            name: reader.long_bytes()?,
            repr: reader.long_bytes()?,
            own: reader.long_bytes()?,
            class: reader.long_bytes()?,
            contents: reader.long_bytes()?,
        })
    }

    /// The best exception that can be made of the description.
    fn rebuild<'py>(
        &self,
        py: Python<'py>,
        traceback: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let class = self.class(py)?;
        let Some(class) = class else {
            return self.stand_in(py, traceback);
        };
        let is_it = |error: &Bound<'py, PyAny>| error.get_type().is(&class);
        if let Some(error) = attempt(py, || load(py, self.own))?.filter(is_it) {
            return Ok(error);
        }
        let contents = attempt(py, || {
            load(py, self.contents)?.extract::<(Bound<'py, PyTuple>, Bound<'py, PyAny>)>()
        })?;
        let (args, attributes) = match contents {
            Some(contents) => contents,
            None => {
                let args = PyTuple::new(py, [str_from_utf8(py, self.repr)?])?;
                (args, PyDict::new(py).into_any())
            }
        };
        let called = attempt(py, || {
            let error = class.call1(&args)?;
            if is_it(&error) {
                restore(&error, &args, &attributes)?;
            }
            Ok(error)
        })?;
        if let Some(error) = called.filter(is_it) {
            return Ok(error);
        }
        let made = attempt(py, || {
            let error = without_init(&class, &args)?;
            restore(&error, &args, &attributes)?;
            Ok(error)
        })?;
        match made.filter(is_it) {
            Some(error) => Ok(error),
            None => self.stand_in(py, traceback),
        }
    }

    /// The class of the exception, if this process has it or can be given it.
    fn class<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyType>>> {
        attempt(py, || {
            let class = load(py, self.class)?.cast_into::<PyType>()?;
            if class.is_subclass(&base(py))? { Ok(class) } else { Err(corrupt("not an exception")) }
        })
    }

    fn stand_in<'py>(
        &self,
        py: Python<'py>,
        traceback: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let class = py.import("phalanx.errors")?.getattr(intern!(py, "RemoteError"))?;
        class.call1((str_from_utf8(py, self.name)?, str_from_utf8(py, self.repr)?, traceback))
    }
}

fn load<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if pickle.is_empty() {
        return Err(corrupt("missing form"));
    }
    let stream = pyo3::types::PyBytes::new(py, pickle).into_any();
    pickler::load(py, &stream, Vec::new().into_iter())
}

/// What `make` makes, or nothing if the code of the exception's class raises; Ctrl-C goes on.
fn attempt<T>(py: Python<'_>, make: impl FnOnce() -> PyResult<T>) -> PyResult<Option<T>> {
    match make() {
        Ok(made) => Ok(Some(made)),
        Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Puts arguments and attributes back as they were, whatever the constructor made of them.
fn restore(
    error: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    attributes: &Bound<'_, PyAny>,
) -> PyResult<()> {
    set(error, "args", args)?;
    error.getattr("__dict__")?.call_method1("update", (attributes,))?;
    Ok(())
}

/// An instance of `class` made by the constructor of its first built-in base alone.
fn without_init<'py>(
    class: &Bound<'py, PyType>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    for ancestor in class.mro() {
        if ancestor.getattr(intern!(py, "__module__"))?.eq("builtins")? {
            let new = ancestor.getattr(intern!(py, "__new__"))?;
            let all = std::iter::once(class.clone().into_any()).chain(args.iter());
            let made = new.call1(PyTuple::new(py, all.collect::<Vec<_>>())?);
            return made.or_else(|_| new.call1((class,)));
        }
    }
    Err(corrupt("not an exception"))
}

/// An exception that has arrived, with its links still to be set.
struct Node<'py> {
    error: Bound<'py, PyAny>,
    cause: usize,
    context: usize,
    suppress: bool,
}

fn link(py: Python<'_>, nodes: &[Node<'_>]) -> PyResult<()> {
    for node in nodes {
        if let Some(cause) = nodes.get(node.cause) {
            set(&node.error, "__cause__", &cause.error)?;
        }
        if let Some(context) = nodes.get(node.context) {
            set(&node.error, "__context__", &context.error)?;
        }
        let suppress = node.suppress.into_pyobject(py)?;
        set(&node.error, "__suppress_context__", suppress.as_any())?;
    }
    Ok(())
}

/// The end of the chain of explicit causes that begins with the first node.
fn last_cause<'a, 'py>(nodes: &'a [Node<'py>]) -> &'a Bound<'py, PyAny> {
    let mut seen = vec![false; nodes.len()];
    let mut last = 0;
    // The guard is for causes that go round in a circle.
    while !std::mem::replace(&mut seen[last], true) {
        match nodes[last].cause {
            next if next < nodes.len() && !seen[next] => last = next,
            _ => break,
        }
    }
    &nodes[last].error
}
