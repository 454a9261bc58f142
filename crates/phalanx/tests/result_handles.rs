//! Handles of shared objects in results: who reads the result has the object, also when its maker has
//! gone. This program is its own worker.

#![forbid(unsafe_code)]

mod own_harness;
mod pool_support;

use std::process::ExitCode;

use own_harness::tests;
use phalanx::pool::PoolError;
use phalanx::prelude::*;
use phalanx::process::{ProcessError, StartMethod};
use phalanx_shm::arena::Census;
use phalanx_shm::family::Family;
use pool_support::{kill, until};
use serde::{Deserialize, Serialize};

const METHODS: [StartMethod; 3] = [StartMethod::Fork, StartMethod::Spawn, StartMethod::Zygote];

#[phalanx::main]
fn main() -> ExitCode {
    own_harness::run(
        tests![
            a_task_makes_what_its_caller_uses,
            an_object_outlives_the_worker_that_made_it,
            an_object_comes_back_from_its_task,
            results_that_nobody_reads_end_with_the_call,
            a_process_returns_what_it_has_made,
            ends_are_fetched_from_who_made_them,
            handles_in_closures_and_streams,
            what_does_not_decode_is_freed,
        ],
        120,
    )
}

fn shared() -> (usize, usize) {
    let Census { parts, objects, .. } = Family::get().expect("one").arena().census();
    (parts, objects)
}

fn pool(method: StartMethod, workers: usize) -> Pool {
    Pool::builder().workers(workers).method(method).start().expect("a pool")
}

#[derive(Debug, Serialize, Deserialize)]
struct Office {
    number: u64,
    letters: Queue<String>,
    balance: Lock<i64>,
    visits: Value<u64>,
    cells: Array<u32>,
    open: Event,
    seats: Semaphore,
    pages: Vec<SharedBytes>,
}

#[phalanx::task]
fn open_office(number: u64) -> Office {
    let letters = Queue::unbounded().expect("a queue");
    letters.put(format!("letter {number}")).expect("room");
    let cells = Array::zeroed(10).expect("an array");
    cells.store(9, number as u32);
    let open = Event::new().expect("an event");
    open.set();
    let page = |byte| SharedBytes::copy_from(&[byte; 10_000]).expect("memory");
    Office {
        number,
        letters,
        balance: Lock::new(number as i64).expect("a lock"),
        visits: Value::new(number).expect("a value"),
        cells,
        open,
        seats: Semaphore::new(3).expect("a semaphore"),
        pages: vec![page(number as u8), page(1), SharedBytes::copy_from(b"short").expect("memory")],
    }
}

fn check(office: &Office, number: u64) {
    assert_eq!(office.number, number);
    assert_eq!(office.letters.take().expect("a letter"), format!("letter {number}"));
    assert_eq!(*office.balance.lock().expect("nobody died"), number as i64);
    assert_eq!((office.visits.load(), office.cells.load(9)), (number, number as u32));
    assert!(office.open.is_set() && office.seats.value() == 3);
    let [first, one, short] = &office.pages[..] else { panic!("{} pages", office.pages.len()) };
    assert!(first.iter().all(|byte| *byte == number as u8) && first.len() == 10_000);
    assert!(one.iter().all(|byte| *byte == 1) && &short[..] == b"short");
}

#[phalanx::task]
fn visit(office: Office) -> u64 {
    office.visits.fetch_add(1);
    *office.balance.lock().expect("nobody died") -= 1;
    office.number
}

fn a_task_makes_what_its_caller_uses() {
    drop(pool(StartMethod::Zygote, 1));
    for method in METHODS {
        let before = shared();
        let pool = pool(method, 2);
        let offices = pool.map(open_office::task(), 0..20).expect("offices");
        for (number, office) in (0..).zip(&offices) {
            check(office, number);
        }
        // On to another worker, and the change is seen here.
        let (visits, balance) = (offices[7].visits.clone(), offices[7].balance.clone());
        let seven = offices.into_iter().nth(7).expect("twenty offices");
        assert_eq!(pool.submit(visit::task(), seven).expect("sent").wait().expect("seven"), 7);
        assert_eq!((visits.load(), *balance.lock().expect("nobody died")), (8, 6), "{method}");
        drop((visits, balance, pool));
        assert_eq!(shared(), before, "{method}");
    }
}

fn an_object_outlives_the_worker_that_made_it() {
    for method in METHODS {
        let before = shared();
        let pool = pool(method, 1);
        let unread = pool.submit(open_office::task(), 1).expect("sent");
        until(|| unread.is_done());
        let read = pool.submit(open_office::task(), 2).expect("sent").wait().expect("an office");
        pool.pids().into_iter().for_each(|pid| kill(pid, 9));
        let third = pool.submit(open_office::task(), 3).expect("sent").wait().expect("an office");
        check(&unread.wait().expect("an office"), 1);
        check(&read, 2);
        check(&third, 3);
        drop((read, third, pool));
        assert_eq!(shared(), before, "{method}");
    }
}

#[phalanx::task]
fn give_back(number: u64, line: Queue<u64>) -> (Queue<u64>, u64) {
    line.put(number).expect("room");
    (line, number)
}

fn an_object_comes_back_from_its_task() {
    for method in METHODS {
        let before = shared();
        let pool = pool(method, 2);
        let line = Queue::unbounded().expect("a queue");
        let results = pool.map(give_back::task(), (0..50).map(|n| (n, line.clone())));
        let results = results.expect("fifty");
        drop(line);
        let (line, last) = results.last().expect("fifty");
        let sum: u64 = line.take_many(100).into_iter().flatten().sum();
        assert_eq!((sum, *last), (1_225, 49), "{method}");
        // Nobody else has it by the time it comes back.
        let own = Queue::unbounded().expect("a queue");
        let task = pool.submit(give_back::task(), (5, own)).expect("sent");
        assert_eq!(task.wait().expect("a queue").0.take().expect("a number"), 5);
        drop((results, pool));
        assert_eq!(shared(), before, "{method}");
    }
}

fn results_that_nobody_reads_end_with_the_call() {
    for method in METHODS {
        let before = shared();
        let pool = pool(method, 2);
        drop(pool.submit(open_office::task(), 1).expect("sent"));
        let mut stream = pool.imap(open_office::task(), 0..100);
        check(&stream.next().expect("a hundred").expect("an office"), 0);
        drop(stream);
        let terminated = pool.submit(open_office::task(), 2).expect("sent");
        pool.terminate();
        drop((terminated, pool));
        assert_eq!(shared(), before, "{method}");

        let process = Process::builder().method(method).start(open_office::task(), 3);
        drop(process.expect("a process"));
        assert_eq!(shared(), before, "{method}");
    }
}

fn a_process_returns_what_it_has_made() {
    for method in METHODS {
        let before = shared();
        let process = Process::builder().method(method).start(open_office::task(), 4);
        check(&process.expect("a process").join().expect("an office"), 4);
        assert_eq!(shared(), before, "{method}");
    }
    let words = Process::fork(|| {
        let words = Queue::unbounded().expect("a queue");
        words.put("from the child".to_owned()).expect("room");
        words
    });
    let words = words.expect("a process").join().expect("a queue");
    assert_eq!(words.take().expect("a text"), "from the child");
}

#[phalanx::task]
fn count_to(limit: u64) -> Receiver<u64> {
    let (sender, receiver) = channel().expect("a channel");
    (1..=limit).for_each(|n| sender.send(n).expect("room"));
    receiver
}

fn ends_are_fetched_from_who_made_them() {
    for method in METHODS {
        let pool = pool(method, 1);
        let numbers = pool.submit(count_to::task(), 4).expect("sent").wait().expect("a receiver");
        assert!(numbers.iter().flatten().eq(1..=4), "{method}");
        drop(pool);
        let process = Process::builder().method(method).start(count_to::task(), 4);
        match process.expect("a process").join() {
            Err(ProcessError::Unsendable { reason, .. }) => {
                assert!(reason.contains("end of a pipe or channel"), "{method}: {reason}");
            }
            other => panic!("{method}: {other:?}"),
        }
    }
}

fn handles_in_closures_and_streams() {
    let before = shared();
    let (pool, make) = Pool::fork(2, |n: u64| Value::new(n).expect("a value")).expect("a pool");
    let sum: u64 = pool.imap_unordered(make, 0..200).map(|(_, v)| v.expect("a value").load()).sum();
    assert_eq!(sum, 19_900);
    let found = pool.imap(make, 0..).find_map(|v| v.ok().filter(|v| v.load() == 9));
    assert_eq!(found.expect("a value").load(), 9);
    drop(pool);
    assert_eq!(shared(), before);
}

/// Encodes with a handle, and does not decode.
#[derive(Debug, Serialize)]
struct OneWay(Value<u64>);

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::<u64>::deserialize(deserializer)?;
        Err(serde::de::Error::custom("not wanted"))
    }
}

#[phalanx::task]
fn one_way() -> OneWay {
    OneWay(Value::new(1).expect("a value"))
}

fn what_does_not_decode_is_freed() {
    for method in METHODS {
        let before = shared();
        let pool = pool(method, 1);
        let error = pool.map(one_way::task(), [()]).expect_err("it does not decode");
        assert!(matches!(error, PoolError::Undecodable { .. }), "{method}: {error}");
        drop(pool);
        let process = Process::builder().method(method).start(one_way::task(), ());
        let error = process.expect("a process").join().expect_err("it does not decode");
        assert!(matches!(error, ProcessError::Undecodable { .. }), "{method}: {error}");
        assert_eq!(shared(), before, "{method}");
    }
}
