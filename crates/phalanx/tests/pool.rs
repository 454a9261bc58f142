//! Pools of forked workers, as a Rust program uses them.

mod pool_support;

use std::time::{Duration, Instant};

use phalanx::pool::{Builder, Pool, PoolError, WorkerDied};
use phalanx::process::ExitStatus;
use pool_support::{Counters, Dice, kill, pause, raise, seed, until, watchdog};

fn died<T: std::fmt::Debug>(result: Result<T, PoolError>) -> WorkerDied {
    match result {
        Err(PoolError::WorkerDied(died)) => died,
        other => panic!("{other:?}"),
    }
}

#[test]
fn results_come_in_the_order_of_the_items() {
    let _watchdog = watchdog(60);
    let (pool, work) = Pool::fork(3, |x: u64| x.wrapping_mul(x)).expect("a pool");
    for total in [0u64, 1, 2, 7, 1_000, 50_000] {
        let expected: Vec<u64> = (0..total).map(|x| x.wrapping_mul(x)).collect();
        assert_eq!(pool.map(work, 0..total).expect("results"), expected);
    }
    let lazily: Result<Vec<u64>, _> = pool.imap(work, 0..5_000).collect();
    assert_eq!(lazily.expect("results"), (0..5_000).map(|x| x * x).collect::<Vec<_>>());
    let mut seen = vec![0; 5_000];
    for (index, result) in pool.imap_unordered(work, 0..5_000) {
        assert_eq!(result.expect("a result"), index * index);
        seen[index as usize] += 1;
    }
    assert!(seen.iter().all(|times| *times == 1));
    pool.join().expect("the end");
}

#[test]
fn values_of_any_size_travel() {
    let _watchdog = watchdog(60);
    let (pool, work) = Pool::fork(2, |(text, bytes): (String, Vec<u8>)| {
        (bytes.len() as u64, text.repeat(2), bytes.into_iter().rev().collect::<Vec<u8>>())
    })
    .expect("a pool");
    for size in [0usize, 1, 8_000, 8_192, 8_193, 100_000, 20 << 20] {
        let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let back = pool.submit(work, ("é".to_owned(), bytes.clone())).expect("sent").wait();
        let (len, text, reversed) = back.expect("a result");
        assert_eq!((len, text.as_str()), (size as u64, "éé"));
        assert!(reversed.iter().rev().eq(&bytes));
    }
}

#[test]
fn a_panic_costs_its_task_and_the_worker_goes_on() {
    let _watchdog = watchdog(60);
    let (pool, work) = Pool::fork(1, |x: u64| {
        assert!(x % 10 != 3, "no threes: {x}");
        x
    })
    .expect("a pool");
    let before = pool.pids();
    let results = pool.map_each(work, 0..30).expect("sent");
    for (x, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert_eq!(value, x as u64),
            Err(PoolError::Panicked(panicked)) => {
                assert_eq!(x % 10, 3);
                assert_eq!(panicked.task, x as u64);
                assert_eq!(panicked.pid, before[0]);
                assert_eq!(panicked.panic.message(), format!("no threes: {x}"));
                assert!(panicked.to_string().contains("a_panic_costs_its_task"), "{panicked}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(pool.pids(), before);
    let first = pool.map(work, 0..30).expect_err("a three");
    assert_eq!(first.task(), Some(3));
}

#[test]
fn a_dead_worker_is_named_and_replaced() {
    let _watchdog = watchdog(60);
    let (pool, work) = Pool::fork(2, |how: i32| match how {
        -1 => std::process::abort(),
        code if code >= 100 => std::process::exit(code - 100),
        0 => 0,
        signal => {
            raise(signal);
            signal
        }
    })
    .expect("a pool");
    let deaths =
        [(-1, ExitStatus::Signal(6)), (103, ExitStatus::Code(3)), (100, ExitStatus::Code(0))];
    for (how, status) in deaths.into_iter().chain([(9, ExitStatus::Signal(9))]) {
        let pids = pool.pids();
        let results = pool.map_each(work, [0, how, 0]).expect("sent");
        assert!(matches!((&results[0], &results[2]), (Ok(0), Ok(0))));
        let [_, result, _] = <[_; 3]>::try_from(results).expect("three");
        let died = died(result);
        assert_eq!((died.task, died.status), (Some(1), status));
        assert!(pids.contains(&died.pid) && died.worker < 2);
        assert!(died.function.contains("a_dead_worker_is_named"));
        assert_eq!(pool.map(work, [0, 0, 0]).expect("the pool goes on"), [0, 0, 0]);
    }
    until(|| {
        let _ = pool.map(work, [0]);
        pool.pids().len() == 2
    });
}

#[test]
fn a_worker_killed_while_idle_costs_nothing() {
    let _watchdog = watchdog(60);
    let (pool, work) = Pool::fork(2, |x: u64| x + 1).expect("a pool");
    for round in 0..20 {
        for pid in pool.pids() {
            kill(pid, 9);
        }
        assert_eq!(
            pool.map(work, round..round + 4).expect("results"),
            [round + 1, round + 2, round + 3, round + 4]
        );
    }
}

#[test]
fn an_early_task_that_takes_long_starves_nobody() {
    let _watchdog = watchdog(60);
    let done = Counters::new(1);
    let seen = done.clone();
    let (pool, work) = Pool::fork(2, move |x: u64| {
        if x == 0 {
            // Ends when the other worker has done so much that no small window explains it.
            until(|| seen.get(0) == 99);
        } else {
            seen.count(0);
        }
        x
    })
    .expect("a pool");
    let results: Result<Vec<u64>, _> = pool.imap(work, 0..100).collect();
    assert_eq!(results.expect("results"), (0..100).collect::<Vec<_>>());
}

#[test]
fn an_iterator_is_read_only_so_far_ahead() {
    let _watchdog = watchdog(60);
    let (pool, work) = Pool::fork(2, |x: u64| x).expect("a pool");
    let read = std::cell::Cell::new(0u64);
    let endless = (0..).inspect(|_| read.set(read.get() + 1));
    let mut results = pool.imap(work, endless).look_ahead(5);
    assert_eq!(read.get(), 0);
    for x in 0..500 {
        assert!(matches!(results.next(), Some(Ok(y)) if y == x));
        assert!(read.get() <= x + 1 + 5, "{} were read for {x}", read.get());
    }
    drop(results);
    let firsts: Result<Vec<u64>, _> = pool.imap(work, 0..).take(10).collect();
    assert_eq!(firsts.expect("results"), (0..10).collect::<Vec<_>>());
}

/// In a process of its own, whose memory is little.
#[test]
fn an_iterator_without_end_is_no_input_for_map() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let _watchdog = watchdog(120);
    let child = phalanx::process::fork::run(|| {
        let (pool, work) = Pool::fork(2, |x: Vec<u8>| x.len()).expect("a pool");
        let mapped = phalanx_os::memory_use::memory_use().expect("the kernel tells").mapped;
        let limit = Rlimit { current: Some(mapped + (512 << 20)), ..getrlimit(Resource::As) };
        setrlimit(Resource::As, limit).expect("a limit");
        let endless = || std::iter::repeat_with(|| vec![1u8; 100_000]);
        let error = pool.map(work, endless()).expect_err("there is no end");
        let PoolError::TooMany { items, memory } = error else { panic!("{error}") };
        assert!(items > 1000 && memory > 64 << 20, "{error}");
        assert!(error.to_string().contains("use imap"), "{error}");
        assert!(matches!(pool.map_each(work, endless()), Err(PoolError::TooMany { .. })));
        let lens: Result<Vec<usize>, _> = pool.imap(work, endless()).take(100).collect();
        assert_eq!(lens.expect("results"), [100_000; 100]);
        0
    });
    let status = child.expect("a process").wait(phalanx::Patience::forever());
    assert!(matches!(status, Ok(ExitStatus::Code(0))), "{status:?}");
}

#[test]
fn numbers_without_sense_are_taken_for_the_nearest_with() {
    let _watchdog = watchdog(60);
    let plans = [
        Builder::new().batch(0).queue(0).recycle_after(0),
        Builder::new().batch(usize::MAX).queue(usize::MAX).recycle_after(u64::MAX),
        Builder::new().task_timeout(Duration::MAX).retries(u32::MAX),
    ];
    for mut builder in plans.map(|builder| builder.workers(2)) {
        let next = builder.closure(|x: u64| x + 1);
        let pool = builder.start().expect("a pool");
        assert_eq!(pool.map(next, 0..10).expect("results"), (1..11).collect::<Vec<_>>());
        assert_eq!(pool.submit(next, 1).expect("sent").wait().expect("a result"), 2);
        for ahead in [0, usize::MAX] {
            let results = pool.imap(next, 0..50).look_ahead(ahead);
            assert_eq!(results.map(|x| x.expect("a result")).sum::<u64>(), (1..51).sum());
        }
    }
}

#[test]
fn tasks_can_be_waited_for_with_a_limit() {
    let _watchdog = watchdog(60);
    let gate = Counters::new(1);
    let open = gate.clone();
    let (pool, work) = Pool::fork(1, move |x: u64| {
        until(|| open.get(0) == 1);
        x
    })
    .expect("a pool");
    let task = pool.submit(work, 5).expect("sent");
    let task = task.wait_timeout(Duration::from_millis(20)).expect_err("the gate is closed");
    let task = task.wait_deadline(Instant::now()).expect_err("the gate is closed");
    assert!(!task.is_done());
    gate.set(0, 1);
    assert_eq!(task.wait().expect("a result"), 5);
}

#[test]
fn many_threads_may_use_a_pool() {
    let _watchdog = watchdog(60);
    let (pool, work) = Pool::fork(2, |x: u64| x + 1).expect("a pool");
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..50 {
                    let first = thread * 1_000 + round;
                    assert_eq!(
                        pool.submit(work, first).expect("sent").wait().expect("one"),
                        first + 1
                    );
                    let all = pool.map(work, first..first + 20).expect("results");
                    assert_eq!(all, (first + 1..first + 21).collect::<Vec<_>>());
                }
            });
        }
    });
}

#[test]
fn sixty_four_workers() {
    let _watchdog = watchdog(120);
    let (pool, work) = Pool::fork(64, |x: u64| (x, std::process::id())).expect("a pool");
    assert_eq!(pool.pids().len(), 64);
    let mut next = 0;
    for result in pool.imap(work, 0..20_000) {
        assert_eq!(result.expect("a result").0, next);
        next += 1;
    }
    assert_eq!(next, 20_000);
    for pid in pool.pids().into_iter().step_by(2) {
        kill(pid, 9);
    }
    let results = pool.map_each(work, 0..2_000).expect("sent");
    let lost = results.iter().filter(|result| result.is_err()).count();
    assert!(lost <= 32, "{lost} tasks for 32 workers");
    pool.join().expect("the end");
}

#[test]
fn workers_leave_after_so_many_tasks() {
    let _watchdog = watchdog(60);
    let mut builder = Builder::new().workers(2).recycle_after(5);
    let work = builder.closure(|_: u64| std::process::id());
    let pool = builder.start().expect("a pool");
    let mut tasks = std::collections::HashMap::new();
    for _ in 0..60 {
        let pid = pool.submit(work, 0).expect("sent").wait().expect("a result");
        *tasks.entry(pid).or_insert(0) += 1;
    }
    assert!(tasks.len() >= 12 && tasks.values().all(|count| *count <= 5), "{tasks:?}");
}

#[test]
fn each_worker_is_set_up_before_its_first_task() {
    let _watchdog = watchdog(60);
    let set_up = Counters::new(3);
    let (seen, known) = (set_up.clone(), set_up.clone());
    let own = std::sync::atomic::AtomicUsize::new(usize::MAX);
    let own = std::sync::Arc::new(own);
    let mine = std::sync::Arc::clone(&own);
    let mut builder = Builder::new().workers(3).setup(move |worker| {
        mine.store(worker, std::sync::atomic::Ordering::Relaxed);
        seen.count(worker);
    });
    let work =
        builder.closure(move |_: u64| known.get(own.load(std::sync::atomic::Ordering::Relaxed)));
    let pool = builder.start().expect("a pool");
    assert_eq!(pool.map(work, 0..10).expect("results"), [1; 10]);
    until(|| set_up.all() == [1; 3]);
    kill(pool.pids()[0], 9);
    until(|| {
        let all = pool.map(work, 0..10).expect("results");
        assert!(all.iter().all(|times| (1..=2).contains(times)));
        set_up.get(0) == 2
    });
    pool.join().expect("the end");
}

#[test]
fn a_pool_whose_workers_cannot_begin_says_so() {
    let _watchdog = watchdog(60);
    let mut builder = Builder::new().workers(2).setup(|_| std::process::exit(7));
    let work = builder.closure(|x: u64| x);
    let pool = builder.start().expect("a pool");
    match pool.map(work, 0..3) {
        Err(PoolError::WorkersKeepDying(died)) => assert_eq!(died.status, ExitStatus::Code(7)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        pool.submit(work, 1).map_err(PoolError::from),
        Err(PoolError::WorkersKeepDying(_))
    ));

    // Also when it is closed and only has to finish.
    let mut builder = Builder::new().workers(1).setup(|_| std::process::exit(7));
    let work = builder.closure(|x: u64| x);
    let pool = builder.start().expect("a pool");
    let task = pool.submit(work, 1).expect("sent");
    pool.join().expect("the end");
    assert!(matches!(task.wait(), Err(PoolError::WorkersKeepDying(_))));
}

#[test]
fn close_join_and_terminate() {
    let _watchdog = watchdog(60);
    let (pool, work) = Pool::fork(2, |x: u64| x).expect("a pool");
    let tasks: Vec<_> = (0..100).map(|x| pool.submit(work, x).expect("sent")).collect();
    pool.close();
    assert!(matches!(pool.submit(work, 1).map_err(PoolError::from), Err(PoolError::Closed)));
    assert!(matches!(pool.imap(work, [1]).next(), Some(Err(PoolError::Closed))));
    pool.join().expect("the end");
    for (x, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.wait().expect("a result"), x as u64);
    }

    let (pool, work) = Pool::fork(2, |_: u64| pause(600_000)).expect("a pool");
    let pids = pool.pids();
    let tasks: Vec<_> = (0..4).map(|x| pool.submit(work, x).expect("sent")).collect();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.map(work, [1]).map(drop));
        pause(20);
        pool.terminate();
        assert!(matches!(waiting.join().expect("no panic"), Err(PoolError::Terminated)));
    });
    for task in tasks {
        assert!(matches!(task.wait(), Err(PoolError::Terminated)));
    }
    assert!(matches!(pool.map(work, [1]), Err(PoolError::Terminated | PoolError::Closed)));
    assert!(pids.iter().all(|pid| phalanx_os::pidfd::open(*pid).is_err()), "no zombie either");
}

#[test]
fn a_task_nobody_waits_for_is_run() {
    let _watchdog = watchdog(60);
    let ran = Counters::new(1);
    let seen = ran.clone();
    let (pool, work) = Pool::fork(2, move |_: u64| seen.count(0)).expect("a pool");
    for x in 0..50 {
        drop(pool.submit(work, x).expect("sent"));
    }
    pool.join().expect("the end");
    assert_eq!(ran.get(0), 50);
}

#[test]
fn a_child_must_not_use_its_parents_pool() {
    let _watchdog = watchdog(60);
    let (pool, work) = Pool::fork(1, |x: u64| x).expect("a pool");
    let task = pool.submit(work, 1).expect("sent");
    let child = pool_support::child(|| {
        assert!(matches!(pool.map(work, [1]), Err(PoolError::OtherProcess)));
        assert!(pool.submit(work, 1).is_err() && pool.pids().is_empty());
        assert!(task.wait().is_err());
        drop(pool);
    });
    assert_eq!(child.wait(phalanx::Patience::forever()).expect("its end"), ExitStatus::Code(0));
}

#[test]
fn a_child_that_comes_back_from_a_task_answers_nothing() {
    let _watchdog = watchdog(60);
    let (pool, work) = Pool::fork(1, |x: u64| {
        let child = phalanx_os::fork::fork_alone().expect("a child");
        if let Some(child) = child {
            let status = phalanx_os::wait::reap_blocking(child).expect("its end");
            assert_eq!(status, ExitStatus::Code(0));
        }
        x
    })
    .expect("a pool");
    assert_eq!(pool.map(work, 0..5).expect("results"), [0, 1, 2, 3, 4]);
    pool.join().expect("the end");
}

#[test]
fn workers_end_with_their_owner() {
    let _watchdog = watchdog(60);
    let pids = Counters::new(2);
    let told = pids.clone();
    let owner = pool_support::child(move || {
        let (pool, work) = Pool::fork(2, |_: u64| pause(600_000)).expect("a pool");
        for (at, pid) in pool.pids().into_iter().enumerate() {
            told.set(at, u64::from(pid));
        }
        let _ = pool.map(work, 0..2);
    });
    until(|| pids.all().iter().all(|pid| *pid != 0));
    owner.kill().expect("it runs");
    owner.wait(phalanx::Patience::forever()).expect("its end");
    for pid in pids.all() {
        // Gone, or left to be collected by the system.
        until(|| {
            phalanx_os::pidfd::open(pid as u32).is_ok_and(phalanx_os::pidfd::has_ended)
                || phalanx_os::pidfd::open(pid as u32).is_err()
        });
    }
}

/// Workers are killed at random while they work; each task must be answered exactly once, no task
/// that was begun may be begun again, and a killed worker costs at most one task.
#[test]
fn random_kills() {
    let _watchdog = watchdog(120);
    const TASKS: usize = 300;
    let mut dice = Dice::new(seed());
    for round in 0..6 {
        let (begun, ended) = (Counters::new(TASKS), Counters::new(TASKS));
        let (begins, ends) = (begun.clone(), ended.clone());
        let (pool, work) = Pool::fork(4, move |x: u64| {
            begins.count(x as usize);
            if x.is_multiple_of(3) {
                std::thread::sleep(Duration::from_micros(x * 7));
            }
            ends.count(x as usize);
            vec![x; if x.is_multiple_of(10) { 2_000 } else { 1 }]
        })
        .expect("a pool");
        let over = std::sync::atomic::AtomicBool::new(false);
        let mut killed = 0;
        let results = std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                let results = if round % 2 == 0 {
                    pool.map_each(work, 0..TASKS as u64).expect("sent")
                } else {
                    pool.imap(work, 0..TASKS as u64).collect()
                };
                over.store(true, std::sync::atomic::Ordering::SeqCst);
                results
            });
            while !over.load(std::sync::atomic::Ordering::SeqCst) {
                std::thread::sleep(Duration::from_micros(200 + dice.roll(6_000)));
                let pids = pool.pids();
                if let Some(pid) = pids.get(dice.roll(4) as usize) {
                    kill(*pid, 9);
                    killed += 1;
                }
            }
            working.join().expect("no panic")
        });
        assert_eq!(results.len(), TASKS);
        let mut lost = 0;
        for (x, result) in results.into_iter().enumerate() {
            match result {
                Ok(values) => {
                    assert!(values.iter().all(|value| *value == x as u64));
                    assert_eq!((begun.get(x), ended.get(x)), (1, 1), "task {x}");
                }
                Err(PoolError::WorkerDied(died)) => {
                    assert_eq!((died.task, died.status), (Some(x as u64), ExitStatus::Signal(9)));
                    assert!(begun.get(x) <= 1, "task {x} was run again");
                    lost += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!(lost <= killed, "{lost} tasks lost by {killed} kills");
        pool.join().expect("the end");
    }
}
