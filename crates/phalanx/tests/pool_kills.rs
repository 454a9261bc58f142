//! The kill matrix of the pool: a worker dies at each step between taking a batch and having
//! answered it.
//!
//! For each step, a pool of two workers runs tasks of many sizes, of which one worker, the *victim*,
//! is killed when it reaches the step for the n-th time; or stopped there first, in which state it
//! must be left alone. Whatever the step: each task is answered once; none is begun twice; what was
//! published has arrived; exactly the task that was running is lost; the pool goes on; and nothing is
//! left in shared memory.

mod pool_support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use phalanx::pool::{Builder, Closure, Pool, PoolError};
use phalanx::process::ExitStatus;
use phalanx_os::pidfd;
use phalanx_shm::failpoint;
use phalanx_shm::family::Family;
use pool_support::{Counters, kill, pause, until, watchdog};

const SOURCES: [&str; 5] = [
    "src/pool/worker.rs",
    "../phalanx-shm/src/leases/board.rs",
    "../phalanx-shm/src/leases/signing.rs",
    "../phalanx-shm/src/ring/put.rs",
    "../phalanx-shm/src/ring/take.rs",
];

/// Steps at which a task has begun and its result is nowhere yet.
const COSTLY: [&str; 3] = ["pool.task.begun", "pool.task.finished", "pool.desk.written"];
/// Steps of publishing: only a result that is too long for the desk is lost there.
const PUBLISHING: [&str; 5] = [
    "pool.task.ran",
    "pool.result.promised",
    "ring.put.intended",
    "ring.put.attached",
    "ring.put.written",
];
/// Only the ring of results grows by the victim's doing.
const PUBLISHING_TOO: &str = "ring.grow.";

const TASKS: usize = 60;
/// Where the counters hold the number of workers so far, the victim's process id, and whether
/// workers may begin.
const WORKERS: usize = TASKS;
const VICTIM: usize = TASKS + 1;
const GO: usize = TASKS + 2;

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

type Arguments = (u64, Vec<u8>);
type Outcome = Result<Vec<u8>, PoolError>;
type Work = Closure<Arguments, Vec<u8>>;

/// All steps that the sources name.
fn steps() -> BTreeSet<String> {
    let mut steps = BTreeSet::new();
    for source in SOURCES {
        let path = format!("{}/{source}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("the sources of this crate");
        for part in text.split("failpoint!(\"").skip(1) {
            steps.extend(part.split('"').next().map(str::to_owned));
        }
    }
    steps
}

/// The lengths of a task's argument and result: short, inline, and with a chunk of their own in turns;
/// results are all so short that they are collected, or none is.
fn sizes(task: usize, short: bool) -> (usize, usize) {
    let (argument, short_result, long_result) = match task % 5 {
        0 => (3, 600, 6_000),
        1 => (6_000, 3, 1_100),
        2 => (20_000, 10, 2_000),
        3 => (5_000, 900, 20_000),
        _ => (0, 0, 3_000),
    };
    (argument, if short { short_result } else { long_result })
}

fn arguments(task: usize, short: bool) -> Arguments {
    (task as u64, vec![task as u8; sizes(task, short).0])
}

struct Scene<'a> {
    step: &'a str,
    nth: u32,
    signal: i32,
    /// All tasks at once in batches, or one by one.
    in_batches: bool,
    /// Results are short.
    short: bool,
}

fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Plays a scene; returns whether the step was reached.
fn play(scene: &Scene<'_>) -> bool {
    let counters = Counters::new(TASKS + 3);
    let family = Family::get().expect("a family");
    let before = family.arena().census();
    let (seen, known) = (counters.clone(), counters.clone());
    let (step, nth, signal) = (scene.step.to_owned(), scene.nth, scene.signal);
    let short = scene.short;
    let mut builder = Builder::new().workers(2).setup(move |_| {
        if seen.count(WORKERS) == 0 {
            seen.set(VICTIM, u64::from(std::process::id()));
            failpoint::arm(&step, signal, nth);
        }
        until(|| seen.get(GO) != 0);
    });
    let function = move |(task, bytes): Arguments| {
        known.count(task as usize);
        assert_eq!(bytes, arguments(task as usize, short).1);
        if known.get(VICTIM) != u64::from(std::process::id()) {
            // The victim gets most of the work.
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        vec![task as u8; sizes(task as usize, short).1]
    };
    let work: Work = builder.closure(function);
    let pool = builder.start().expect("a pool");
    until(|| counters.get(VICTIM) != 0);
    let victim = counters.get(VICTIM) as u32;
    let sentinel = pidfd::open(victim).expect("it was not collected yet");

    let outcomes = std::thread::scope(|scope| {
        let run = scope.spawn(|| run(&pool, work, &counters, scene));
        if scene.signal == SIGSTOP {
            leave_alone(&pool, victim, &sentinel, || run.is_finished());
        }
        run.join().expect("no panic")
    });
    // The victim may reach the step after it has answered its last task.
    for _ in 0..20 {
        if !pidfd::has_ended(&sentinel) {
            if scene.signal == SIGSTOP && state_of(victim) == Some('T') {
                kill(victim, SIGKILL);
            }
            pause(1);
        }
    }
    let reached = pidfd::has_ended(&sentinel);
    check(scene, victim, reached, &counters, outcomes);

    let more: Vec<Arguments> = (0..6).map(|_| (0, vec![0; 3])).collect();
    if !reached {
        // It must not come to its step now: idle as it is, its death costs nothing.
        kill(victim, SIGKILL);
        until(|| pidfd::has_ended(&sentinel));
    }
    assert_eq!(pool.map(work, more).expect("the pool goes on").len(), 6);
    assert_eq!(pool.pids().len(), 2);
    pool.join().expect("the end");
    let after = family.arena().census();
    assert_eq!((before.objects, before.parts), (after.objects, after.parts), "memory is left");
    reached
}

fn run(pool: &Pool, work: Work, counters: &Counters, scene: &Scene<'_>) -> Vec<Outcome> {
    let arguments = |task| arguments(task, scene.short);
    if scene.in_batches {
        counters.set(GO, 1);
        return pool.map_each(work, (0..TASKS).map(arguments)).expect("sent");
    }
    let send = |task| pool.submit(work, arguments(task)).expect("sent");
    let tasks: Vec<_> = (0..TASKS).map(send).collect();
    // So the tasks fill several segments of their ring; now their results pile up.
    counters.set(GO, 1);
    pause(5);
    tasks.into_iter().map(|task| task.wait()).collect()
}

/// Once the victim is stopped, nobody may take it for dead; then it is killed.
fn leave_alone(pool: &Pool, victim: u32, sentinel: &OwnedFd, over: impl Fn() -> bool) {
    until(|| over() || state_of(victim) == Some('T'));
    if state_of(victim) == Some('T') {
        pause(60);
        assert!(!pidfd::has_ended(sentinel));
        assert!(pool.pids().contains(&victim), "a stopped worker was replaced");
        kill(victim, SIGKILL);
    }
}

fn check(
    scene: &Scene<'_>,
    victim: u32,
    reached: bool,
    counters: &Counters,
    outcomes: Vec<Outcome>,
) {
    let Scene { step, nth, in_batches, short, .. } = scene;
    let scene = format!("{step}, {nth}, in batches: {in_batches}, short: {short}");
    assert_eq!(outcomes.len(), TASKS, "{scene}");
    let mut lost = 0;
    for (task, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(bytes) => {
                assert_eq!(bytes, vec![task as u8; sizes(task, *short).1], "{scene}");
                assert_eq!(counters.get(task), 1, "{scene}: task {task} was begun so often");
            }
            Err(PoolError::WorkerDied(died)) => {
                assert_eq!((died.pid, died.status), (victim, ExitStatus::Signal(9)), "{scene}");
                assert!(counters.get(task) <= 1, "{scene}: task {task} was begun again");
                lost += 1;
            }
            Err(other) => panic!("{scene}: {other}"),
        }
    }
    let publishing = PUBLISHING.contains(step) || step.starts_with(PUBLISHING_TOO);
    let costs = COSTLY.contains(step) || (publishing && !short);
    let expected = usize::from(reached && costs);
    assert_eq!(lost, expected, "{scene}: tasks lost");
}

#[test]
fn a_worker_dies_at_each_step() {
    let _watchdog = watchdog(300);
    let steps = steps();
    assert!(steps.len() > 20, "{steps:?}");
    for step in COSTLY.into_iter().chain(PUBLISHING) {
        assert!(steps.contains(step), "there is no step {step}");
    }
    let mut reached: BTreeMap<&str, u32> = BTreeMap::new();
    let mut runs = 0;
    for step in &steps {
        for in_batches in [false, true] {
            for nth in [0, 1, 4] {
                for (signal, short) in
                    [(SIGKILL, true), (SIGSTOP, true), (SIGKILL, false), (SIGSTOP, false)]
                {
                    runs += 1;
                    let scene = Scene { step, nth, signal, in_batches, short };
                    *reached.entry(step).or_default() += u32::from(play(&scene));
                }
            }
        }
    }
    let deaths: u32 = reached.values().sum();
    eprintln!("{} steps, {runs} runs, {deaths} deaths, 0 failures: {reached:?}", steps.len());
    let missed: Vec<_> = reached.iter().filter(|(_, times)| **times == 0).collect();
    assert!(missed.is_empty(), "steps that were never reached: {missed:?}");
}
