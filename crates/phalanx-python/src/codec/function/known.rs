//! What the sender has shipped lately, so that a call a task need not pickle its function.
use std::sync::Mutex;

use pyo3::prelude::*;

use super::definition::Definition;
use super::ship::ShippedFunction;

/// How many functions are remembered; each is kept alive meanwhile.
const REMEMBERED: usize = 32;

static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

struct Known {
    callable: Py<PyAny>,
    main_by_value: bool,
    /// What must not have changed; nothing for what is sent by its name alone.
    definition: Option<Definition>,
    shipped: ShippedFunction,
}

/// What `callable` was shipped as, if it would be shipped as the same again.
pub(super) fn recall(callable: &Bound<'_, PyAny>, main_by_value: bool) -> Option<ShippedFunction> {
    // A lock that somebody has is no reason to wait: shipping anew is always right.
    let mut known = KNOWN.try_lock().ok()?;
    let is_it =
        |known: &Known| callable.is(&known.callable) && known.main_by_value == main_by_value;
    let place = known.iter().position(is_it)?;
    let py = callable.py();
    if !known[place].definition.as_ref().is_none_or(|definition| definition.is_current(py)) {
        let stale = known.remove(place);
        drop(known);
        drop(stale);
        return None;
    }
    if place > 0 {
        known.swap(place, place - 1);
    }
    Some(known[place.saturating_sub(1)].shipped.clone())
}

/// Remembers what `callable` was shipped as.
pub(super) fn remember(
    callable: &Bound<'_, PyAny>,
    main_by_value: bool,
    definition: Option<Definition>,
    shipped: &ShippedFunction,
) {
    let entry = Known {
        callable: callable.clone().unbind(),
        main_by_value,
        definition,
        shipped: shipped.clone(),
    };
    let Ok(mut known) = KNOWN.try_lock() else {
        return;
    };
    let forgotten = if known.len() == REMEMBERED { known.pop() } else { None };
    known.insert(0, entry);
    // What is forgotten may run code of its own as it goes, so it goes without the lock.
    drop(known);
    drop(forgotten);
}
