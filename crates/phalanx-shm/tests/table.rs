//! What the process table promises: places are found again, deaths are proven, nobody is mistaken.

#![allow(unsafe_code, clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};

use phalanx_shm::arena::Arena;
use phalanx_shm::family::Family;
use phalanx_shm::object::{Bytes, Shared};
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::table::{Life, MAX_PROCESSES};

mod support;
use support::{Watchdog, forked};

/// A child that lives until it is killed.
fn sleeper() -> support::Child {
    forked(|| {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    })
}

/// Each test in a process of its own, with a family of its own.
fn alone(test: impl FnOnce()) {
    let _dog = Watchdog::start(60);
    assert_eq!(forked(test).reap(), 0);
}

#[test]
fn two_thousand_children_one_after_another_share_a_few_places() {
    alone(|| {
        let family = Family::get().unwrap();
        let held = Shared::<Bytes>::with_tail(family, 100, |_| {}).unwrap();
        for _ in 0..2000 {
            let child = forked(|| drop(held.clone()));
            assert!(child.place.unwrap().raw() < 8);
            assert_eq!(child.wait(), 0);
        }
        assert_eq!(family.arena().census().objects, 1);
    });
}

#[test]
fn many_children_at_once_all_get_places() {
    alone(|| {
        let family = Family::get().unwrap();
        let children: Vec<_> = (0..300).map(|_| sleeper()).collect();
        let mut places: Vec<_> = children.iter().map(|child| child.place.unwrap()).collect();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 300);
        assert!(places.iter().all(|place| family.arena().table().life(*place) == Life::Alive));
        for child in children {
            child.kill();
            child.wait();
        }
        assert!(places.iter().all(|place| family.arena().table().life(*place) == Life::Vacant));
    });
}

#[test]
fn a_killed_process_is_dead_before_it_is_reaped_and_a_stopped_one_is_alive() {
    alone(|| {
        let family = Family::get().unwrap();
        let child = sleeper();
        let place = child.place.unwrap();
        // SAFETY: a signal to our own child.
        unsafe { libc::kill(child.pid, libc::SIGSTOP) };
        assert!(family.check(place));
        child.kill();
        while family.arena().table().life(place) == Life::Alive {
            std::thread::yield_now();
        }
        assert!(!family.check(place));
        assert_eq!(family.arena().table().life(place), Life::Vacant);
        assert_eq!(child.reap(), -libc::SIGKILL);
    });
}

#[test]
fn a_later_process_with_the_same_pid_is_somebody_else() {
    alone(|| {
        let family = Family::get().unwrap();
        let child = sleeper();
        let place = child.place.unwrap();
        assert!(family.check(place));
        // The word that names the process lies 16 bytes into its slot, after the header's page; its
        // low 26 bits are the start time. A process with that pid and another start time:
        let name: &AtomicU64 = family.arena().at(4096 + u64::from(place.raw()) * 64 + 16);
        assert_eq!(name.load(Ordering::SeqCst) >> 26 & 0x3f_ffff, child.pid as u64);
        name.fetch_xor(2, Ordering::SeqCst);
        assert_eq!(family.arena().table().life(place), Life::Dead);
        child.kill();
        child.wait();
    });
}

#[test]
fn who_learns_late_of_a_death_does_not_hit_the_next_at_that_place() {
    alone(|| {
        let family = Family::get().unwrap();
        let first = sleeper();
        let place = first.place.unwrap();
        first.kill();
        first.reap();
        // Somebody else sweeps it, and gives the place to a child of its own.
        let other = forked(move || {
            assert!(!family.check(place));
            while family.reserve_child().unwrap() != place {}
            assert_eq!(family.arena().table().life(place), Life::Alive);
            // SAFETY: waits to be killed.
            unsafe { libc::raise(libc::SIGSTOP) };
        });
        let mut status = 0;
        // SAFETY: a plain wait for our own child.
        unsafe { libc::waitpid(other.pid, &raw mut status, libc::WUNTRACED) };
        assert!(libc::WIFSTOPPED(status), "the other failed");
        family.name_child(place, first.pid as u32);
        family.set_status(place, 9);
        family.on_child_end(place);
        let table = family.arena().table();
        assert_eq!((table.life(place), table.pid(place)), (Life::Alive, 0));
        assert_eq!(table.status(place), None);
        other.kill();
        other.wait();
    });
}

#[test]
fn the_same_process_does_not_mistake_its_own_next_child_either() {
    alone(|| {
        let family = Family::get().unwrap();
        let first = sleeper();
        let place = first.place.unwrap();
        first.kill();
        first.reap();
        assert_eq!(forked(move || assert!(!family.check(place))).wait(), 0);
        // Swept by another; this process has not been told. Its next children go elsewhere.
        let next: Vec<_> = (0..20).map(|_| sleeper()).collect();
        assert!(next.iter().all(|child| child.place != Some(place)));
        family.on_child_end(place);
        assert!(next.iter().all(|child| family.check(child.place.unwrap())));
        for child in next {
            child.kill();
            child.wait();
        }
    });
}

#[test]
fn a_full_table_is_an_error_until_somebody_ends() {
    alone(|| {
        let family = Family::get().unwrap();
        let zombie = sleeper();
        zombie.kill();
        while family.arena().table().life(zombie.place.unwrap()) == Life::Alive {
            std::thread::yield_now();
        }
        // The last of them gets the place of the dead one, of whom nobody has told.
        let places: Vec<_> =
            (0..MAX_PROCESSES - 2).map(|_| family.reserve_child().unwrap()).collect();
        let error = family.reserve_child().unwrap_err();
        assert!(error.to_string().contains("more than 2047 processes"), "{error}");
        for place in &places[10..] {
            family.on_child_end(*place);
        }
        assert_eq!(forked(|| ()).wait(), 0);
        zombie.reap();
    });
}

#[test]
fn a_reserved_place_lives_until_it_is_given_up() {
    alone(|| {
        let family = Family::get().unwrap();
        let place = family.reserve_child().unwrap();
        assert!(family.check(place));
        assert_eq!(family.arena().table().pid(place), 0);
        family.on_child_end(place);
        assert_eq!(family.arena().table().life(place), Life::Vacant);
        // A second time, and a place that never was, do nothing.
        family.on_child_end(place);
        family.on_child_end(SlotId::from_raw(u16::MAX).unwrap());
        assert!(!family.check(SlotId::from_raw(u16::MAX).unwrap()));
        assert!(family.check(family.me()));
    });
}

#[test]
fn nobody_is_taken_for_dead_for_want_of_descriptors() {
    alone(|| {
        let family = Family::get().unwrap();
        let child = sleeper();
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: lowers a limit of this process.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) }, 0);
        assert!(std::fs::File::open("/dev/null").is_err());
        assert!(family.check(child.place.unwrap()));
        // One that is named now can be asked about later, too.
        let next = sleeper();
        assert!(family.check(next.place.unwrap()));
        for child in [child, next] {
            child.kill();
            child.wait();
        }
    });
}

#[test]
fn an_arena_knows_nobody_at_first() {
    let arena = Arena::create(Some(1 << 26)).unwrap();
    assert_eq!(arena.table().ids().count(), 0);
    assert_eq!(arena.table().life(SlotId::from_raw(1).unwrap()), Life::Vacant);
}
