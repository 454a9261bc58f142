//! Nothing is left: descriptors, children, threads and shared memory before and after.
//!
//! One test only, since it counts what the whole process has.

mod pool_support;

use phalanx::Patience;
use phalanx::message::Outgoing;
use phalanx::pool::{Pool, PoolError};
use phalanx::process::{ExitStatus, fork};
use phalanx::queue::RawQueue;
use phalanx_shm::family::Family;
use pool_support::{kill, raise, watchdog};

#[derive(Debug, PartialEq, Eq)]
struct Inventory {
    descriptors: usize,
    threads: usize,
    children: usize,
    objects: usize,
    parts: usize,
}

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).expect("/proc").count()
}

/// Processes whose parent is this one, zombies among them.
fn children() -> usize {
    let parent_of = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let processes = std::fs::read_dir("/proc").expect("/proc");
    let names = processes.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| parent_of(name) == Some(std::process::id())).count()
}

fn inventory() -> Inventory {
    let census = Family::get().expect("a family").arena().census();
    Inventory {
        descriptors: entries("/proc/self/fd"),
        threads: entries("/proc/self/task"),
        children: children(),
        objects: census.objects,
        parts: census.parts,
    }
}

fn use_everything(round: u64) {
    let (pool, work) = Pool::fork(2, |(x, bytes): (u64, Vec<u8>)| match x % 7 {
        3 => raise_nothing(9),
        5 => panic_quietly(),
        _ => bytes,
    })
    .expect("a pool");
    let items = |count: u64| (0..count).map(|x| (x, vec![x as u8; 12_000 * (x as usize % 2)]));
    match round % 5 {
        0 => drop(pool.map_each(work, items(9)).expect("sent")),
        1 => {
            let mut results = pool.imap(work, items(1_000));
            assert!(matches!(results.next(), Some(Ok(_))));
        }
        2 => {
            let tasks: Vec<_> =
                items(9).map(|item| pool.submit(work, item).expect("sent")).collect();
            kill(pool.pids()[0], 9);
            pool.close();
            pool.join().expect("the end");
            drop(tasks);
            return;
        }
        3 => pool.terminate(),
        _ => {
            let first = pool.map(work, items(9)).expect_err("the fourth dies");
            assert!(matches!(first, PoolError::WorkerDied(_)));
        }
    }
    drop(pool);

    let queue = RawQueue::new(None).expect("a queue");
    let child = fork::run(|| {
        let family = Family::get().expect("a family");
        for len in [10, 10_000, 100] {
            let bytes = vec![1; len];
            let message = Outgoing::new(family, &bytes).expect("memory");
            queue.put(&mut Some(message), &Patience::forever()).expect("room");
        }
        0
    })
    .expect("a child");
    assert_eq!(child.wait(Patience::forever()).expect("its end"), ExitStatus::Code(0));
}

fn raise_nothing(signal: i32) -> Vec<u8> {
    raise(signal);
    Vec::new()
}

fn panic_quietly() -> Vec<u8> {
    // Without the hook's message.
    std::panic::resume_unwind(Box::new("on purpose"))
}

#[test]
fn nothing_is_left() {
    let _watchdog = watchdog(120);
    // What is made once and kept: the family, a lifeline, descriptors of the process itself.
    (0..5).for_each(use_everything);
    let before = inventory();
    (0..100).for_each(use_everything);
    assert_eq!(inventory(), before);
    let (pool, _) = Pool::fork(2, |x: u64| x).expect("a pool");
    assert_eq!(inventory().children, before.children + 2, "children are seen");
    pool.join().expect("the end");
    let committed = Family::get().expect("a family").arena().committed_bytes();
    (0..100).for_each(use_everything);
    assert_eq!(inventory(), before);
    let later = Family::get().expect("a family").arena().committed_bytes();
    // How much was under way at a time differs, and stays warm; what leaks adds up to far more.
    assert!(later <= 2 * committed + (4 << 20), "{committed} bytes grew to {later}");
}
