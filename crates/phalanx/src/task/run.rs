//! One run of a function whose argument came as bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire;
use crate::wire::apart::Apart;

/// Where a result is written.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct Out {
    /// The encoded result, or the reason why there is none.
    pub(crate) frame: Vec<u8>,
    /// What travels beside it.
    pub(crate) apart: Apart,
}

impl Out {
    pub(crate) fn clear(&mut self) {
        self.frame.clear();
        self.apart.clear();
    }
}

/// What came of a run; what belongs to it is in the [`Out`] that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Outcome {
    /// The encoded result.
    Value,
    /// There was none: why.
    Failed(Failed),
}

/// Why there is no result although the function did not panic. The frame has the reason as a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The bytes were no argument of the function.
    Argument,
    /// The result cannot be encoded.
    Result,
}

/// Decodes the argument, calls the function, and appends the encoded result, or the reason why there is
/// none.
#[doc(hidden)]
#[inline]
pub fn run<A, R>(call: impl FnOnce(A) -> R, argument: &[u8], out: &mut Out) -> Outcome
where
    A: DeserializeOwned,
    R: Serialize,
{
    match wire::apart::open(argument, None) {
        Ok(argument) => encode_result(&call(argument), out),
        Err(why) => fail(Failed::Argument, &why, out),
    }
}

/// Appends the encoded result, or the reason why there is none.
#[inline]
pub(crate) fn encode_result<R: Serialize>(result: &R, out: &mut Out) -> Outcome {
    match wire::apart::set_apart(result, &mut out.frame, &mut out.apart) {
        Ok(()) => Outcome::Value,
        Err(why) => fail(Failed::Result, &why, out),
    }
}

#[cold]
fn fail(failed: Failed, why: &dyn std::fmt::Display, out: &mut Out) -> Outcome {
    out.frame.extend_from_slice(why.to_string().as_bytes());
    Outcome::Failed(failed)
}
