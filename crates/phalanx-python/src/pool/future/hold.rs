//! The lock of a future's condition: re-entrant, and no object of its own.

use std::thread::ThreadId;

use super::gate::Gate;

/// Who holds a future, and who waits for that. Guarded by the future's own mutex, which is only held
/// for moments.
#[derive(Default)]
pub(super) struct Hold {
    holder: Option<ThreadId>,
    depth: u32,
    /// Threads that want to hold it, oldest first.
    queue: Vec<Gate>,
}

impl Hold {
    /// Takes it for a thread, again if it has it already. False if another has it.
    pub(super) fn try_take(&mut self, thread: ThreadId) -> bool {
        if self.holder.is_some_and(|holder| holder != thread) {
            return false;
        }
        self.holder = Some(thread);
        self.depth += 1;
        true
    }

    pub(super) fn is_free(&self) -> bool {
        self.holder.is_none()
    }

    pub(super) fn is_held_by(&self, thread: ThreadId) -> bool {
        self.holder == Some(thread)
    }

    /// Joins those that wait for it.
    pub(super) fn queue(&mut self, gate: Gate) {
        self.queue.push(gate);
    }

    /// Leaves the queue. The gate is to be dropped when no mutex is held; nothing if it has been taken
    /// out to be opened.
    pub(super) fn give_up(&mut self, gate: &Gate) -> Option<Gate> {
        let place = self.queue.iter().position(|other| other.is(gate))?;
        Some(self.queue.remove(place))
    }

    /// Gives back one taking. Returns the gate that is to be opened, if any.
    pub(super) fn give_back(&mut self) -> Option<Gate> {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            self.holder = None;
        }
        self.next()
    }

    /// Gives back everything; returns how often it had been taken.
    pub(super) fn give_all_back(&mut self) -> (u32, Option<Gate>) {
        let depth = std::mem::take(&mut self.depth);
        self.holder = None;
        (depth, self.next())
    }

    /// Takes it as often more as it had been taken.
    pub(super) fn deepen(&mut self, depth: u32) {
        self.depth += depth;
    }

    /// Who is to try next, if it is free.
    pub(super) fn next(&mut self) -> Option<Gate> {
        (self.is_free() && !self.queue.is_empty()).then(|| self.queue.remove(0))
    }
}
