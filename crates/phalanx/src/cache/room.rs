//! How much room the entries take, and which of them make room for others.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use phalanx_os::clock::Deadline;
use phalanx_os::file_lock;
use phalanx_os::per_process::PerProcess;
use phalanx_shm::failpoint;

use super::digest::Digest;
use super::entry::is_missing;
use super::error::CacheError;
use super::layout::Layout;

/// How long to wait for another process that counts. One that was stopped in the middle must not stop
/// the others: they go on without counting, and the next who counts all anew makes up for it.
const COUNTING: Duration = Duration::from_secs(2);

/// When room is made, this part of the limit is freed beyond what is needed now: finding out who was
/// used last looks at every entry.
const SPARE: u64 = 16;

/// The record of the bytes in use is open once at a time in a process, as its lock demands.
static COUNTER: PerProcess<Mutex<()>> = PerProcess::new();

/// What is known of an entry without opening it.
///
/// ```
/// use phalanx::cache::{Cache, Digest};
///
/// # let folder = std::env::temp_dir().join(format!("phalanx-doc-item-{}", std::process::id()));
/// let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
/// cache.claim_anew("totals", key).store(b"", &[b"12"])?;
/// let items = cache.items()?;
/// assert!(items.len() == 1 && items[0].key == key && items[0].size > 2);
/// # std::fs::remove_dir_all(folder).expect("the folder");
/// # Ok::<(), phalanx::cache::CacheError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The shelf, as it is called on the disk.
    pub shelf: String,
    /// The key.
    pub key: Digest,
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// When it was stored or last read.
    pub last_used: SystemTime,
}

/// What may stay in a cache when it is reduced; see [`Cache::reduce`](super::Cache::reduce).
///
/// ```
/// use phalanx::cache::{Cache, Digest, Limits};
///
/// # let folder = std::env::temp_dir().join(format!("phalanx-doc-limits-{}", std::process::id()));
/// let cache = Cache::open(&folder)?;
/// for number in [1u8, 2, 3] {
///     cache.get_or_compute("squares", Digest::of(&[number]), || vec![number * number])?;
/// }
/// assert_eq!(cache.reduce(Limits { items: Some(1), ..Limits::default() })?, 2);
/// # std::fs::remove_dir_all(folder).expect("the folder");
/// # Ok::<(), phalanx::cache::CacheError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// At most so many bytes.
    pub bytes: Option<u64>,
    /// At most so many entries.
    pub items: Option<u64>,
    /// Nothing whose last use is longer ago.
    pub age: Option<Duration>,
}

/// All entries there are, in no order. What vanishes while it looks is left out.
pub(super) fn list(root: &Path) -> Result<Vec<Item>, CacheError> {
    let mut items = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let files = match fs::read_dir(&path) {
            Ok(files) => files,
            Err(e) if is_missing(&e) => continue,
            Err(e) => return Err(CacheError::io("cannot list", &path)(e)),
        };
        for file in files.flatten() {
            let Ok(name) = file.file_name().into_string() else { continue };
            let Ok(kind) = file.file_type() else { continue };
            if name.starts_with('.') {
                continue;
            } else if kind.is_dir() {
                folders.push(folder.join(name));
            } else if let (Some(key), Ok(about)) = (Digest::parse(&name), file.metadata()) {
                items.push(Item {
                    shelf: folder.to_string_lossy().into_owned(),
                    key,
                    path: file.path(),
                    size: about.len(),
                    last_used: about.accessed().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
    }
    Ok(items)
}

/// Removes what exceeds the limits, the least recently used first; returns how many.
pub(super) fn reduce(layout: &Layout, limits: Limits) -> Result<usize, CacheError> {
    let mut removed = 0;
    count(
        layout,
        |_| {
            let mut items = list(layout.root())?;
            let before = items.len();
            let left = shrink(&mut items, limits);
            removed = before - items.len();
            Ok(left)
        },
        || Ok(()),
    )?;
    Ok(removed)
}

/// Notes that `size` more bytes come, and calls `publish`, which has them appear. Where all together would
/// exceed `limit`, removes the least recently used entries before.
pub(super) fn make(
    layout: &Layout,
    size: u64,
    limit: Option<u64>,
    publish: impl FnOnce() -> Result<(), CacheError>,
) -> Result<(), CacheError> {
    let find = |known: Option<u64>| {
        let sum = known.and_then(|known| known.checked_add(size));
        match (sum, limit) {
            (Some(sum), Some(limit)) if sum <= limit => return Ok(sum),
            (Some(sum), None) => return Ok(sum),
            _ => {}
        }
        // What is known only grows until somebody looks: entries may have been removed meanwhile.
        let mut items = list(layout.root())?;
        let mut sum: u64 = items.iter().map(|item| item.size).sum();
        if let Some(limit) = limit.filter(|&limit| sum.saturating_add(size) > limit) {
            let room = limit.saturating_sub(size);
            let bytes = Some(room - (limit / SPARE).min(room));
            sum = shrink(&mut items, Limits { bytes, ..Limits::default() });
        }
        Ok(sum.saturating_add(size))
    };
    count(layout, find, publish)
}

/// Removes entries until the limits hold, and leaves in `items` those that stay; returns their bytes.
fn shrink(items: &mut Vec<Item>, limits: Limits) -> u64 {
    items.sort_by(|a, b| (a.last_used, &a.path).cmp(&(b.last_used, &b.path)));
    let mut bytes: u64 = items.iter().map(|item| item.size).sum();
    let mut count = items.len() as u64;
    let oldest = limits.age.and_then(|age| SystemTime::now().checked_sub(age));
    let mut gone = 0;
    for item in items.iter() {
        let fits = limits.bytes.is_none_or(|limit| bytes <= limit)
            && limits.items.is_none_or(|limit| count <= limit)
            && oldest.is_none_or(|oldest| item.last_used > oldest);
        if fits {
            break;
        }
        // Whoever reads it has it open. One that cannot be removed is not worth failing for.
        let _ = fs::remove_file(&item.path);
        failpoint!("cache.room.removed");
        bytes -= item.size;
        count -= 1;
        gone += 1;
    }
    items.drain(..gone);
    bytes
}

/// Calls `find` with the number of bytes in use (`None` if it is not known), notes the number that it
/// returns, and calls `then`, while no other process does any of it.
///
/// A process that dies on the way leaves a number that is too high, if any, until it is found to exceed a
/// limit and all is looked at anew.
fn count(
    layout: &Layout,
    find: impl FnOnce(Option<u64>) -> Result<u64, CacheError>,
    then: impl FnOnce() -> Result<(), CacheError>,
) -> Result<(), CacheError> {
    let path = layout.usage();
    let counter = COUNTER.get_or_make(Mutex::default);
    let _alone = counter.lock().unwrap_or_else(PoisonError::into_inner);
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let file = open.map_err(CacheError::writing(&path, 16))?;
    if wait_for(&file).map_err(CacheError::io("cannot lock", &path))? {
        let sum = find(read(&file))?;
        failpoint!("cache.room.counted");
        file.write_all_at(&record(sum), 0).map_err(CacheError::writing(&path, 16))?;
    }
    then()
}

fn wait_for(file: &File) -> io::Result<bool> {
    let end = Deadline::after(COUNTING);
    loop {
        match file_lock::try_lock(file) {
            Ok(true) => return Ok(true),
            Ok(false) if end.has_passed() => return Ok(false),
            Ok(false) => thread::sleep(Duration::from_micros(500)),
            // Better a count that may be wrong than no cache on such a file system.
            Err(e) if e.kind() == io::ErrorKind::Unsupported => return Ok(true),
            Err(e) => return Err(e),
        }
    }
}

/// The number and its complement: what was torn is not believed.
fn record(sum: u64) -> [u8; 16] {
    let mut record = [0; 16];
    record[..8].copy_from_slice(&sum.to_le_bytes());
    record[8..].copy_from_slice(&(!sum).to_le_bytes());
    record
}

fn read(file: &File) -> Option<u64> {
    let mut found = [0; 16];
    file.read_exact_at(&mut found, 0).ok()?;
    let sum = u64::from_le_bytes(found[..8].try_into().ok()?);
    (record(sum) == found).then_some(sum)
}
