//! The thread that enforces the time limits of tasks while nobody waits for the pool.
//!
//! There is one only for pools with a limit, and only while they have tasks without an answer. It does not
//! keep the pool.

use std::sync::{Arc, Weak};
use std::time::Duration;

use phalanx_os::signal::{self, SignalSet};

use super::team::Team;

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts the thread; false if there can be none.
pub(super) fn start(team: &Arc<Team>) -> bool {
    let team = Arc::downgrade(team);
    // Signals are for the threads of the program.
    let mask = signal::block(&SignalSet::all());
    let thread = std::thread::Builder::new().name("phalanx-limits".to_owned());
    let thread = thread.spawn(move || watch(&team));
    signal::set_mask(&mask);
    thread.is_ok()
}

fn watch(team: &Weak<Team>) {
    loop {
        std::thread::sleep(LOOK_EVERY);
        if !team.upgrade().is_some_and(|team| team.supervise()) {
            return;
        }
    }
}
