//! Tickets for descriptors in a message that is being sent: if the message is not sent after all, what
//! they are for is taken back from the desk.

use std::cell::{Cell, RefCell};

use crate::process::passing::{self, TICKET};

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Nobody would take the tickets back.
    Off,
    /// Somebody would, and there is none so far.
    None,
    Some,
}

thread_local! {
    // Apart from the tickets, which need a destructor: the state is looked at for every message.
    static STATE: Cell<State> = const { Cell::new(State::Off) };
    static TICKETS: RefCell<Vec<[u8; TICKET]>> = const { RefCell::new(Vec::new()) };
}

/// A ticket has been written into what the calling thread is encoding.
pub(crate) fn written(ticket: [u8; TICKET]) {
    if STATE.get() != State::Off {
        STATE.set(State::Some);
        TICKETS.with_borrow_mut(|tickets| tickets.push(ticket));
    }
}

/// Takes back what the tickets are for that the calling thread writes meanwhile, unless they are sent.
pub(crate) struct Watch {
    before: State,
    tickets: Vec<[u8; TICKET]>,
}

impl Watch {
    #[inline]
    pub(crate) fn begin() -> Self {
        let before = STATE.replace(State::None);
        Self { before, tickets: if before == State::Some { TICKETS.take() } else { Vec::new() } }
    }

    /// Whether a ticket has been written.
    #[inline]
    pub(super) fn has_tickets(&self) -> bool {
        STATE.get() == State::Some
    }

    /// The message is on its way.
    #[inline]
    pub(crate) fn sent(self) {
        if self.has_tickets() {
            STATE.set(State::None);
            TICKETS.take();
        }
    }
}

impl Drop for Watch {
    #[inline]
    fn drop(&mut self) {
        if STATE.replace(self.before) == State::Some {
            TICKETS.take().iter().for_each(passing::withdraw);
        }
        if self.before == State::Some {
            TICKETS.set(std::mem::take(&mut self.tickets));
        }
    }
}
