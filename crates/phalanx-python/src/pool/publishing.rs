//! What a worker tells its pool: results, errors, and how it stands with its batch.

use phalanx::message::Outgoing;
use phalanx::pool::Span;
use pyo3::prelude::*;

use super::wire::{Kind, ResultLabel};
use super::worker::Worker;
use crate::codec::{encode, encode_exception};
use crate::message::{out_of_memory, outgoing};

impl Worker<'_> {
    /// Says that it is ready for work.
    pub(super) fn ready(&mut self) -> PyResult<()> {
        let label = ResultLabel { job: 0, first: 0, kind: Kind::Ready, count: 0 };
        let nothing = Outgoing::Inline(&[]);
        self.bench.announce(&label.pack(), nothing, &mut self.scratch).map_err(out_of_memory)
    }

    /// Says that the initializer has failed.
    pub(super) fn refuse(&mut self, py: Python<'_>, error: &PyErr) -> PyResult<()> {
        let label = ResultLabel { job: 0, first: 0, kind: Kind::Refused, count: 0 };
        self.publish_error(py, 0, label, error)
    }

    /// Passes over the tasks of a batch from that one on: nobody wants them any more.
    pub(super) fn skip(&mut self, span: Span, from: u32) -> PyResult<()> {
        let Span { job, first, count } = span;
        let label = ResultLabel {
            job,
            first: first + u64::from(from),
            kind: Kind::Skipped,
            count: count - from,
        };
        let nothing = Outgoing::Inline(&[]);
        self.bench.publish(count, &label.pack(), nothing, &mut self.scratch).map_err(out_of_memory)
    }

    pub(super) fn publish_one(
        &mut self,
        py: Python<'_>,
        span: Span,
        index: u64,
        value: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let first = span.first + index;
        let settles = index as u32 + 1;
        let label = ResultLabel { job: span.job, first, kind: Kind::Value, count: 1 };
        let error = match value {
            Ok(value) => match self.publish_value(py, settles, label, &value) {
                Ok(()) => return Ok(()),
                Err(error) => unsendable(py, &error, &value),
            },
            Err(error) => error,
        };
        self.publish_error(py, settles, ResultLabel { kind: Kind::Error, ..label }, &error)
    }

    /// Publishes the outcome of an executor's call; a value that cannot be sent is the call's error.
    pub(super) fn publish_own(
        &mut self,
        py: Python<'_>,
        span: Span,
        value: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let label = ResultLabel { job: span.job, first: span.first, kind: Kind::Value, count: 1 };
        let sent = value.and_then(|value| self.publish_value(py, 1, label, &value));
        let Err(error) = sent else { return Ok(()) };
        self.publish_error(py, 1, ResultLabel { kind: Kind::Error, ..label }, &error)
    }

    pub(super) fn publish_value(
        &mut self,
        py: Python<'_>,
        settles: u32,
        label: ResultLabel,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.frame.clear();
        let payloads = encode(py, value, &mut self.frame)?;
        let body = outgoing(py, self.family, &self.frame, &payloads)?;
        self.bench.publish(settles, &label.pack(), body, &mut self.scratch).map_err(out_of_memory)
    }

    pub(super) fn publish_error(
        &mut self,
        py: Python<'_>,
        settles: u32,
        label: ResultLabel,
        error: &PyErr,
    ) -> PyResult<()> {
        self.frame.clear();
        // `into_value` ties the traceback to the exception.
        let value = error.clone_ref(py).into_value(py);
        encode_exception(py, value.bind(py).as_any(), &mut self.frame);
        let body = outgoing(py, self.family, &self.frame, &Vec::new())?;
        self.bench.publish(settles, &label.pack(), body, &mut self.scratch).map_err(out_of_memory)
    }

    pub(super) fn fail_all(
        &mut self,
        py: Python<'_>,
        span: Span,
        together: bool,
        error: &PyErr,
    ) -> PyResult<()> {
        let Span { job, first, count } = span;
        if together {
            let label = ResultLabel { job, first, kind: Kind::BatchError, count };
            return self.publish_error(py, count, label, error);
        }
        for index in 0..count {
            let first = first + u64::from(index);
            let label = ResultLabel { job, first, kind: Kind::Error, count: 1 };
            self.publish_error(py, index + 1, label, error)?;
        }
        Ok(())
    }

    /// Says that the tasks of a batch cannot be read together.
    pub(super) fn call_unreadable(&mut self, span: Span) -> PyResult<()> {
        let Span { job, first, count } = span;
        let label = ResultLabel { job, first, kind: Kind::Unreadable, count };
        self.bench
            .publish(count, &label.pack(), Outgoing::Inline(&[]), &mut self.scratch)
            .map_err(out_of_memory)
    }
}

/// The error of a value that cannot be sent back.
pub(super) fn unsendable(py: Python<'_>, error: &PyErr, value: &Bound<'_, PyAny>) -> PyErr {
    let make = || -> PyResult<Bound<'_, PyAny>> {
        let class = py.import("phalanx.errors")?.getattr("MaybeEncodingError")?;
        class.call1((error.value(py), value))
    };
    make().map_or_else(|e| e, PyErr::from_value)
}
