//! Starting programs that are not Python's, with shared objects by name.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use phalanx::plain::{self, Plain, PlainError};
use phalanx::program::{Pass, Passed, Program};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::barrier::Barrier;
use super::event::Event;
use super::lock::Lock;
use super::process::Child;
use super::queue::Queue;
use super::rlock::RLock;
use super::semaphore::Semaphore;
use super::value::SynchronizedBase;
use crate::codec;
use crate::error::os_error;
use crate::ffi::SharedBlock;
use crate::once::intern;

/// Start a program, given by its path and arguments, and pass it the objects of a dictionary; `started` is
/// given the child.
#[pyfunction]
pub(crate) fn start_program(
    py: Python<'_>,
    command: Vec<PathBuf>,
    passing: &Bound<'_, PyDict>,
    started: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let (path, arguments) = command
        .split_first()
        .ok_or_else(|| PyValueError::new_err("a program's command has at least its path"))?;
    let raised = Mutex::new(None);
    let objects = passing.iter().map(|(name, object)| {
        Ok(Given { name: name.extract()?, object: object.unbind(), raised: &raised })
    });
    let objects: Vec<Given<'_>> = objects.collect::<PyResult<_>>()?;
    let mut program = Program::new(path);
    for argument in arguments {
        program.arg(argument);
    }
    for object in &objects {
        program.pass(object.name.clone(), object);
    }
    let packed = program.pack();
    if let Some(error) = raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let packed = packed.map_err(os_error)?;
    Child::hand_over(py, py.detach(|| packed.start()).map_err(os_error)?, started)
}

/// An object with its name, and where to leave the exception that it raised.
struct Given<'r> {
    name: String,
    object: Py<PyAny>,
    raised: &'r Mutex<Option<PyErr>>,
}

impl Pass for Given<'_> {
    fn passed(&self) -> io::Result<Passed> {
        Python::attach(|py| describe(&self.name, self.object.bind(py))).map_err(|error| {
            *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            io::Error::other("an object cannot be passed")
        })
    }
}

/// Names the object for the program that is being started, and makes that a holder.
fn describe(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Passed> {
    if let Some(passed) = queue_or_lock(object)? {
        return Ok(passed);
    }
    if let Ok(value) = object.cast::<SynchronizedBase>() {
        let lock = value.call_method0(intern!(object.py(), "get_lock"))?;
        let lock = queue_or_lock(&lock)?.ok_or_else(|| {
            let text = format!("cannot pass {name:?} to a program: its lock is not one of phalanx");
            PyTypeError::new_err(text)
        })?;
        return numbers(name, value, Some(Box::new(lock)));
    }
    if object.hasattr(intern!(object.py(), "_wrapper"))? {
        return numbers_of_ctypes(name, object, None);
    }
    plain_value(name, object).map(Passed::Plain)
}

fn queue_or_lock(object: &Bound<'_, PyAny>) -> PyResult<Option<Passed>> {
    let make = if object.is_instance_of::<Queue>() {
        Passed::Queue
    } else if object.is_instance_of::<Lock>() {
        Passed::Lock
    } else if object.is_instance_of::<RLock>() {
        Passed::RLock
    } else if object.is_instance_of::<Semaphore>() {
        Passed::Semaphore
    } else if object.is_instance_of::<Event>() {
        Passed::Event
    } else if object.is_instance_of::<Barrier>() {
        Passed::Barrier
    } else {
        return Ok(None);
    };
    Ok(Some(make(object.call_method0(intern!(object.py(), "_share"))?.extract()?)))
}

fn numbers(
    name: &str,
    value: &Bound<'_, SynchronizedBase>,
    lock: Option<Box<Passed>>,
) -> PyResult<Passed> {
    let py = value.py();
    let parts = value.call_method0(intern!(py, "_number_parts"))?;
    if parts.is_none() {
        return numbers_of_ctypes(name, &value.call_method0(intern!(py, "get_obj"))?, lock);
    }
    let (block, kind): (Bound<'_, SharedBlock>, Bound<'_, PyAny>) = parts.extract()?;
    let code = py.import("phalanx.sharedctypes")?.call_method1("_number_code", (kind,))?;
    Ok(Passed::Value { block: block.get().block().share(), code: code.extract()?, lock })
}

/// A number, or an array of numbers, of `ctypes` in shared memory.
fn numbers_of_ctypes(
    name: &str,
    object: &Bound<'_, PyAny>,
    lock: Option<Box<Passed>>,
) -> PyResult<Passed> {
    let py = object.py();
    let (block, kind) = (object.getattr("_wrapper"), object.getattr("_type_"));
    let block = block.and_then(|block| Ok(block.cast_into::<SharedBlock>()?));
    let (Ok(block), Ok(kind)) = (block, kind) else {
        return Err(PyTypeError::new_err(format!(
            "cannot pass {name:?} to a program: of {} objects only numbers and arrays of numbers can \
             be passed",
            object.get_type().name()?
        )));
    };
    let code_of = |kind: Bound<'_, PyAny>| {
        kind.extract::<char>().map_err(|_| {
            let text = format!("cannot pass {name:?} to a program: its items are no numbers");
            PyTypeError::new_err(text)
        })
    };
    let share = || block.get().block().share();
    match object.getattr_opt(intern!(py, "_length_"))? {
        None => Ok(Passed::Value { code: code_of(kind)?, block: share(), lock }),
        Some(len) => {
            let kind = kind.getattr("_type_")?;
            Ok(Passed::Array { code: code_of(kind)?, block: share(), len: len.extract()?, lock })
        }
    }
}

fn plain_value(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Plain> {
    let py = object.py();
    let mut frame = Vec::new();
    let refuse = || {
        let class = object.get_type().name().map_or_else(|_| String::new(), |n| n.to_string());
        PyTypeError::new_err(format!(
            "cannot pass {name:?} to a program: {class} is neither a queue, lock, semaphore, event, \
             barrier, value or array of phalanx, nor made of plain values"
        ))
    };
    let payloads = codec::encode(py, object, &mut frame).map_err(|_| refuse())?;
    let buffers: Vec<Vec<u8>> = payloads.iter().map(|p| p.as_slice(py).to_vec()).collect();
    plain::decode(&frame, &buffers).map_err(|error| match error {
        PlainError::Opaque => refuse(),
        other => PyValueError::new_err(other.to_string()),
    })
}
