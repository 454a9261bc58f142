//! The thread that makes descriptors readable for the queues that were asked for one.
//!
//! `select` knows nothing of shared memory, so somebody has to sleep on the queues' event counts and
//! write to descriptors. One thread of a process does so for all its watched queues, with
//! `futex_waitv`. A queue whose descriptor is readable is not watched; once this process has found
//! the queue empty it makes the descriptor unreadable and tells the bridge, through a word of its own
//! in the same sleep, to register for the queue again *and then look* whether something came meanwhile.
//!
//! The bridge takes no messages, so a wake-up that it gets is passed on to somebody who may. After a
//! fork the child has no bridge until it asks for a descriptor itself. The thread ends when nothing is
//! left to watch.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_os::futex::{self, WAIT_ANY_MAX};
use phalanx_os::signal::{self, SignalSet};
use phalanx_shm::event_count::Ticket;
use phalanx_shm::patience::{Patience, Slices};

use super::doorbell::Watched;

/// How long the bridge sleeps where it cannot sleep on all queues at once: on kernels without
/// `futex_waitv`, and for more queues than one such call takes.
const BLIND: Duration = Duration::from_millis(10);

#[derive(Default)]
struct State {
    watched: Vec<Arc<Watched>>,
    running: bool,
}

/// The bridge of one process.
#[derive(Default)]
pub(super) struct Bridge {
    state: Mutex<State>,
    /// Changes whenever the thread should look at the list again.
    changes: AtomicU32,
}

impl Bridge {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<Watched>> {
        self.state().watched.iter().find(|watched| watched.id == id).cloned()
    }

    /// Adds a queue, unless another thread was quicker; returns the one that is watched.
    pub(super) fn watch(&'static self, new: Arc<Watched>) -> io::Result<Arc<Watched>> {
        let mut state = self.state();
        if let Some(old) = state.watched.iter().find(|watched| watched.id == new.id) {
            return Ok(Arc::clone(old));
        }
        // Readable at once if there is a message: the caller may call `select` before the thread
        // has run.
        if !new.ring.is_empty(new.ring.family()) {
            new.ring_bell();
        }
        state.watched.push(Arc::clone(&new));
        if !state.running {
            self.start().inspect_err(|_| {
                state.watched.pop();
            })?;
            state.running = true;
        }
        drop(state);
        self.look_again();
        Ok(new)
    }

    pub(super) fn forget(&self, id: u64) {
        // Dropped after the lock is released: its last handle takes other locks.
        let _forgotten: Vec<_> = self.state().watched.extract_if(.., |w| w.id == id).collect();
        self.look_again();
    }

    pub(super) fn look_again(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        futex::wake_all(&self.changes);
    }

    fn start(&'static self) -> io::Result<()> {
        // Signals are for the threads that run the program.
        let before = signal::block(&SignalSet::of(&(1..=31).collect::<Vec<_>>()));
        let thread = std::thread::Builder::new().name("phalanx-bridge".into());
        let started = thread.stack_size(256 << 10).spawn(|| self.run());
        signal::set_mask(&before);
        started.map(drop)
    }

    fn run(&self) {
        let mut tickets: HashMap<u64, Ticket> = HashMap::new();
        let mut slices = Slices::for_users();
        loop {
            let changes = self.changes.load(Ordering::SeqCst);
            let watched = {
                let mut state = self.state();
                if state.watched.is_empty() {
                    state.running = false;
                    return;
                }
                state.watched.clone()
            };
            let quiet: Vec<_> = watched.into_iter().filter(|w| !w.is_ringing()).collect();
            tickets.retain(|id, _| quiet.iter().any(|w| w.id == *id));
            let mut rang = false;
            for watched in &quiet {
                let events = watched.ring.not_empty();
                let ticket = tickets.entry(watched.id).or_insert_with(|| events.register());
                let (word, expected) = events.as_futex(*ticket);
                if word.load(Ordering::SeqCst) != expected {
                    *ticket = events.register();
                }
                if !watched.ring.is_empty(watched.ring.family()) {
                    watched.ring_bell();
                    events.notify_one();
                    rang = true;
                }
            }
            if rang {
                slices = Slices::for_users();
                continue;
            }
            self.sleep(&quiet, &tickets, changes, &mut slices);
        }
    }

    fn sleep(
        &self,
        quiet: &[Arc<Watched>],
        tickets: &HashMap<u64, Ticket>,
        changes: u32,
        slices: &mut Slices,
    ) {
        let mut words = vec![(&self.changes, changes)];
        for watched in quiet {
            if let Some(ticket) = tickets.get(&watched.id) {
                words.push(watched.ring.not_empty().as_futex(*ticket));
            }
        }
        let until = slices.next_deadline(&Patience::forever());
        if words.len() <= WAIT_ANY_MAX && futex::wait_any(&words, Some(until)).is_ok() {
            return;
        }
        let _ = futex::wait(&self.changes, changes, Some(until.min(Deadline::after(BLIND))));
    }
}
