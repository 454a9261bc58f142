//! Work given to others: tiny tasks in bulk, one task at a time, and the start of a process.

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use phalanx::pool::Pool;
use phalanx::process::{Process, StartMethod};
use rayon::prelude::*;

/// As many workers as the machine of the stored results has processors.
const WORKERS: usize = 2;
const TASKS: u64 = 100_000;
/// For those who take long.
const FEW: u64 = 500;

#[phalanx::task]
fn increment(n: u64) -> u64 {
    n + 1
}

fn tiny_tasks(c: &mut Criterion) {
    let mut group = c.benchmark_group("a tiny task of many, two workers");
    group.sample_size(10).throughput(Throughput::Elements(TASKS));
    let pool = Pool::new(WORKERS).expect("a pool");
    group.bench_function("phalanx Pool::map", |b| {
        b.iter(|| black_box(pool.map(increment::task(), 0..TASKS).expect("results")));
    });
    let threads = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().expect("threads");
    group.bench_function("rayon threads", |b| {
        b.iter(|| {
            threads.install(|| {
                let results = (0..TASKS).into_par_iter().map(|n| increment(black_box(n)));
                black_box(results.collect::<Vec<u64>>())
            })
        });
    });
    group.throughput(Throughput::Elements(FEW));
    let others = procspawn::Pool::new(WORKERS).expect("a pool");
    group.bench_function("procspawn Pool::spawn", |b| {
        b.iter(|| {
            let tasks: Vec<_> =
                (0..FEW).map(|n| procspawn::spawn!(in others, (n) || increment(n))).collect();
            let results = tasks.into_iter().map(|task| task.join().expect("a result"));
            black_box(results.collect::<Vec<u64>>())
        });
    });
    drop(group);

    let mut group = c.benchmark_group("a task and its answer, one at a time");
    group.bench_function("phalanx Pool::submit", |b| {
        b.iter(|| {
            let task = pool.submit(increment::task(), black_box(1)).expect("room");
            black_box(task.wait().expect("a result"))
        });
    });
    group.bench_function("procspawn Pool::spawn", |b| {
        b.iter(|| {
            let task = procspawn::spawn!(in others, (1u64 => n) || increment(n));
            black_box(task.join().expect("a result"))
        });
    });
    others.shutdown();
}

fn starts(c: &mut Criterion) {
    let mut group = c.benchmark_group("a process for one task, start to end");
    group.sample_size(20);
    for method in [StartMethod::Zygote, StartMethod::Fork, StartMethod::Spawn] {
        group.bench_function(format!("phalanx {method}"), |b| {
            b.iter(|| {
                let process = Process::builder().method(method).start(increment::task(), 1);
                black_box(process.expect("a process").join().expect("a result"))
            });
        });
    }
    group.bench_function("procspawn", |b| {
        b.iter(|| black_box(procspawn::spawn(1u64, increment).join().expect("a result")));
    });
    group.bench_function("Command, /bin/true", |b| {
        b.iter(|| black_box(Command::new("/bin/true").status().expect("a status")));
    });
}

fn main() {
    // Each begins as a child of its own kind, if it is one.
    phalanx::init();
    procspawn::init();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    starts(&mut criterion);
    tiny_tasks(&mut criterion);
    criterion.final_summary();
}
