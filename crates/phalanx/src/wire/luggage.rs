//! What a message takes along beside its bytes: holds on the objects whose handles are in it.

use std::cell::{Cell, RefCell};

use phalanx_shm::passage::Hold;

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Nobody would carry them.
    Refused,
    /// Somebody would, and there is none so far.
    Empty(Way),
    Some(Way),
}

/// How objects reach the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// With the message, whose they are meanwhile.
    Message,
    /// Kept by the sender until it is answered.
    Lent,
}

thread_local! {
    // Apart from the holds, which need a destructor: the state is looked at for every message.
    static STATE: Cell<State> = const { Cell::new(State::Refused) };
    static HOLDS: RefCell<Vec<Hold>> = const { RefCell::new(Vec::new()) };
}

/// Collects the holds of what the calling thread encodes meanwhile. One within another, by a `Serialize`
/// that itself sends something, leaves those of the outer one alone.
pub(super) struct Luggage {
    before: State,
    holds: Vec<Hold>,
}

impl Luggage {
    #[inline]
    pub(super) fn accept(way: Way) -> Self {
        Self::enter(State::Empty(way))
    }

    /// There is nobody to carry any.
    #[inline]
    pub(super) fn refuse() -> Self {
        Self::enter(State::Refused)
    }

    #[inline]
    fn enter(state: State) -> Self {
        let before = STATE.replace(state);
        let holds = if matches!(before, State::Some(_)) { HOLDS.take() } else { Vec::new() };
        Self { before, holds }
    }

    /// What has been collected.
    #[inline]
    pub(super) fn take(&self) -> Vec<Hold> {
        match STATE.get() {
            State::Some(way) => {
                STATE.set(State::Empty(way));
                HOLDS.take()
            }
            _ => Vec::new(),
        }
    }
}

impl Drop for Luggage {
    #[inline]
    fn drop(&mut self) {
        let is_some = |state| matches!(state, State::Some(_));
        if is_some(STATE.replace(self.before)) || is_some(self.before) {
            let before = std::mem::take(&mut self.holds);
            let _dropped_outside_of_the_borrow = HOLDS.replace(before);
        }
    }
}

/// Adds a hold, if somebody would carry it; says how.
pub(super) fn take_along(hold: impl FnOnce() -> Option<Hold>) -> Option<Way> {
    let (State::Empty(way) | State::Some(way)) = STATE.get() else { return None };
    let hold = hold()?;
    STATE.set(State::Some(way));
    HOLDS.with_borrow_mut(|holds| holds.push(hold));
    Some(way)
}
