//! The Python classes and functions of `phalanx._core`, one file a subject.

pub(crate) mod cpu;
pub(crate) mod descriptors;
pub(crate) mod process;
pub(crate) mod spawning;
pub(crate) mod zygote;
