//! Counting processors.

use pyo3::prelude::*;

/// Return the number of processors that this process can keep busy.
#[pyfunction]
#[pyo3(signature = (physical = false))]
pub(crate) fn cpu_count(physical: bool) -> usize {
    if physical { phalanx_os::cpu::physical() } else { phalanx_os::cpu::usable() }
}
