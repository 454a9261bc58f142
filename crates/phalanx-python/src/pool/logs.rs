//! Log records of workers, on their way to the handlers of the process that owns the pool.

use phalanx::message::Arrived;
use pyo3::prelude::*;

use crate::message::object;

/// Hands a record over. What handlers raise is reported, and changes nothing.
pub(super) fn handle(py: Python<'_>, frame: &[u8], parcel: Option<Arrived>) {
    let hand_over = || -> PyResult<()> {
        let record = object(py, frame, parcel)?;
        py.import("phalanx._logs")?.call_method1("handle", (record,))?;
        Ok(())
    };
    if let Err(error) = hand_over() {
        error.write_unraisable(py, None);
    }
}
