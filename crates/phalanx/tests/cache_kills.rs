//! Kills a process at each step of computing and storing a value, and of making room.
//!
//! Other processes wait for the value meanwhile. They must get it at once, whole, from one of them; and
//! after one more store by a fresh process nothing is left but entries.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use phalanx::Patience;
use phalanx::cache::{Cache, CacheError, Digest, Limits, Lookup};
use phalanx::process::ExitStatus;
use phalanx_shm::failpoint;
use support::{alone, child, join};

const SIGKILL: u8 = 9;

/// Steps at which the value is not there yet.
const BEFORE: [&str; 9] = [
    "cache.lock.opened",
    "cache.lock.locked",
    "cache.store.created",
    "cache.store.written",
    "cache.store.synced",
    "cache.room.removed",
    "cache.room.counted",
    "cache.store.reserved",
    "cache.store.folder",
];

/// Steps at which it is.
const AFTER: [&str; 3] = ["cache.store.renamed", "cache.lock.part_removed", "cache.lock.removed"];

const SIZE: usize = 3 << 20;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("phalanx-cache-kills-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn value() -> Vec<u8> {
    (0..SIZE).map(|i| (i * 31 % 251) as u8).collect()
}

fn key() -> Digest {
    Digest::of(b"the key")
}

/// A cache that has to remove what was there to make room.
fn open(folder: &Path) -> Cache {
    Cache::open(folder).expect("a folder").with_limit(SIZE as u64 + (1 << 19))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map_or_else(|_| Vec::new(), |all| all.flatten().map(|f| f.path()).collect())
}

fn dies_at(step: &'static str) {
    let folder = Folder::new();
    let cache = open(&folder.0);
    let old = cache.claim_anew("old", key());
    old.store(b"", &[&vec![1; 1 << 20]]).expect("room");
    let victim = child({
        let folder = folder.0.clone();
        move || {
            failpoint::arm(step, SIGKILL.into(), 0);
            open(&folder).get_or_compute("shelf", key(), value).expect("locks");
        }
    });
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let folder = folder.0.clone();
            child(move || {
                let got = open(&folder).get_or_compute("shelf", key(), value).expect("locks");
                assert_eq!(got, value());
            })
        })
        .collect();
    let ended = join(&victim);
    // It may have found the value, computed by another one, and then never comes to that step.
    assert!(
        matches!(ended, ExitStatus::Signal(SIGKILL) | ExitStatus::Code(0)),
        "{step}: {ended:?}"
    );
    for waiter in waiters {
        assert_eq!(join(&waiter), ExitStatus::Code(0), "{step}");
    }
    let found = cache.get("shelf", key()).expect("no damage").expect("it was computed");
    assert_eq!(found.read().expect("no damage"), value(), "{step}");
    // A process that comes later sweeps, and counts right.
    let late = child({
        let folder = folder.0.clone();
        move || {
            let cache = open(&folder);
            cache.claim_anew("late", key()).store(b"", &[&vec![2; 1 << 20]]).expect("room");
            cache.sweep();
        }
    });
    assert_eq!(join(&late), ExitStatus::Code(0));
    assert_eq!(files(&cache.folder().join(".work")), Vec::<PathBuf>::new(), "{step}");
    let items = cache.items().expect("a list");
    let bytes: u64 = items.iter().map(|item| item.size).sum();
    assert!(bytes <= SIZE as u64 + (1 << 19), "{step}: {bytes} bytes");
    assert!(cache.get("late", key()).is_ok_and(|late| late.is_some()), "{step}");
}

#[test]
fn a_death_at_any_step_costs_nobody_the_value() {
    {
        let _alone = alone();
        for step in BEFORE.into_iter().chain(AFTER) {
            for _ in 0..3 {
                dies_at(step);
            }
        }
    }
}

/// The same without others: the step is reached for sure, and what is left is known.
#[test]
fn a_death_leaves_all_or_nothing() {
    {
        let _alone = alone();
        for (step, there) in
            BEFORE.iter().map(|step| (*step, false)).chain(AFTER.iter().map(|step| (*step, true)))
        {
            let folder = Folder::new();
            let cache = open(&folder.0);
            cache.claim_anew("old", key()).store(b"", &[&vec![1; 1 << 20]]).expect("room");
            let died = join(&child({
                let folder = folder.0.clone();
                move || {
                    let cache = open(&folder);
                    // The second lock, after that of the sweep, is not needed: there is nothing to sweep.
                    failpoint::arm(step, SIGKILL.into(), 0);
                    let _ = cache.get_or_compute("shelf", key(), value);
                }
            }));
            assert_eq!(died, ExitStatus::Signal(SIGKILL), "{step}");
            let found = cache.get("shelf", key()).expect("no damage");
            assert_eq!(found.is_some(), there, "{step}");
            cache.sweep();
            assert_eq!(files(&cache.folder().join(".work")), Vec::<PathBuf>::new(), "{step}");
            assert_eq!(cache.get_or_compute("shelf", key(), value).expect("locks"), value());
        }
    }
}

#[test]
fn one_that_was_stopped_does_not_stop_those_who_are_impatient() {
    {
        let _alone = alone();
        let folder = Folder::new();
        let cache = open(&folder.0);
        let Lookup::Claimed(claim) =
            cache.get_or_claim("shelf", key(), None, &Patience::forever()).expect("locks")
        else {
            panic!("it is not there")
        };
        let other = child({
            let folder = folder.0.clone();
            move || {
                let patience = Patience::timeout(Some(Duration::from_millis(50)));
                let found = open(&folder).get_or_claim("shelf", key(), None, &patience);
                assert!(matches!(found, Err(CacheError::GaveUp(_))));
            }
        });
        assert_eq!(join(&other), ExitStatus::Code(0));
        claim.store(b"", &[b"x"]).expect("room");
        assert_eq!(
            cache.reduce(Limits { items: Some(0), ..Limits::default() }).expect("a list"),
            1
        );
    }
}
