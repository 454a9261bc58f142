//! Locks and numbers that nobody else wants, and that somebody else wants too.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use criterion::Criterion;
use phalanx::prelude::*;
use phalanx::sync::RawLock;
use phalanx_benchmarks::Peer;

fn alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("taken and released, uncontended");
    let lock = Lock::new(0u64).expect("a lock");
    group.bench_function("phalanx Lock", |b| b.iter(|| *lock.lock().expect("nobody died") += 1));
    let raw = RawLock::new().expect("a lock");
    group.bench_function("phalanx RawLock", |b| b.iter(|| drop(black_box(raw.lock()))));
    let reentrant = RLock::new().expect("a lock");
    group.bench_function("phalanx RLock", |b| b.iter(|| drop(black_box(reentrant.lock()))));
    let mutex = Mutex::new(0u64);
    group.bench_function("Mutex in one process", |b| {
        b.iter(|| *black_box(&mutex).lock().expect("not poisoned") += 1);
    });
    drop(group);

    let mut group = c.benchmark_group("a shared number, add one");
    let value = Value::new(0u64).expect("a value");
    group.bench_function("phalanx Value", |b| b.iter(|| black_box(value.fetch_add(1))));
    let number = AtomicU64::new(0);
    group.bench_function("AtomicU64 in one process", |b| {
        b.iter(|| black_box(&number).fetch_add(1, Ordering::Relaxed));
    });
}

fn contended(c: &mut Criterion) {
    let mut group = c.benchmark_group("taken and released by two at once");
    let lock = Lock::new(0u64).expect("a lock");
    let peer = Peer::process(|| *lock.lock().expect("nobody died") += 1);
    group.bench_function("phalanx Lock", |b| {
        b.iter_custom(|count| peer.rounds(count, || *lock.lock().expect("nobody died") += 1));
    });
    drop(peer);
    let mutex = Arc::new(Mutex::new(0u64));
    let its = Arc::clone(&mutex);
    let peer = Peer::thread(move || *its.lock().expect("not poisoned") += 1);
    group.bench_function("Mutex between threads", |b| {
        b.iter_custom(|count| peer.rounds(count, || *mutex.lock().expect("not poisoned") += 1));
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .configure_from_args();
    alone(&mut criterion);
    contended(&mut criterion);
    criterion.final_summary();
}
