//! Pools that run any task, by each start method, and what can be asked of a pool. This program is its
//! own worker.

#![forbid(unsafe_code)]

mod own_harness;
mod pool_support;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use own_harness::tests;
use phalanx::bytes::{SharedBytes, SharedBytesMut};
use phalanx::pool::{Pool, PoolError};
use phalanx::process::{ExitStatus, StartMethod};
use phalanx::value::Value;
use pool_support::{Counters, kill, pause, until};
use serde::{Deserialize, Serialize};

const METHODS: [StartMethod; 3] = [StartMethod::Fork, StartMethod::Spawn, StartMethod::Zygote];

#[phalanx::main]
fn main() -> ExitCode {
    own_harness::run(
        tests![
            any_task_on_any_worker,
            panics_have_places_and_backtraces,
            what_cannot_travel_costs_one_task,
            arguments_may_be_handles,
            initializers_run_first,
            an_initializer_that_panics_ends_the_pool,
            any_all_and_first_stop_early,
            cancelled_tasks_are_not_run,
            running_tasks_see_that_they_are_cancelled,
            dropping_a_stream_cancels_the_rest,
            a_failed_map_cancels_the_rest,
            late_tasks_are_ended,
            late_tasks_are_ended_while_nobody_waits,
            random_limits,
            tasks_are_tried_again,
            a_task_that_kills_is_not_tried_for_ever,
            submitting_waits_for_room,
            results_on_the_desk_survive_their_worker,
            workers_are_recycled,
            closures_belong_to_their_pool,
            killed_workers_are_replaced,
            methods_need_what_they_need,
            arrival_order,
            batches_of_a_size,
            large_bytes_are_lent_and_handed_over,
            nothing_is_left,
        ],
        240,
    )
}

#[phalanx::task]
fn square(x: u64) -> u64 {
    x * x
}

#[phalanx::task]
fn join_words(words: Vec<String>, with: char) -> String {
    words.join(&with.to_string())
}

#[phalanx::task]
fn pid() -> u32 {
    std::process::id()
}

#[phalanx::task]
fn odd_only(x: u64) -> u64 {
    assert!(x % 2 == 1, "{x} is even");
    x
}

#[phalanx::task]
fn is_over(x: u64, limit: u64) -> bool {
    x > limit
}

#[phalanx::task]
fn even_or_nothing(x: u64) -> Option<String> {
    x.is_multiple_of(2).then(|| x.to_string())
}

#[phalanx::task]
fn sleep(ms: u64) -> u64 {
    pause(ms);
    ms
}

#[phalanx::task]
fn die(signal: i32) -> i32 {
    if signal > 0 {
        pool_support::raise(signal);
    }
    signal
}

static TOTAL: OnceLock<(Value<u64>, u64)> = OnceLock::new();

#[phalanx::task]
fn keep(total: Value<u64>, step: u64) {
    let _ = TOTAL.set((total, step));
}

#[phalanx::task]
fn add(times: u64) -> u64 {
    let (total, step) = TOTAL.get().expect("the initializer was here");
    total.fetch_add(step * times);
    *step
}

#[phalanx::task]
fn refuse_to_begin(why: String) {
    panic!("cannot begin: {why}");
}

/// Encodes, but does not decode.
#[derive(Debug, Serialize)]
struct OneWay(u8);

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        if number == 7 { Err(serde::de::Error::custom("not seven")) } else { Ok(Self(number)) }
    }
}

/// Refuses to be encoded if it is a seven.
#[derive(Debug, Deserialize, PartialEq)]
struct Shy(u8);

impl Serialize for Shy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 7 {
            return Err(serde::ser::Error::custom("not seven"));
        }
        self.0.serialize(serializer)
    }
}

#[phalanx::task]
fn one_way(value: OneWay) -> u8 {
    value.0
}

#[phalanx::task]
fn there(value: u8) -> OneWay {
    OneWay(value)
}

#[phalanx::task]
fn shy(value: Shy) -> u8 {
    value.0
}

#[phalanx::task]
fn make_shy(value: u8) -> Shy {
    Shy(value)
}

fn pool(method: StartMethod, workers: usize) -> Pool {
    Pool::builder().workers(workers).method(method).start().expect("a pool")
}

/// A pool of one worker that knows a closure.
fn forked<A, R>(
    workers: usize,
    function: impl Fn(A) -> R + Send + Sync + 'static,
) -> (Pool, phalanx::pool::Closure<A, R>)
where
    A: serde::de::DeserializeOwned,
    R: Serialize,
{
    Pool::fork(workers, function).expect("a pool")
}

fn any_task_on_any_worker() {
    for method in METHODS {
        let pool = pool(method, 2);
        for total in [0, 1, 7, 20_000] {
            let expected: Vec<u64> = (0..total).map(|x| x * x).collect();
            assert_eq!(pool.map(square::task(), 0..total).expect("results"), expected, "{method}");
        }
        let words = ["a", "b"].map(str::to_owned).to_vec();
        let task = pool.submit(join_words::task(), (words, '-')).expect("sent");
        assert_eq!(task.wait().expect("a result"), "a-b");
        let own: BTreeSet<u32> = pool.pids().into_iter().collect();
        let seen = pool.map(pid::task(), [(); 50]).expect("results");
        assert!(seen.iter().all(|pid| own.contains(pid)), "{method}");
        let lazily: Result<Vec<u64>, _> = pool.imap(square::task(), 0..3_000).collect();
        assert!(lazily.expect("results").into_iter().eq((0..3_000).map(|x| x * x)));
        // Two functions at a time.
        let mut squares = pool.imap(square::task(), 0..);
        let mut evens = pool.imap(even_or_nothing::task(), 0..);
        for x in 0..500 {
            assert!(matches!(squares.next(), Some(Ok(y)) if y == x * x));
            let even = evens.next().expect("it is endless").expect("a result");
            assert_eq!(even.is_some(), x % 2 == 0);
        }
        drop((squares, evens));
        pool.join().expect("the end");
    }
}

fn panics_have_places_and_backtraces() {
    for method in METHODS {
        let pool = pool(method, 2);
        let pids = pool.pids();
        let results = pool.map_each(odd_only::task(), 0..20).expect("sent");
        for (x, result) in results.into_iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(value, x as u64),
                Err(PoolError::Panicked(panicked)) => {
                    assert_eq!((panicked.task, x % 2), (x as u64, 0));
                    assert_eq!(panicked.panic.message(), format!("{x} is even"));
                    let place = panicked.panic.location().expect("it has one");
                    assert!(place.contains("pool_tasks.rs"), "{place}");
                    let backtrace = panicked.panic.backtrace().expect("it was not turned off");
                    assert!(backtrace.contains("odd_only"), "{backtrace}");
                    let text = format!("{panicked:#}");
                    assert!(text.contains("odd_only panicked") && text.contains(backtrace));
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(pool.pids(), pids, "no worker was lost");
    }
}

fn what_cannot_travel_costs_one_task() {
    for method in METHODS {
        let pool = pool(method, 2);
        let fails = |results: Vec<Result<u8, PoolError>>| {
            let mut errors = Vec::new();
            for (at, result) in results.into_iter().enumerate() {
                match result {
                    Ok(value) => assert_eq!(usize::from(value), at),
                    Err(error) => errors.push(error),
                }
            }
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert_eq!(errors[0].task(), Some(7));
            errors.remove(0)
        };
        let ways = pool.map_each(one_way::task(), (0..20).map(OneWay)).expect("sent");
        let error = fails(ways);
        assert!(matches!(error, PoolError::Unreadable { .. }), "{error}");

        let there = pool.map_each(there::task(), 0..20).expect("sent");
        let error = fails(there.into_iter().map(|r| r.map(|one_way| one_way.0)).collect());
        assert!(matches!(&error, PoolError::Undecodable { error, .. } if error.bytes() == [7]));

        let error = fails(pool.map_each(shy::task(), (0..20).map(Shy)).expect("sent"));
        assert!(matches!(error, PoolError::Argument { .. }), "{error}");
        assert!(matches!(pool.map(shy::task(), [Shy(7)]), Err(PoolError::Argument { .. })));
        let back = pool.submit(shy::task(), Shy(7)).expect_err("it refuses");
        assert!(matches!(back.error(), PoolError::Argument { .. }));
        assert_eq!(back.into_argument(), Shy(7));
        let error = fails(pool.imap(shy::task(), (0..20).map(Shy)).collect());
        assert!(matches!(error, PoolError::Argument { .. }), "{error}");

        let made = pool.map_each(make_shy::task(), 0..20).expect("sent");
        let error = fails(made.into_iter().map(|r| r.map(|shy| shy.0)).collect());
        assert!(matches!(error, PoolError::Unsendable { .. }), "{error}");
    }
}

fn arguments_may_be_handles() {
    for method in METHODS {
        let pool = pool(method, 2);
        let total = Value::new(0u64).expect("a value");
        let arguments: Vec<_> = (1..=100).map(|n| (total.clone(), n)).collect();
        assert_eq!(pool.map(add_to::task(), arguments).expect("results").len(), 100, "{method}");
        assert_eq!(total.load(), 5050);
        // The pool keeps it, if nobody else does.
        let own = Value::new(1u64).expect("a value");
        let task = pool.submit(add_to::task(), (own, 2)).expect("room");
        assert_eq!(task.wait().expect("a result"), 3);
    }
}

#[phalanx::task]
fn add_to(value: Value<u64>, by: u64) -> u64 {
    value.fetch_add(by) + by
}

fn initializers_run_first() {
    for method in METHODS {
        let total = Value::new(0u64).expect("a value");
        let builder = Pool::builder().workers(3).method(method);
        let pool = builder.initializer(keep::task(), (total.clone(), 5)).start().expect("a pool");
        assert_eq!(pool.map(add::task(), [1; 100]).expect("results"), [5; 100], "{method}");
        assert_eq!(total.load(), 500);
        // Also in workers that come later.
        pool.pids().into_iter().for_each(|pid| kill(pid, 9));
        assert_eq!(pool.map(add::task(), [1; 100]).expect("results"), [5; 100], "{method}");
        assert_eq!(total.load(), 1_000);
    }
}

fn an_initializer_that_panics_ends_the_pool() {
    for method in METHODS {
        let builder = Pool::builder().workers(2).method(method);
        let why = "out of order".to_owned();
        let pool = builder.initializer(refuse_to_begin::task(), why).start().expect("a pool");
        match pool.map(square::task(), 0..10) {
            Err(PoolError::Initializer(panic)) => {
                assert_eq!(panic.message(), "cannot begin: out of order");
            }
            other => panic!("{method}: {other:?}"),
        }
        assert!(pool.submit(square::task(), 1).is_err());
    }
}

fn any_all_and_first_stop_early() {
    for method in METHODS {
        let pool = pool(method, 2);
        assert!(pool.any(is_over::task(), (0..).map(|x| (x, 1_000))).expect("an answer"));
        assert!(!pool.any(is_over::task(), (0..1_000).map(|x| (x, 1_000))).expect("an answer"));
        assert!(
            !pool.all(is_over::task(), (0..=2_000).map(|x| (2_000 - x, 1_000))).expect("an answer")
        );
        assert!(pool.all(is_over::task(), (0..1_000).map(|x| (x + 7, 6))).expect("an answer"));
        assert_eq!(
            pool.first(even_or_nothing::task(), [1, 3, 6, 5]).expect("one"),
            Some("6".into())
        );
        assert_eq!(pool.first(even_or_nothing::task(), [1, 3]).expect("none"), None);
        assert!(pool.all(is_over::task(), []).expect("an answer"));
        assert_eq!(pool.map(square::task(), [3]).expect("it goes on"), [9]);
    }
    // What was under way ends when it asks.
    let (pool, search) = forked(2, |x: u64| {
        if x == 1 {
            return true;
        }
        until(phalanx::cancelled);
        false
    });
    assert!(pool.any(search, 0..100).expect("an answer"));
    pool.join().expect("nobody searches on");
}

fn cancelled_tasks_are_not_run() {
    let counters = Counters::new(2);
    let (begun, gate) = (counters.clone(), counters.clone());
    let (pool, work) = forked(1, move |wait: bool| {
        begun.count(0);
        until(|| !wait || gate.get(1) == 1);
    });
    let first = pool.submit(work, true).expect("sent");
    until(|| counters.get(0) == 1);
    let others: Vec<_> = (0..50).map(|_| pool.submit(work, false).expect("sent")).collect();
    assert!(others.iter().all(|task| task.cancel() && task.is_done() && !task.cancel()));
    let last = pool.submit(work, false).expect("sent");
    counters.set(1, 1);
    first.wait().expect("it was not cancelled");
    last.wait().expect("it was not cancelled");
    for task in others {
        assert!(matches!(task.wait(), Err(PoolError::Cancelled)));
    }
    assert_eq!(counters.get(0), 2);
    let done = pool.submit(work, false).expect("sent");
    until(|| done.is_done());
    assert!(!done.cancel(), "it has been answered");
    done.wait().expect("nothing");
    pool.join().expect("the end");
}

fn running_tasks_see_that_they_are_cancelled() {
    let counters = Counters::new(2);
    let (begun, ended) = (counters.clone(), counters.clone());
    let (pool, wait) = forked(2, move |()| {
        assert!(!phalanx::cancelled());
        begun.count(0);
        until(phalanx::cancelled);
        ended.count(1);
    });
    let one = pool.submit(wait, ()).expect("sent");
    let other = pool.submit(wait, ()).expect("sent");
    until(|| counters.get(0) == 2);
    assert!(one.cancel());
    until(|| counters.get(1) == 1);
    pause(5);
    assert_eq!(counters.get(1), 1, "the other goes on");
    assert!(other.cancel());
    assert!(matches!(one.wait(), Err(PoolError::Cancelled)));
    pool.join().expect("both have ended");
    assert_eq!(counters.get(1), 2);
    assert!(!phalanx::cancelled());
}

fn dropping_a_stream_cancels_the_rest() {
    let counters = Counters::new(1);
    let begun = counters.clone();
    let (pool, work) = forked(1, move |x: u64| {
        begun.count(0);
        until(|| x == 0 || phalanx::cancelled());
        x
    });
    let mut results = pool.imap(work, 0..100);
    assert!(matches!(results.next(), Some(Ok(0))));
    drop(results);
    pool.join().expect("the end");
    assert!(counters.get(0) <= 2, "{} were begun", counters.get(0));
}

fn a_failed_map_cancels_the_rest() {
    let counters = Counters::new(1);
    let begun = counters.clone();
    let mut builder = Pool::builder().workers(1).batch(1);
    let work = builder.closure(move |x: u64| {
        begun.count(0);
        assert!(x != 3, "no threes");
        x
    });
    let pool = builder.start().expect("a pool");
    let error = pool.map(work, 0..10_000).expect_err("the fourth panics");
    assert!(matches!(error, PoolError::Panicked(panicked) if panicked.task == 3));
    assert_eq!(pool.map(work, [5]).expect("it goes on"), [5]);
    assert!(counters.get(0) < 5_000, "{} were begun", counters.get(0));
}

fn late_tasks_are_ended() {
    for method in METHODS {
        let limit = Duration::from_millis(150);
        let builder = Pool::builder().workers(2).method(method).task_timeout(limit);
        let pool = builder.start().expect("a pool");
        let before = pool.pids();
        let results = pool.map_each(sleep::task(), [1, 2, 600_000, 3, 4, 5]).expect("sent");
        for (at, result) in results.into_iter().enumerate() {
            match result {
                Ok(ms) => assert!(at != 2 && ms < 10),
                Err(PoolError::TimedOut(late)) => {
                    assert_eq!((late.task, late.limit), (2, limit));
                    assert!(before.contains(&late.pid) && late.function.ends_with("sleep"));
                    assert!(late.to_string().contains("took longer than 150ms"), "{late}");
                }
                Err(other) => panic!("{method}: {other}"),
            }
        }
        // All may be answered before the dead worker's place has been filled.
        until(|| {
            assert_eq!(pool.map(sleep::task(), [1; 20]).expect("it goes on"), [1; 20]);
            pool.pids().iter().any(|pid| !before.contains(pid))
        });
        let after = pool.pids();
        assert_eq!(after.iter().filter(|pid| !before.contains(pid)).count(), 1);
    }
}

fn late_tasks_are_ended_while_nobody_waits() {
    for method in METHODS {
        let limit = Duration::from_millis(50);
        let builder = Pool::builder().workers(1).method(method).task_timeout(limit);
        let pool = builder.start().expect("a pool");
        assert_eq!(pool.map(sleep::task(), [0; 3]).expect("it works"), [0; 3]);
        let worker = std::path::PathBuf::from(format!("/proc/{}", pool.pids()[0]));
        let late = pool.submit(sleep::task(), 600_000).expect("room");
        let next = pool.submit(sleep::task(), 1).expect("room");
        while worker.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(matches!(late.wait(), Err(PoolError::TimedOut(_))), "{method}");
        assert_eq!(next.wait().expect("another worker"), 1, "{method}");
    }
}

/// Tasks about as long as the limit: whatever becomes of each, it is answered once, and those that are
/// short are never hit.
fn random_limits() {
    let mut dice = pool_support::Dice::new(pool_support::seed());
    let counters = Counters::new(400);
    let seen = counters.clone();
    let mut builder = Pool::builder().workers(3).task_timeout(Duration::from_millis(10));
    let work = builder.closure(move |(task, us): (u64, u64)| {
        seen.count(task as usize);
        std::thread::sleep(Duration::from_micros(us));
        task
    });
    let pool = builder.start().expect("a pool");
    // The workers' first tasks wait until they have started.
    let items: Vec<(u64, u64)> = (0..400)
        .map(|task| (task, if dice.roll(4) == 0 { 9_000 + dice.roll(3_000) } else { 0 }))
        .collect();
    let results = pool.map_each(work, items.iter().copied()).expect("sent");
    let mut late = 0;
    for ((task, us), result) in items.into_iter().zip(results) {
        match result {
            Ok(answer) => assert_eq!(answer, task),
            Err(PoolError::TimedOut(error)) => {
                assert_eq!(error.task, task);
                late += u32::from(us > 0);
                // A busy machine makes any task late; but then it has begun.
            }
            Err(other) => panic!("{other}"),
        }
        assert!(counters.get(task as usize) <= 1, "task {task} was run again");
    }
    eprintln!("{late} tasks were late");
}

fn tasks_are_tried_again() {
    let counters = Counters::new(100);
    let tries = counters.clone();
    let mut builder = Pool::builder().workers(2).retries(2).task_timeout(Duration::from_secs(100));
    let work = builder.closure(move |(task, fails): (u64, u64)| {
        let times = tries.count(task as usize);
        assert!(times >= fails, "not yet");
        if task == 50 && times == 0 {
            pool_support::raise(9);
        }
        task
    });
    let pool = builder.start().expect("a pool");
    let results = pool.map_each(work, (0..100).map(|task| (task, task % 4))).expect("sent");
    for (task, result) in results.into_iter().enumerate() {
        let times = counters.get(task);
        if task % 4 == 3 {
            assert!(matches!(result, Err(PoolError::Panicked(_))), "{result:?}");
            assert_eq!(times, 3);
        } else {
            assert_eq!(result.expect("after some tries"), task as u64);
            let died = u64::from(task == 50 && task % 4 == 0);
            assert_eq!(times, task as u64 % 4 + 1 + died);
        }
    }
}

fn a_task_that_kills_is_not_tried_for_ever() {
    for method in METHODS {
        let builder = Pool::builder().workers(2).method(method).retries(10);
        let pool = builder.start().expect("a pool");
        let results = pool.map_each(die::task(), [0, 9, 0, 15, 0]).expect("sent");
        for (at, result) in results.into_iter().enumerate() {
            match result {
                Ok(0) => assert!(at % 2 == 0),
                Err(PoolError::WorkerDied(died)) => {
                    let signal = if at == 1 { 9 } else { 15 };
                    assert_eq!(died.task, Some(at as u64));
                    assert_eq!(died.status, ExitStatus::Signal(signal));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let counters = Counters::new(1);
    let tries = counters.clone();
    let mut builder = Pool::builder().workers(1).retries(10);
    let work = builder.closure(move |()| {
        tries.count(0);
        pool_support::raise(9);
    });
    let pool = builder.start().expect("a pool");
    assert!(matches!(pool.map(work, [()]), Err(PoolError::WorkerDied(_))));
    assert_eq!(counters.get(0), 2, "a task that killed two workers is given up");
}

fn submitting_waits_for_room() {
    let counters = Counters::new(2);
    let (done, gate) = (counters.clone(), counters.clone());
    let mut builder = Pool::builder().workers(1).queue(4);
    let work = builder.closure(move |x: u64| {
        until(|| gate.get(1) == 1);
        done.count(0);
        x
    });
    let pool = builder.start().expect("a pool");
    let tasks: Vec<_> = (0..4).map(|x| pool.submit(work, x).expect("sent")).collect();
    let refused = pool.try_submit(work, 4).expect_err("there is no room");
    assert!(refused.is_full() && refused.to_string().contains("wait"), "{refused}");
    assert_eq!(refused.into_argument(), 4);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.submit(work, 5).expect("sent").wait());
        pause(30);
        assert!(!waiting.is_finished());
        counters.set(1, 1);
        assert_eq!(waiting.join().expect("no panic").expect("a result"), 5);
    });
    for (x, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.wait().expect("a result"), x as u64);
    }
    // Cancelled tasks do not make room before a worker has come by.
    counters.set(1, 0);
    let held = pool.submit(work, 0).expect("sent");
    until(|| counters.get(0) == 5 && pool.pids().len() == 1);
    let mut sent = 0;
    while let Ok(task) = pool.try_submit(work, 1) {
        task.cancel();
        sent += 1;
        assert!(sent < 100, "cancelled tasks pile up in the ring");
    }
    counters.set(1, 1);
    assert_eq!(held.wait().expect("a result"), 0);
    pool.join().expect("the end");
}

fn results_on_the_desk_survive_their_worker() {
    for method in METHODS {
        let pool = Pool::builder().workers(1).method(method).batch(1_000).start().expect("a pool");
        let deadly = |x: i32| if x == 900 { 9 } else { 0 };
        let results = pool.map_each(die::task(), (0..1_000).map(deadly)).expect("sent");
        for (at, result) in results.into_iter().enumerate() {
            assert_eq!(result.is_err(), at == 900, "{method}: task {at}");
        }
    }
}

fn workers_are_recycled() {
    for method in METHODS {
        let builder = Pool::builder().workers(2).method(method).recycle_after(5);
        let pool = builder.start().expect("a pool");
        let mut pids = BTreeSet::new();
        for _ in 0..30 {
            pids.insert(pool.submit(pid::task(), ()).expect("sent").wait().expect("a result"));
        }
        assert!(pids.len() >= 6, "{method}: {pids:?}");
    }
}

fn closures_belong_to_their_pool() {
    let (pool, double) = forked(1, |x: u64| 2 * x);
    let (other, triple) = forked(1, |x: u64| 3 * x);
    assert_eq!(
        (pool.map(double, [1]).expect("2"), other.map(triple, [1]).expect("3")),
        (vec![2], vec![3])
    );
    let error = pool.map(triple, [1]).expect_err("it is the other's");
    assert!(error.to_string().contains("has no such function"), "{error}");
    assert_eq!(pool.map(square::task(), [3]).expect("forked workers know tasks too"), [9]);
    let mut builder = Pool::builder().method(StartMethod::Zygote);
    let _ = builder.closure(|x: u64| x);
    let error = builder.start().expect_err("the zygote does not know it");
    assert!(matches!(error, PoolError::Closures(StartMethod::Zygote)), "{error}");
}

fn killed_workers_are_replaced() {
    for method in METHODS {
        let pool = pool(method, 3);
        for round in 0..5 {
            for pid in pool.pids() {
                kill(pid, 9);
            }
            let results =
                pool.map(square::task(), round..round + 4).expect("idle deaths cost nothing");
            assert_eq!(results[0], round * round);
        }
        let pids = pool.pids();
        let task = pool.submit(sleep::task(), 600_000).expect("sent");
        pause(20);
        pids.iter().for_each(|pid| kill(*pid, 9));
        match task.wait() {
            Err(PoolError::WorkerDied(died)) => assert!(pids.contains(&died.pid)),
            other => panic!("{method}: {other:?}"),
        }
        let pids = pool.pids();
        drop(pool);
        let gone =
            |pid: &u32| phalanx_os::pidfd::open(*pid).map_or(true, phalanx_os::pidfd::has_ended);
        assert!(pids.iter().all(gone), "{method}: workers outlive their pool");
    }
}

fn methods_need_what_they_need() {
    assert_eq!(StartMethod::default(), StartMethod::Zygote);
    let pool = Pool::new(1).expect("a pool");
    let builder = Pool::builder().workers(0).start().expect("a pool of one");
    assert_eq!((pool.workers(), builder.workers()), (1, 1));
}

fn arrival_order() {
    let pool = pool(StartMethod::Zygote, 2);
    let mut results = pool.map_unordered(square::task(), 0..5_000).expect("results");
    results.sort_unstable();
    assert!(results.into_iter().eq((0..5_000).map(|x| x * x)));
    let mut seen = vec![false; 5_000];
    for (index, result) in pool.imap_unordered(square::task(), 0..5_000) {
        assert_eq!(result.expect("a result"), index * index);
        assert!(!std::mem::replace(&mut seen[index as usize], true));
    }
    assert!(seen.into_iter().all(|seen| seen));
}

fn batches_of_a_size() {
    let builder = Pool::builder().workers(2).batch(7);
    let pool = builder.start().expect("a pool");
    let expected: Vec<u64> = (0..1_000).map(|x| x * x).collect();
    assert_eq!(pool.map(square::task(), 0..1_000).expect("results"), expected);
    let lazily: Result<Vec<u64>, _> = pool.imap(square::task(), 0..1_000).collect();
    assert_eq!(lazily.expect("results"), expected);
}

/// The address tells whether bytes were copied: the arena lies at one place in a family of forks.
#[phalanx::task]
fn look_at(what: (u64, SharedBytes)) -> (u64, usize) {
    let (number, bytes) = what;
    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
    (number + u64::from(bytes[0]), bytes.as_ptr().addr())
}

#[phalanx::task]
fn make(len: usize, byte: u8) -> (u8, SharedBytes) {
    let mut bytes = SharedBytesMut::zeroed(len).expect("memory");
    bytes.fill(byte);
    (byte, bytes.freeze())
}

#[phalanx::task]
fn halves(bytes: SharedBytes) -> Vec<SharedBytes> {
    let middle = bytes.len() / 2;
    vec![bytes.slice(..middle), bytes.slice(middle..)]
}

#[phalanx::task]
fn die_with(bytes: SharedBytes) -> usize {
    if bytes[0] == 3 {
        pool_support::raise(9);
    }
    bytes.len()
}

fn large_bytes_are_lent_and_handed_over() {
    let family = phalanx_shm::family::Family::get().expect("a family");
    let bytes_of = |len: usize, byte: u8| {
        let mut bytes = SharedBytesMut::zeroed(len).expect("memory");
        bytes.fill(byte);
        bytes.freeze()
    };
    drop(Pool::new(1).expect("a pool"));
    for method in METHODS {
        let before = family.arena().census();
        let pool = Pool::builder().workers(2).method(method).batch(4).start().expect("a pool");
        let shared = bytes_of(8 << 20, 5);
        let seen = pool.map(look_at::task(), (0..9).map(|n| (n, shared.clone()))).expect("results");
        for (n, (sum, address)) in seen.into_iter().enumerate() {
            assert_eq!(sum, n as u64 + 5);
            if method == StartMethod::Fork {
                assert_eq!(address, shared.as_ptr().addr(), "it was copied");
            }
        }
        let (part, small) = (shared.slice(5_000..20_000), bytes_of(100, 6));
        let lens = pool.map(die_with::task(), [part, small, shared.clone()]).expect("results");
        assert_eq!(lens, [15_000, 100, 8 << 20]);

        // One is lost with its worker; those behind it in its batch are lent to another.
        let items = (0..8).map(|n| bytes_of(100_000, n as u8));
        let results = pool.map_each(die_with::task(), items).expect("sent");
        for (n, result) in results.into_iter().enumerate() {
            assert_eq!(result.is_err(), n == 3, "{method}: task {n}");
        }

        let made = pool.map(make::task(), (1..7).map(|n| (n * 700_000, n as u8))).expect("results");
        for (n, (byte, bytes)) in (1..7).zip(made) {
            assert_eq!((usize::from(byte), bytes.len()), (n, n * 700_000));
            assert!(bytes.iter().all(|b| *b == byte));
        }
        let task = pool.submit(make::task(), (50, 9)).expect("sent");
        assert_eq!(&task.wait().expect("a result").1[..], &[9; 50]);
        // The worker has a view of what was lent: it sends copies.
        let task = pool.submit(halves::task(), shared.clone()).expect("sent");
        let halves = task.wait().expect("a result");
        assert_eq!(halves.iter().map(|half| half.len()).collect::<Vec<_>>(), [4 << 20; 2]);
        assert!(halves.iter().all(|half| half.iter().all(|byte| *byte == 5)));
        drop((halves, shared));

        let process = phalanx::Process::builder().method(method);
        let process = process.start(make::task(), (3 << 20, 4)).expect("a process");
        let (_, bytes) = process.join().expect("a result");
        assert!(bytes.len() == 3 << 20 && bytes.iter().all(|byte| *byte == 4));
        drop(bytes);
        // A worker that was forked meanwhile has had views of all that there was.
        drop(pool);
        let after = family.arena().census();
        assert_eq!((before.objects, before.parts), (after.objects, after.parts), "{method}");
    }
}

fn nothing_is_left() {
    let family = phalanx_shm::family::Family::get().expect("a family");
    let open = || std::fs::read_dir("/proc/self/fd").expect("the list").count();
    drop(Pool::new(2).expect("a pool"));
    let (before, fds) = (family.arena().census(), open());
    for round in 0..30 {
        let pool = pool(METHODS[round % 3], 2);
        match round % 4 {
            0 => drop(pool.map(square::task(), 0..100).expect("results")),
            1 => drop(pool.submit(sleep::task(), 600_000).expect("sent")),
            2 => assert!(pool.map(die::task(), [9]).is_err()),
            _ => drop(pool.imap(square::task(), 0..).next()),
        }
        drop(pool);
    }
    let after = family.arena().census();
    assert_eq!((before.objects, before.parts), (after.objects, after.parts), "memory is left");
    assert_eq!(fds, open(), "descriptors are left");
}
