//! What phalanx tells [`tracing`](https://docs.rs/tracing), if it is built with the feature of that name.
//!
//! Spans and events are on cold paths only: processes that start and end, workers that are hired and lost,
//! descriptors that are fetched, connections. Their target is `phalanx`. No span is open across a fork, and
//! nothing is told between a fork and what the child was forked for: a subscriber's locks may be held by
//! threads that the child does not have.
//!
//! | name | level | fields |
//! |---|---|---|
//! | `spawn`, `zygote` (spans) | debug | |
//! | `process started` | debug | `pid`, `method` |
//! | `process ended` | debug | `pid`, `status` |
//! | `worker hired` | debug | `worker`, `pid` |
//! | `worker died` | warn | `worker`, `pid`, `status` |
//! | `collect` (span) | debug | |
//! | `connect` (span) | debug | `address` |

/// Opens a span until its value is dropped.
#[cfg(feature = "tracing")]
macro_rules! span {
    ($name:literal $(, $field:ident = $value:expr)*) => {
        ::tracing::debug_span!(target: "phalanx", $name $(, $field = ?$value)*).entered()
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! span {
    ($name:literal $(, $field:ident = $value:expr)*) => {{
        $(if false { let _ = &$value; })*
        $crate::trace::Off
    }};
}

/// Tells that something has happened.
#[cfg(feature = "tracing")]
macro_rules! event {
    ($level:ident, $text:literal $(, $field:ident = $value:expr)*) => {
        ::tracing::event!(target: "phalanx", ::tracing::Level::$level $(, $field = ?$value)*, $text)
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($level:ident, $text:literal $(, $field:ident = $value:expr)*) => {
        { $(if false { let _ = &$value; })* }
    };
}

/// The span of a crate that tells nothing.
#[cfg(not(feature = "tracing"))]
pub(crate) struct Off;

pub(crate) use {event, span};
