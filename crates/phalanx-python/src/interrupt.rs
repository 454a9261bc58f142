//! Waiting without the GIL, and still answering Ctrl-C at once.

use std::sync::Mutex;
use std::time::Duration;

use phalanx_shm::patience::Patience;
use pyo3::prelude::*;

/// Runs `wait` without the GIL. A signal handler of Python's that raises ends the wait, and its
/// exception is returned in place of what `wait` gave.
pub(crate) fn waiting<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    wait: impl FnOnce(Patience<'_>) -> T + Send,
) -> PyResult<T> {
    let raised = Mutex::new(None);
    let result = py.detach(|| {
        let ask = || {
            let error = Python::attach(|py| py.check_signals()).err();
            let gives_up = error.is_some();
            if let (true, Ok(mut raised)) = (gives_up, raised.lock()) {
                *raised = error;
            }
            gives_up
        };
        wait(Patience::timeout(timeout).interruptible(&ask))
    });
    match raised.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => Ok(result),
    }
}

/// A timeout in seconds as Python gives it: `None` is for ever, a negative one has passed.
pub(crate) fn timeout(seconds: Option<f64>) -> Option<Duration> {
    let seconds = seconds?;
    // Longer than any process lives, NaN included, is for ever.
    if seconds <= 0.0 { Some(Duration::ZERO) } else { Duration::try_from_secs_f64(seconds).ok() }
}
