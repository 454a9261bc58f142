//! What programs rely on that keep computed values in a cache.

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use phalanx::Patience;
use phalanx::cache::{Cache, CacheError, Digest, Limits, Lookup};
use support::{alone, child, joined_well};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("phalanx-cache-{}-{number}", std::process::id())))
    }

    fn open(&self) -> Cache {
        Cache::open(&self.0).expect("a folder")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key(number: u64) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

fn store(cache: &Cache, number: u64, len: usize) {
    cache.claim_anew("shelf", key(number)).store(b"notes", &[&bytes(len)]).expect("room");
}

fn read(cache: &Cache, number: u64) -> Option<Vec<u8>> {
    let entry = cache.get("shelf", key(number)).expect("no damage")?;
    Some(entry.read().expect("no damage"))
}

/// How many files there are in a folder, whatever they are.
fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn what_was_stored_is_found_by_others() {
    let folder = Folder::new();
    for (number, len) in [0, 1, 63, 3800, 4096, 1 << 20, (5 << 20) + 3].into_iter().enumerate() {
        let cache = folder.open();
        store(&cache, number as u64, len);
        let entry = folder.open().get("shelf", key(number as u64)).expect("no damage");
        let entry = entry.expect("it was stored");
        assert_eq!((entry.len(), entry.notes()), (len as u64, b"notes".as_slice()));
        assert_eq!(entry.read().expect("no damage"), bytes(len));
        entry.verify().expect("no damage");
        assert_eq!(entry.offset() % 64, 0);
        let file = fs::read(entry.path()).expect("the file");
        let value = &file[usize::try_from(entry.offset()).expect("small")..];
        assert!(value == bytes(len), "what is mapped is not what is read");
    }
    assert!(folder.open().get("other", key(0)).expect("no damage").is_none());
    assert_eq!(folder.open().items().expect("a list").len(), 7);
}

#[test]
fn any_flipped_bit_and_any_cut_is_found_out() {
    let folder = Folder::new();
    let cache = folder.open();
    for len in [100, (1 << 20) + 100] {
        store(&cache, 1, len);
        let path =
            cache.get("shelf", key(1)).expect("no damage").expect("an entry").path().to_owned();
        let whole = fs::read(&path).expect("the file");
        let places = (0..200).chain((200..whole.len()).step_by(len / 7)).chain([whole.len() - 1]);
        for place in places.filter(|&place| place < whole.len()) {
            let mut damaged = whole.clone();
            damaged[place] ^= 4;
            fs::write(&path, &damaged).expect("a write");
            let found =
                cache.get("shelf", key(1)).and_then(|found| found.expect("it is there").read());
            // Nothing hangs on what pads the notes or is reserved.
            let padding = 12..16;
            let noticed = matches!(found, Err(CacheError::Damaged(_)));
            let unused = padding.contains(&place) || found.is_ok_and(|value| value == bytes(len));
            assert!(noticed || unused, "bit of byte {place}");
        }
        for cut in [0, 1, 127, 128, 160, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).expect("a write");
            let found = cache.get("shelf", key(1));
            assert!(matches!(found, Err(CacheError::Damaged(_))), "{cut} bytes");
        }
        // An entry in the place of another.
        fs::write(cache.shelf_folder("shelf").join(key(2).to_string()), &whole).expect("a write");
        assert!(matches!(cache.get("shelf", key(2)), Err(CacheError::Damaged(_))));
    }
}

#[test]
fn what_is_damaged_is_removed_reported_and_computed_anew() {
    let folder = Folder::new();
    let cache = folder.open();
    store(&cache, 1, 1000);
    let path = cache.get("shelf", key(1)).expect("no damage").expect("an entry").path().to_owned();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("it")
        .write_all_at(b"x", 40)
        .expect("a write");
    match cache.get_or_claim("shelf", key(1), None, &Patience::none()).expect("no lock") {
        Lookup::Claimed(claim) => {
            let damage = claim.damage().expect("it says so");
            assert_eq!(damage.path(), path);
            assert!(damage.to_string().contains("is corrupted"), "{damage}");
            assert!(!path.exists());
            claim.store(b"", &[b"anew"]).expect("room");
        }
        Lookup::Found(_) => panic!("damaged"),
    }
    assert_eq!(read(&cache, 1), Some(b"anew".to_vec()));
    // A value that is damaged while its head is not.
    OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("it")
        .write_all_at(b"x", 129)
        .expect("a write");
    assert_eq!(
        cache.get_or_compute("shelf", key(1), || b"once more".to_vec()).expect("locks"),
        b"once more"
    );
    assert_eq!(read(&cache, 1), Some(b"once more".to_vec()));
}

#[test]
fn eight_processes_compute_each_value_once() {
    let _alone = alone();
    let folder = Folder::new();
    let computed = folder.0.join("computed");
    fs::create_dir_all(&computed).expect("a folder");
    let all: Vec<_> = (0..8)
        .map(|process| {
            let (folder, computed) = (&folder, &computed);
            child(move || {
                let cache = folder.open();
                for number in 0..20u64 {
                    let value = cache.get_or_compute("shelf", key(number), || {
                        let name = computed.join(format!("{number}-{process}"));
                        fs::write(name, "").expect("a file");
                        thread::sleep(Duration::from_millis(3));
                        number.to_le_bytes().to_vec()
                    });
                    assert_eq!(value.expect("locks"), number.to_le_bytes());
                }
            })
        })
        .collect();
    all.iter().for_each(joined_well);
    assert_eq!(files(&computed), 20);
    assert_eq!(files(&folder.open().folder().join(".work")), 0);
}

#[test]
fn threads_share_the_work_as_processes_do() {
    let folder = Folder::new();
    let (cache, computed) = (folder.open(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let value = cache.get_or_compute("shelf", key(1), || {
                    computed.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(20));
                    bytes(10)
                });
                assert_eq!(value.expect("locks"), bytes(10));
            });
        }
    });
    assert_eq!(computed.into_inner(), 1);
}

#[test]
fn a_value_that_needs_itself_does_not_wait_for_itself() {
    let _alone = alone();
    let folder = Folder::new();
    let cache = folder.open();
    let inner = || cache.get_or_compute("shelf", key(1), || b"inner".to_vec()).expect("locks");
    let outer =
        cache.get_or_compute("shelf", key(1), || [inner(), b" and outer".to_vec()].concat());
    assert_eq!(outer.expect("locks"), b"inner and outer");
    assert_eq!(read(&cache, 1), Some(b"inner and outer".to_vec()));
}

#[test]
fn a_child_whose_parent_waits_for_it_does_not_wait_for_the_parent() {
    let _alone = alone();
    let folder = Folder::new();
    let outer = folder.open().get_or_compute("shelf", key(1), || {
        let child = child(|| {
            let inner = folder.open().get_or_compute("shelf", key(1), || b"child".to_vec());
            assert_eq!(inner.expect("locks"), b"child");
        });
        joined_well(&child);
        b"parent".to_vec()
    });
    assert_eq!(outer.expect("locks"), b"parent");
    assert_eq!(read(&folder.open(), 1), Some(b"parent".to_vec()));
}

#[test]
fn who_waits_takes_over_when_the_first_gives_up() {
    let folder = Folder::new();
    let cache = folder.open();
    let claim = match cache.get_or_claim("shelf", key(1), None, &Patience::forever()) {
        Ok(Lookup::Claimed(claim)) => claim,
        other => panic!("{other:?}"),
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let soon = Patience::timeout(Some(Duration::from_millis(20)));
            let first = cache.get_or_claim("shelf", key(1), None, &soon);
            assert!(matches!(first, Err(CacheError::GaveUp(_))), "{first:?}");
            cache.get_or_compute("shelf", key(1), || b"second".to_vec())
        });
        thread::sleep(Duration::from_millis(60));
        drop(claim);
        assert_eq!(other.join().expect("no panic").expect("locks"), b"second");
    });
}

#[test]
fn the_least_recently_used_make_room() {
    let folder = Folder::new();
    let cache = folder.open().with_limit(100_000);
    for number in 0..9 {
        store(&cache, number, 10_000);
        thread::sleep(Duration::from_millis(5));
    }
    // Uses less than this apart count as one.
    thread::sleep(Duration::from_millis(120));
    let open = cache.get("shelf", key(1)).expect("no damage").expect("an entry");
    assert!(read(&cache, 0).is_some());
    for number in 9..13 {
        store(&folder.open().with_limit(100_000), number, 10_000);
        let sum: u64 = cache.items().expect("a list").iter().map(|item| item.size).sum();
        assert!(sum <= 100_000, "{sum} bytes");
    }
    assert!(read(&cache, 0).is_some() && read(&cache, 1).is_some() && read(&cache, 12).is_some());
    assert!(read(&cache, 2).is_none() && read(&cache, 3).is_none());
    assert_eq!(open.read().expect("it is open"), bytes(10_000));
    let too_large = cache.claim_anew("shelf", key(99)).store(b"", &[&bytes(100_001)]);
    assert!(matches!(too_large, Err(CacheError::TooLarge { .. })), "{too_large:?}");
}

#[test]
fn what_was_removed_meanwhile_can_still_be_read() {
    let folder = Folder::new();
    let cache = folder.open();
    store(&cache, 1, 2 << 20);
    let entry = cache.get("shelf", key(1)).expect("no damage").expect("an entry");
    cache.clear().expect("a folder");
    assert_eq!(entry.read().expect("it is open"), bytes(2 << 20));
    assert_eq!(files(cache.folder()), 0);
    store(&cache, 1, 10);
    assert_eq!(read(&cache, 1), Some(bytes(10)));
}

#[test]
fn a_cache_is_reduced_as_asked() {
    let folder = Folder::new();
    let cache = folder.open();
    for number in 0..10 {
        store(&cache, number, 1000);
        thread::sleep(Duration::from_millis(5));
    }
    let size = cache.items().expect("a list")[0].size;
    let reduce = |limits| cache.reduce(limits).expect("a list");
    assert_eq!(reduce(Limits::default()), 0);
    assert_eq!(reduce(Limits { items: Some(8), ..Limits::default() }), 2);
    assert_eq!(reduce(Limits { bytes: Some(5 * size), ..Limits::default() }), 3);
    assert_eq!(reduce(Limits { age: Some(Duration::from_secs(100)), ..Limits::default() }), 0);
    assert!(read(&cache, 4).is_none() && read(&cache, 5).is_some());
    assert_eq!(reduce(Limits { age: Some(Duration::ZERO), ..Limits::default() }), 5);
}

#[test]
fn a_folder_that_vanishes_is_made_again() {
    let folder = Folder::new();
    let cache = folder.open();
    for _ in 0..2 {
        fs::remove_dir_all(&folder.0).expect("a folder");
        assert_eq!(cache.get_or_compute("a/b", key(1), || bytes(3)).expect("locks"), bytes(3));
        assert!(folder.open().get("a/b", key(1)).expect("no damage").is_some());
    }
}

#[test]
fn the_cache_of_another_version_is_left_alone() {
    let folder = Folder::new();
    let cache = folder.open();
    fs::write(cache.folder().join(".format"), "phalanx cache 2\n").expect("a write");
    let error = Cache::open(&folder.0).expect_err("it is of another version");
    assert!(matches!(error, CacheError::Version { .. }));
    assert!(error.to_string().contains("another version"), "{error}");
}

/// A file system of its own, as small as can be; unmounted at the end.
struct Small(Folder);

impl Small {
    fn mount() -> Result<Self, String> {
        let folder = Folder::new();
        fs::create_dir_all(&folder.0).map_err(|e| e.to_string())?;
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(&folder.0)
            .output()
            .map_err(|e| e.to_string())?;
        match mount.status.success() {
            true => Ok(Self(folder)),
            false => Err(String::from_utf8_lossy(&mount.stderr).into_owned()),
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0.0).status();
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let small = match Small::mount() {
        Ok(small) => small,
        Err(why) => {
            eprintln!("skipped: this user may not mount a small file system: {why}");
            return;
        }
    };
    let cache = small.0.open();
    store(&cache, 1, 300_000);
    let full = cache.claim_anew("shelf", key(2)).store(b"", &[&bytes(2_000_000)]);
    assert!(matches!(full, Err(CacheError::Full { needed: 2_000_128.., .. })), "{full:?}");
    assert_eq!(files(&cache.folder().join(".work")), 0);
    assert!(read(&cache, 2).is_none());
    assert_eq!(read(&cache, 1), Some(bytes(300_000)));
    // The value itself is not lost.
    let value = cache.get_or_compute("shelf", key(3), || bytes(2_000_000));
    assert_eq!(value.expect("locks"), bytes(2_000_000));
    store(&cache, 4, 300_000);
}
