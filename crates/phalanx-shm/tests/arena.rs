//! What the arena promises: memory that is there, limits that are clear errors, and nothing lost.

#![allow(unsafe_code, clippy::unwrap_used, reason = "tests")]

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use phalanx_shm::arena::{Arena, Chunk, Magazines};
use phalanx_shm::family::Family;
use phalanx_shm::peers::SlotId;

mod support;
use support::{Watchdog, forked};

const MIB: usize = 1 << 20;

fn slot(raw: u16) -> SlotId {
    SlotId::from_raw(raw).unwrap()
}

/// Bytes of memory behind the arena, as the kernel counts them.
fn backed(arena: &Arena) -> u64 {
    // SAFETY: all zero is a valid value of this plain struct.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor and a place for the answer.
    assert_eq!(unsafe { libc::fstat(arena.as_fd().as_raw_fd(), &raw mut stat) }, 0);
    stat.st_blocks as u64 * 512
}

fn fill(arena: &Arena, len: usize, magazines: &mut Magazines) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while let Ok(chunk) = arena.alloc(len, slot(1), magazines) {
        arena.write(chunk, len - 1, b"x");
        chunks.push(chunk);
        assert!(chunks.len() < 1 << 20, "there is no limit");
    }
    chunks
}

#[test]
fn exhaustion_is_an_error_and_loses_nothing() {
    let _dog = Watchdog::start(60);
    for (len, at_least) in [(MIB, 7), (2000, 3500), (100_000, 70)] {
        let arena = Arena::create(Some(8 * MIB as u64)).unwrap();
        let mut magazines = Magazines::new();
        let mut counts = Vec::new();
        for _ in 0..3 {
            let chunks = fill(&arena, len, &mut magazines);
            assert!(chunks.len() >= at_least, "{} of {len}", chunks.len());
            let error = arena.alloc(len, slot(1), &mut magazines).unwrap_err();
            assert_eq!((error.requested, error.limit), (len, 8 * MIB as u64));
            assert!(error.committed <= error.limit && error.to_string().contains("shared memory"));
            counts.push(chunks.len());
            chunks.into_iter().for_each(|chunk| arena.free(chunk, &mut magazines));
            arena.give_back(slot(1), &mut magazines);
            assert_eq!(arena.census().owned, 0);
            assert_eq!(arena.committed_bytes(), arena.counted_bytes());
        }
        assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    }
}

#[test]
fn large_chunks_make_room_for_small_ones() {
    let arena = Arena::create(Some(8 * MIB as u64)).unwrap();
    let mut magazines = Magazines::new();
    for chunk in fill(&arena, MIB, &mut magazines) {
        arena.free(chunk, &mut magazines);
    }
    assert!(fill(&arena, 2000, &mut magazines).len() > 3500);
}

#[test]
fn nonsensical_lengths_are_refused() {
    let arena = Arena::create(Some(64 * MIB as u64)).unwrap();
    for len in [usize::MAX, usize::MAX - 4095, 1 << 62, 1 << 40, 65 * MIB] {
        let refused = arena.alloc(len, slot(1), &mut Magazines::new());
        assert_eq!(refused.unwrap_err().requested, len);
    }
    assert_eq!(arena.committed_bytes(), 0);
}

#[test]
fn giving_back_returns_memory_to_the_system() {
    let _dog = Watchdog::start(60);
    let arena = Arena::create(Some(256 * MIB as u64)).unwrap();
    let mut magazines = Magazines::new();
    let start = backed(&arena);
    let chunks: Vec<_> =
        (0..8).map(|_| arena.alloc(5 * MIB, slot(1), &mut magazines).unwrap()).collect();
    let full = backed(&arena);
    assert!(full >= start + 40 * MIB as u64 && arena.committed_bytes() >= 40 * MIB as u64);
    for chunk in chunks {
        arena.clear(chunk, 5 * MIB);
        arena.free(chunk, &mut magazines);
    }
    arena.give_back(slot(1), &mut magazines);
    assert_eq!(arena.committed_bytes(), 0);
    assert!(backed(&arena) < start + MIB as u64, "{} bytes are still backed", backed(&arena));
}

#[test]
fn a_chunk_of_3_gib_is_backed_and_given_back() {
    let _dog = Watchdog::start(120);
    let len = 3 << 30;
    // On a machine without that much memory the answer must be the error, which is tested too.
    let arena = Arena::create(Some(8 << 30)).unwrap();
    let mut magazines = Magazines::new();
    match arena.alloc(len, slot(1), &mut magazines) {
        Ok(chunk) => {
            assert!(backed(&arena) >= len as u64);
            arena.write(chunk, len - 4, b"last");
            let mut end = Vec::new();
            arena.read_bytes(chunk.offset() + len as u64 - 4, 4, &mut end);
            assert_eq!(end, b"last");
            arena.free(chunk, &mut magazines);
            arena.give_back(slot(1), &mut magazines);
        }
        Err(error) => assert!(error.available.is_some_and(|free| free < len as u64 + (1 << 30))),
    }
    assert!(backed(&arena) < 2 * MIB as u64);
    assert_eq!(arena.committed_bytes(), 0);
}

#[test]
fn a_limit_on_address_space_is_borne() {
    let _dog = Watchdog::start(60);
    for limit in [2_u64 << 30, 800 << 20, 100 << 20] {
        let child = forked(move || {
            let status = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
            let sum = pages * 4096 + limit;
            let limits = libc::rlimit { rlim_cur: sum, rlim_max: sum };
            // SAFETY: lowers a limit of this child.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limits) }, 0);
            match Arena::create(None) {
                Ok(arena) => {
                    let chunk = arena.alloc(MIB, slot(1), &mut Magazines::new()).unwrap();
                    arena.clear(chunk, MIB);
                }
                // Less than the smallest arena: an error, and no more.
                Err(_) => assert!(limit < 800 << 20, "no arena in {limit} bytes"),
            }
        });
        assert_eq!(child.wait(), 0);
    }
}

#[test]
fn what_is_no_arena_is_not_attached() {
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert!(Arena::attach(file.into()).is_err());
    let region = phalanx_os::memory::SharedRegion::create("phalanx-test", 1 << 21).unwrap();
    let fd = region.as_fd().try_clone_to_owned().unwrap();
    let error = Arena::attach(fd).err().unwrap();
    assert!(error.to_string().contains("no phalanx arena"));
    let arena = Arena::create(Some(1 << 26)).unwrap();
    assert!(Arena::attach(arena.as_fd().try_clone_to_owned().unwrap()).is_ok());
}

/// Takes, marks, checks and frees chunks: nobody else may ever have the same.
fn churn(family: &Family, mark: u64, rounds: usize) {
    let mut held = std::collections::VecDeque::new();
    for n in 0..rounds {
        let len = [50, 300, 1000, 2500, 9000, 70_000][n % 6];
        let chunk = family.alloc(len).unwrap();
        family.arena().write(chunk, 0, &mark.to_le_bytes());
        held.push_back(chunk);
        if held.len() > 40 {
            let chunk = held.pop_front().unwrap();
            assert_eq!(family.arena().read_word(chunk.offset()), mark, "two have one chunk");
            family.free(chunk);
        }
    }
    held.into_iter().for_each(|chunk| family.free(chunk));
}

#[test]
fn threads_and_processes_never_get_the_same_chunk() {
    let _dog = Watchdog::start(60);
    let family = Family::get().unwrap();
    let children: Vec<_> =
        (0..3).map(|who| forked(move || churn(family, 100 + who, 20_000))).collect();
    std::thread::scope(|scope| {
        for who in 0..3 {
            scope.spawn(move || churn(family, who, 20_000));
        }
    });
    children.into_iter().for_each(|child| assert_eq!(child.wait(), 0));
}

#[test]
fn forks_while_other_threads_allocate() {
    let _dog = Watchdog::start(60);
    let family = Family::get().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for who in 0..2 {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    churn(family, who, 200);
                }
            });
        }
        for who in 0..60 {
            assert_eq!(forked(|| churn(family, 1000 + who, 200)).wait(), 0);
        }
        done.store(true, Ordering::Relaxed);
    });
}
