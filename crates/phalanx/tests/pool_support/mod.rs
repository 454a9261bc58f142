//! What the tests of pools share: a watchdog, counters in shared memory, children.

#![allow(dead_code, unreachable_pub)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use phalanx::process::{Child, fork};
use phalanx_shm::family::Family;
use phalanx_shm::object::{Bytes, Shared};

/// Ends the test program if the test still runs after so many seconds; drop it at the test's end.
#[must_use]
pub fn watchdog(seconds: u64) -> std::sync::mpsc::Sender<()> {
    let (alive, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::sync::mpsc::RecvTimeoutError::Timeout;
        if ended.recv_timeout(Duration::from_secs(seconds)) == Err(Timeout) {
            eprintln!("watchdog: the test has hung");
            std::process::abort();
        }
    });
    alive
}

/// Numbers that all processes see.
#[derive(Clone)]
pub struct Counters(Shared<Bytes>, usize);

impl Counters {
    pub fn new(count: usize) -> Self {
        let family = Family::get().expect("a family");
        Self(Shared::with_tail(family, count * 8, |_: &Bytes| ()).expect("memory"), count)
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.1);
        self.0.family().arena().at(self.0.tail_offset() + index as u64 * 8)
    }

    /// Adds one and returns what was there before.
    pub fn count(&self, index: usize) -> u64 {
        self.at(index).fetch_add(1, Ordering::SeqCst)
    }

    pub fn get(&self, index: usize) -> u64 {
        self.at(index).load(Ordering::SeqCst)
    }

    pub fn set(&self, index: usize, value: u64) {
        self.at(index).store(value, Ordering::SeqCst);
    }

    pub fn all(&self) -> Vec<u64> {
        (0..self.1).map(|index| self.get(index)).collect()
    }
}

/// Runs `body` in a child; a panic there is exit code 101.
pub fn child(body: impl FnOnce()) -> Child {
    fork::run(|| {
        body();
        0
    })
    .expect("a child")
}

pub fn raise(signal: i32) {
    phalanx_os::proc::raise(signal);
}

pub fn kill(pid: u32, signal: i32) {
    phalanx_os::proc::kill(pid, signal);
}

pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

pub fn until(mut ready: impl FnMut() -> bool) {
    while !ready() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A sequence of numbers that looks random and is the same for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// The seed that the environment names, or a new one; printed, so that a failure can be repeated.
pub fn seed() -> u64 {
    let named = std::env::var("PHALANX_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = named.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64) | 1
    });
    eprintln!("PHALANX_TEST_SEED={seed}");
    seed
}
