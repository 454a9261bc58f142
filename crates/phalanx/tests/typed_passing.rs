//! Handles as arguments of processes, by each start method. This program is its own child.

#![forbid(unsafe_code)]

mod own_harness;

use std::process::ExitCode;

use own_harness::tests;
use phalanx::pipe::pair;
use phalanx::prelude::*;
use phalanx::process::StartMethod;
use phalanx_shm::arena::Census;
use phalanx_shm::family::Family;
use serde::{Deserialize, Serialize};

const METHODS: [StartMethod; 3] = [StartMethod::Fork, StartMethod::Spawn, StartMethod::Zygote];

#[phalanx::main]
fn main() -> ExitCode {
    own_harness::run(
        tests![
            everything_shared_arrives,
            channels_end_with_the_child,
            large_bytes_are_shared,
            what_a_killed_child_held_is_free,
            nothing_is_left,
        ],
        100,
    )
}

fn start<A: Serialize + for<'a> Deserialize<'a>, R: Serialize + for<'a> Deserialize<'a>>(
    method: StartMethod,
    function: phalanx::task::Function<A, R>,
    argument: A,
) -> Process<R> {
    Process::builder().method(method).start(function, argument).expect("a process")
}

#[derive(Serialize, Deserialize)]
struct Shared {
    queue: Queue<String>,
    total: Lock<[i64; 3]>,
    hits: Value<u32>,
    cells: Array<f64>,
    ready: Event,
    permits: Semaphore,
    changed: Condition,
    meeting: Barrier,
}

impl Shared {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            queue: Queue::bounded(3)?,
            total: Lock::new([1, 2, 3])?,
            hits: Value::new(7)?,
            cells: Array::zeroed(100)?,
            ready: Event::new()?,
            permits: Semaphore::new(2)?,
            changed: Condition::new()?,
            meeting: Barrier::new(2)?,
        })
    }

    fn handles(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            total: self.total.clone(),
            hits: self.hits.clone(),
            cells: self.cells.clone(),
            ready: self.ready.clone(),
            permits: self.permits.clone(),
            changed: self.changed.clone(),
            meeting: self.meeting.clone(),
        }
    }
}

#[phalanx::task]
fn use_all(shared: Shared) -> u32 {
    shared.queue.put("from the child".to_owned()).expect("room");
    shared.total.lock().expect("free")[1] += 40;
    shared.changed.notify_all();
    shared.cells.store(99, 0.5);
    let _permit = shared.permits.wait().expect("one of two");
    shared.ready.set();
    shared.meeting.wait().expect("the parent comes");
    shared.hits.fetch_add(1)
}

fn everything_shared_arrives() {
    for method in METHODS {
        let shared = Shared::new().expect("memory");
        let process = start(method, use_all::task(), shared.handles());
        assert_eq!(shared.queue.take().expect("a string"), "from the child", "{method}");
        let total = shared.total.lock().expect("free");
        let total = shared.changed.wait_while(total, |total| total[1] != 42).expect("nobody died");
        assert_eq!(*total, [1, 42, 3]);
        drop(total);
        shared.ready.wait();
        assert_eq!((shared.cells.load(99), shared.permits.value()), (0.5, 1), "{method}");
        shared.meeting.wait().expect("the child is there");
        assert_eq!(process.join().expect("its result"), 7);
        assert_eq!((shared.hits.load(), shared.permits.value()), (8, 2), "{method}");
    }
}

#[phalanx::task]
fn double(numbers: Receiver<u64>, doubles: Sender<u64>, status: PipeEnd<String, ()>) {
    for number in &numbers {
        doubles.send(number.expect("a number") * 2).expect("somebody listens");
    }
    status.send("all done".to_owned()).expect("somebody listens");
}

fn channels_end_with_the_child() {
    // A fork has copies of all ends; these have what they are given.
    for method in [StartMethod::Spawn, StartMethod::Zygote] {
        let (numbers, theirs) = channel::<u64>().expect("a channel");
        let (ours, doubles) = channel::<u64>().expect("a channel");
        let (status, news) = pair::<String, ()>().expect("a pipe");
        let process = start(method, double::task(), (theirs, ours, status));
        for number in 0..100 {
            numbers.send(number).expect("room");
        }
        drop(numbers);
        let doubled: Vec<u64> = doubles.iter().map(|n| n.expect("a number")).collect();
        assert!(doubled.into_iter().eq((0..200).step_by(2)), "{method}");
        assert_eq!(news.recv().expect("its last words"), "all done");
        assert!(news.recv().expect_err("it has ended").is_disconnected());
        process.join().expect("its end");
    }
}

#[phalanx::task]
fn sum(name: String, bytes: SharedBytes) -> (String, u64, SharedBytes) {
    let sum = bytes.iter().map(|byte| u64::from(*byte)).sum();
    (name, sum, bytes.slice(..10))
}

fn large_bytes_are_shared() {
    for method in METHODS {
        let bytes = SharedBytes::copy_from(&[3; 1 << 20]).expect("memory");
        let process = start(method, sum::task(), ("threes".to_owned(), bytes.clone()));
        let (name, sum, first) = process.join().expect("its result");
        assert_eq!((name.as_str(), sum, &first[..]), ("threes", 3 << 20, &[3; 10][..]), "{method}");
    }
}

#[phalanx::task]
fn hold(lock: Lock<u8>, holds: Event) {
    let mut data = lock.lock().expect("free");
    *data = 1;
    holds.set();
    loop {
        std::thread::park();
    }
}

fn what_a_killed_child_held_is_free() {
    for method in METHODS {
        let (lock, holds) = (Lock::new(0).expect("memory"), Event::new().expect("memory"));
        let process = start(method, hold::task(), (lock.clone(), holds.clone()));
        holds.wait();
        assert!(matches!(lock.try_lock(), Err(LockError::TimedOut)));
        process.kill().expect("it can be killed");
        let died = lock.lock().expect_err("its holder was killed");
        assert_eq!(*died.recover().expect("it is ours now"), 1, "{method}");
        assert!(process.join().is_err());
    }
}

fn nothing_is_left() {
    let census = || {
        let Census { parts, objects, .. } = Family::get().expect("one").arena().census();
        (parts, objects)
    };
    let round = || {
        everything_shared_arrives();
        channels_end_with_the_child();
        large_bytes_are_shared();
        what_a_killed_child_held_is_free();
    };
    round();
    let before = census();
    round();
    assert_eq!(census(), before);
}
