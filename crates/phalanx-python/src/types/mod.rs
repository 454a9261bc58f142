//! The Python classes and functions of `phalanx._core`, one file a subject.

pub(crate) mod queue;
