//! The Python door to the phalanx engine: the private module `phalanx._core`.
use pyo3::prelude::*;

/// The private extension module of the `phalanx` package.
#[pymodule]
mod _core {}
