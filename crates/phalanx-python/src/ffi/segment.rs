//! Memory with a name, as Python's buffers.
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use phalanx::named;
use pyo3::exceptions::{PyBufferError, PyMemoryError, PyOSError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

const ENOMEM: i32 = 12;
/// Memory up to this size is reserved without giving the GIL up.
const AT_ONCE: usize = 256 * 1024;

/// Shared memory that has a name; of use until it is closed. The first view of it maps it.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct Segment {
    /// The memory, and how many views of it there are.
    place: Mutex<(Option<named::Segment>, usize)>,
    name: String,
    len: usize,
}

impl Segment {
    fn place(&self) -> MutexGuard<'_, (Option<named::Segment>, usize)> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says which memory there was none for, with the number that programs look at.
fn no_memory(error: &std::io::Error, name: Option<&str>, size: usize) -> PyErr {
    use std::io::ErrorKind::{OutOfMemory, StorageFull};
    if !matches!(error.kind(), OutOfMemory | StorageFull) {
        let refusal = crate::error::os_error(match error.raw_os_error() {
            Some(number) => std::io::Error::from_raw_os_error(number),
            None => error.kind().into(),
        });
        return Python::attach(|py| {
            let _ = refusal.value(py).setattr("filename", name);
            refusal
        });
    }
    let which = name.map(|name| format!(" {name}")).unwrap_or_default();
    let text = format!(
        "there is no memory for the shared segment{which} of {size} bytes: /dev/shm or the machine \
         is full; make it smaller, or remove segments that are no longer used"
    );
    PyOSError::new_err((error.raw_os_error().unwrap_or(ENOMEM), text))
}

/// Says which memory could not be mapped, with the number that programs look at.
fn not_mapped(error: &std::io::Error, segment: &Segment) -> PyErr {
    let text = format!(
        "the shared segment {} of {} bytes could not be mapped ({error}): close others first, or raise the \
         limits of address space or of mappings",
        segment.name, segment.len
    );
    PyOSError::new_err((error.raw_os_error().unwrap_or(ENOMEM), text))
}

#[pymethods]
impl Segment {
    /// Create memory of `size` bytes, or open what has the name if there is no size.
    #[new]
    #[pyo3(signature = (name, size = None))]
    fn new(py: Python<'_>, name: Option<&str>, size: Option<usize>) -> PyResult<Self> {
        if name.is_some_and(|name| name.contains('\0')) {
            return Err(PyValueError::new_err("embedded null byte"));
        }
        let made = match (name, size) {
            (_, Some(size)) => {
                let make = || named::Segment::create(name, size);
                let made = if size > AT_ONCE { py.detach(make) } else { make() };
                made.map_err(|e| no_memory(&e, name, size))?
            }
            (Some(name), None) => {
                named::Segment::open(name).map_err(|e| no_memory(&e, Some(name), 0))?
            }
            (None, None) => return Err(PyValueError::new_err("a name or a size is needed")),
        };
        let (name, len) = (made.name().to_owned(), made.len());
        Ok(Self { place: Mutex::new((Some(made), 0)), name, len })
    }

    /// The name, with its leading slash.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// The number of bytes.
    fn size(&self) -> usize {
        self.len
    }

    fn __len__(&self) -> usize {
        self.len
    }

    /// The descriptor; -1 if it is closed.
    fn fileno(&self) -> RawFd {
        self.place().0.as_ref().map_or(-1, |segment| segment.fd().as_raw_fd())
    }

    /// Whether the memory is no longer open here.
    #[getter]
    fn closed(&self) -> bool {
        self.place().0.is_none()
    }

    /// Do nothing: what is written is there for others at once.
    #[pyo3(signature = (*_range))]
    fn flush(&self, _range: &Bound<'_, pyo3::types::PyTuple>) {}

    /// Close the memory. Raise `BufferError` if there still are views of it.
    fn close(&self) -> PyResult<()> {
        let mut place = self.place();
        if place.1 > 0 {
            return Err(PyBufferError::new_err("cannot close exported pointers exist"));
        }
        let segment = place.0.take();
        drop(place);
        drop(segment);
        Ok(())
    }

    // SAFETY (of the signature): called by CPython with a `Py_buffer` to fill.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let mut place = slf.get().place();
        let Some(segment) = &place.0 else {
            return Err(PyValueError::new_err("the shared memory is closed"));
        };
        let address = segment.base().map_err(|e| not_mapped(&e, slf.get()))?.cast::<c_void>();
        let len = ffi::Py_ssize_t::try_from(segment.len())
            .map_err(|_| PyMemoryError::new_err("the shared memory is too large for one buffer"))?;
        // SAFETY: `view` is CPython's to fill. It takes a reference to this object, which keeps the
        // memory mapped as long as views are counted, whatever other processes do with it.
        let done = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), address, len, 0, flags) };
        if done != 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        place.1 += 1;
        Ok(())
    }

    // SAFETY (of the signature): called by CPython once for each buffer that was filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.place().1 -= 1;
    }
}
