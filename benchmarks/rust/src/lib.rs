//! What the measurements have in common: another process, or thread, that does its part on demand.

use std::time::{Duration, Instant};

use phalanx::process::{Child, fork};
use phalanx::{Patience, Queue};

/// Somebody else who does so many rounds when it is told to.
pub struct Peer {
    orders: Queue<u64>,
    done: Queue<()>,
    kind: Kind,
}

enum Kind {
    Process(Child),
    Thread(Option<std::thread::JoinHandle<()>>),
}

impl Peer {
    /// A forked process that calls `round`, on a processor of its own.
    pub fn process(round: impl FnMut()) -> Self {
        Self::process_on(1, round)
    }

    /// A forked process that calls `round` and keeps to a processor; ours is 0.
    pub fn process_on(processor: usize, mut round: impl FnMut()) -> Self {
        let (orders, done) = (queue(), queue());
        let child = fork::run(|| {
            stay_on(processor);
            obey(&orders, &done, &mut round);
            0
        });
        Self { orders, done, kind: Kind::Process(child.expect("a process")) }
    }

    /// A thread that calls `round`: the limit that processes can be measured against.
    pub fn thread(mut round: impl FnMut() + Send + 'static) -> Self {
        let (orders, done) = (queue(), queue::<()>());
        let (its_orders, its_done) = (orders.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            stay_on(1);
            obey(&its_orders, &its_done, &mut round);
        });
        Self { orders, done, kind: Kind::Thread(Some(thread)) }
    }

    /// How long so many rounds take of `round` here and of the peer's there, until both have done all.
    pub fn rounds(&self, count: u64, mut round: impl FnMut()) -> Duration {
        self.orders.put(count).expect("room");
        let begun = Instant::now();
        for _ in 0..count {
            round();
        }
        self.done.take().expect("the peer lives");
        begun.elapsed()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.orders.put(0);
        match &mut self.kind {
            Kind::Process(child) => drop(child.wait(Patience::forever())),
            Kind::Thread(thread) => drop(thread.take().map(|thread| thread.join())),
        }
    }
}

/// Keeps the calling thread on a processor, if there is that one: otherwise the scheduler decides in each run
/// anew whether both sides share one, which matters more than what is measured.
pub fn stay_on(processor: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

fn queue<T>() -> Queue<T> {
    Queue::unbounded().expect("shared memory")
}

fn obey(orders: &Queue<u64>, done: &Queue<()>, round: &mut impl FnMut()) {
    while let Ok(count @ 1..) = orders.take() {
        for _ in 0..count {
            round();
        }
        done.put(()).expect("room");
    }
}
