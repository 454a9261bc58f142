//! What the words promise, shown between the threads of one process, each with a slot of its own.

#![cfg(not(loom))]

#[path = "../support/mod.rs"]
mod support;

mod barriers;
mod locks;
mod permits;
mod waiting;

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use phalanx_shm::patience::Patience;
use phalanx_shm::peers::{Peers, SlotId};
use support::Watchdog;

const FOREVER: Patience<'static> = Patience::forever();
const NOW: Patience<'static> = Patience::none();

/// A process with a slot, which takes all others for alive.
#[derive(Clone, Copy)]
struct As(u16);

impl Peers for As {
    fn me(&self) -> SlotId {
        slot(self.0)
    }
    fn pid(&self, slot: SlotId) -> u32 {
        u32::from(slot.raw()) + 1000
    }
    fn check(&self, _slot: SlotId) -> bool {
        true
    }
}

fn slot(raw: u16) -> SlotId {
    SlotId::from_raw(raw).expect("slots begin at 1")
}

fn soon() -> Patience<'static> {
    Patience::timeout(Some(Duration::from_millis(20)))
}

/// Runs `body` in threads with the slots 1 to `count`.
fn each(count: u16, body: impl Fn(As) + Sync) {
    let _watchdog = Watchdog::start(60);
    thread::scope(|scope| {
        for raw in 1..=count {
            let body = &body;
            scope.spawn(move || body(As(raw)));
        }
    });
}

/// Adds one in a way that loses counts unless nobody else does so meanwhile.
fn add_one(counter: &AtomicU32) {
    let now = counter.load(Ordering::Relaxed);
    std::hint::black_box(());
    counter.store(now + 1, Ordering::Relaxed);
}

fn waited_at_least(time: Duration, wait: impl FnOnce()) {
    let start = Instant::now();
    wait();
    assert!(start.elapsed() >= time, "gave up after {:?}", start.elapsed());
}
