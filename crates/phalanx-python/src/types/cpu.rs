//! Counting processors.

use phalanx_os::cpu;
use pyo3::prelude::*;

use crate::once::intern;

/// Return the number of processors that this process can keep busy.
#[pyfunction]
#[pyo3(signature = (physical = false))]
pub(crate) fn cpu_count(py: Python<'_>, physical: bool) -> PyResult<usize> {
    let usable = match cpu::given() {
        Some(count) => count,
        None => given_to_python(py)?.unwrap_or_else(cpu::usable),
    };
    Ok(if physical { cpu::physical().min(usable) } else { usable })
}

/// The number that the interpreter was told by `-X cpu_count` or else by `PYTHON_CPU_COUNT`, as Python 3.13
/// and later understand them. Earlier ones pass over both, and over what is no number.
fn given_to_python(py: Python<'_>) -> PyResult<Option<usize>> {
    let sys = py.import(intern!(py, "sys"))?;
    let option = sys.getattr(intern!(py, "_xoptions"))?;
    let option = option.call_method1(intern!(py, "get"), ("cpu_count",))?;
    let text = if !option.is_none() {
        option.extract::<String>().ok()
    } else if sys
        .getattr(intern!(py, "flags"))?
        .getattr(intern!(py, "ignore_environment"))?
        .is_truthy()?
    {
        None
    } else {
        std::env::var("PYTHON_CPU_COUNT").ok()
    };
    Ok(text.and_then(|text| text.trim().parse().ok()).filter(|&count| count > 0))
}
