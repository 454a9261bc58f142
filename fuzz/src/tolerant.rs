//! Panics that say that shared memory is damaged are an answer; all others are faults.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

/// What phalanx says of damaged shared memory, and of offsets that lead outside of it.
const KNOWN: [&str; 5] = [
    "written over shared memory",
    "damaged by another process",
    "outside the arena",
    "outside the heap",
    "is not the ring's",
];

fn is_known(payload: &(dyn std::any::Any + Send)) -> bool {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
    KNOWN.iter().any(|known| text.contains(known))
}

/// Runs a step that may find out that memory is damaged.
pub fn tolerant(step: impl FnOnce()) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !is_known(info.payload()) {
                report(info);
            }
        }));
    });
    if let Err(payload) = catch_unwind(AssertUnwindSafe(step))
        && !is_known(&*payload)
    {
        resume_unwind(payload);
    }
}
