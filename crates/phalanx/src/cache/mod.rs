//! A cache of computed values on disk, which many processes share: each value is computed once, found
//! again by whoever needs it, and never returned if it is not what was stored.
//!
//! An entry is found by a *shelf* (what computes it, as `"shapes/area"`) and a *key* (a [`Digest`] of all
//! that decides the value).
//!
//! ```
//! use phalanx::cache::{Cache, Digest};
//!
//! # let folder = std::env::temp_dir().join(format!("phalanx-doc-cache-{}", std::process::id()));
//! let cache = Cache::open(&folder)?.with_limit(1 << 30);
//! let key = Digest::of(b"width 3, height 4");
//! let slow = || b"12".to_vec();
//! assert_eq!(cache.get_or_compute("shapes/area", key, slow)?, b"12");
//! // Found from now on, in this process and in any other.
//! let found = cache.get_or_compute("shapes/area", key, || unreachable!("it is known"))?;
//! assert_eq!(found, b"12");
//! # cache.clear()?;
//! # std::fs::remove_dir_all(folder).expect("the folder");
//! # Ok::<(), phalanx::cache::CacheError>(())
//! ```
//!
//! # What happens when
//!
//! | | |
//! |---|---|
//! | several processes want a value that nobody has | one computes it, the others wait for it, each as long as its [`Patience`] lasts |
//! | the one that computes is killed, or fails | the next of those who wait computes it |
//! | a process is killed while it stores a value | the entry is not there, or there as a whole; what is left is removed by [`Cache::sweep`], which each process does before it stores its first value |
//! | a file was cut or changed | [`CacheError::Damaged`]; [`Cache::get_or_claim`] removes it and lets the caller compute it anew |
//! | the disk is full | [`CacheError::Full`], and nothing is left of the new entry |
//! | all entries exceed the [limit](Cache::with_limit) | the least recently used are removed before a new one is stored; who reads one of them is not disturbed |
//! | somebody removes the folder | it is made again |
//!
//! The folder may be shared by unrelated programs, also over a network file system that has `fcntl` locks;
//! without them values may be computed twice. The files are described in the essay beside this module.

// The layout of the files, and what repairs what: README.md beside this file.
mod claim;
mod digest;
mod entry;
mod error;
mod housekeeping;
mod layout;
mod lock;
mod room;
mod sweep;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

pub use claim::Claim;
pub use digest::{Digest, Digester};
pub use entry::{Entry, Stamp};
pub use error::{CacheError, Damage};
use layout::{Layout, make_folder};
use lock::{Attempt, KeyLock};
use phalanx_os::proc;
pub use room::{Item, Limits};

use crate::Patience;

/// How long to wait for a process that may wait for this one.
const FOR_AN_ANCESTOR: Duration = Duration::from_secs(1);

/// A folder of computed values. Clones are the same cache; any number of processes may open it.
///
/// ```
/// use phalanx::cache::{Cache, Digest};
///
/// # let folder = std::env::temp_dir().join(format!("phalanx-doc-own-{}", std::process::id()));
/// let cache = Cache::open(&folder)?;
/// let key = Digest::of(b"arguments");
/// assert!(cache.get("totals", key)?.is_none());
/// cache.get_or_compute("totals", key, || b"12".to_vec())?;
/// assert!(cache.get("totals", key)?.is_some());
/// cache.remove("totals", key)?;
/// assert!(cache.items()?.is_empty());
/// # std::fs::remove_dir_all(folder).expect("the folder");
/// # Ok::<(), phalanx::cache::CacheError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layout: Layout,
    limit: Option<u64>,
    /// Whether this process has swept.
    swept: AtomicBool,
}

/// What [`Cache::get_or_claim`] found.
///
/// ```
/// use std::time::Duration;
/// use phalanx::Patience;
/// use phalanx::cache::{Cache, CacheError, Digest, Lookup};
///
/// # let folder = std::env::temp_dir().join(format!("phalanx-doc-lookup-{}", std::process::id()));
/// let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
/// // Waits for another process that computes the value, but not for ever.
/// let patience = Patience::timeout(Some(Duration::from_secs(60)));
/// let value = match cache.get_or_claim("totals", key, None, &patience)? {
///     Lookup::Found(entry) => entry.read()?,
///     Lookup::Claimed(claim) => {
///         let value = b"12".to_vec();
///         claim.store(b"", &[&value])?;
///         value
///     }
/// };
/// assert_eq!(value, b"12");
/// # std::fs::remove_dir_all(folder).expect("the folder");
/// # Ok::<(), CacheError>(())
/// ```
#[derive(Debug)]
pub enum Lookup {
    /// The value is there.
    Found(Entry),
    /// The value is not there, and the caller is the one to compute it.
    Claimed(Claim),
}

impl Cache {
    /// Opens the cache in a folder, which is made if it is not there. It uses a folder `phalanx` inside
    /// and leaves everything else in `location` alone.
    ///
    /// # Errors
    /// [`CacheError::Version`] if there is a cache that this program does not understand; or the kernel's
    /// refusal.
    ///
    /// ```
    /// use phalanx::cache::Cache;
    ///
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-open-{}", std::process::id()));
    /// let cache = Cache::open(&folder)?; // the folder need not be there
    /// assert!(cache.items()?.is_empty());
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn open(location: impl AsRef<Path>) -> Result<Self, CacheError> {
        let layout = Layout::make(location.as_ref())?;
        Ok(Self(Arc::new(Inner { layout, limit: None, swept: AtomicBool::new(false) })))
    }

    /// The same cache with at most so many bytes in its entries: before one is stored that does not fit,
    /// the least recently used are removed. Entries of other programs count as well.
    ///
    /// ```
    /// use phalanx::cache::{Cache, Digest};
    ///
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-limit-{}", std::process::id()));
    /// let cache = Cache::open(&folder)?.with_limit(2000);
    /// for number in 0..10u8 {
    ///     cache.get_or_compute("blanks", Digest::of(&[number]), || vec![0; 500])?;
    /// }
    /// assert!(cache.items()?.iter().map(|item| item.size).sum::<u64>() <= 2000);
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    #[must_use]
    pub fn with_limit(self, bytes: u64) -> Self {
        let layout = Layout::clone(&self.0.layout);
        Self(Arc::new(Inner { layout, limit: Some(bytes), swept: AtomicBool::new(false) }))
    }

    /// The folder of the cache inside the one that it was opened in.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-folder-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.get_or_compute("totals", key, || b"12".to_vec())?;
    /// assert!(cache.items()?[0].path.starts_with(cache.folder()));
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.layout.root()
    }

    /// The entry of a key, if there is one. It counts as used.
    ///
    /// # Errors
    /// [`CacheError::Damaged`] if it is not what was stored; or the kernel's refusal.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-get-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// assert!(cache.get("totals", key)?.is_none());
    /// cache.claim_anew("totals", key).store(b"notes", &[b"12"])?;
    /// let entry = cache.get("totals", key)?.expect("stored");
    /// assert_eq!(entry.read()?, b"12");
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn get(&self, shelf: &str, key: Digest) -> Result<Option<Entry>, CacheError> {
        Entry::open(&self.0.layout.entry(shelf, key), key)
    }

    /// The entry of a key; if there is none, the right to make it. Waits while another thread or process
    /// has that right, until it has stored the value, failed or ended.
    ///
    /// An entry that is not what was stored is removed ([`Claim::damage`] says so), and one whose stamp is
    /// `refused` is taken for missing.
    ///
    /// A thread that computes the value of a key and needs the same value on the way gets the right once
    /// more: it would wait for itself otherwise. For the same reason a process waits only a second for one
    /// of those that it descends from, which may in turn wait for it.
    ///
    /// # Errors
    /// [`CacheError::GaveUp`] when `patience` ends; or the kernel's refusal.
    ///
    /// ```
    /// # use phalanx::Patience;
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-claims-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// use phalanx::cache::Lookup;
    ///
    /// let Lookup::Claimed(claim) = cache.get_or_claim("totals", key, None, &Patience::forever())? else {
    ///     panic!("nobody has stored it");
    /// };
    /// claim.store(b"", &[b"12"])?; // others who want it wait until then
    /// let found = cache.get_or_claim("totals", key, None, &Patience::forever())?;
    /// assert!(matches!(found, Lookup::Found(entry) if entry.len() == 2));
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn get_or_claim(
        &self,
        shelf: &str,
        key: Digest,
        refused: Option<Stamp>,
        patience: &Patience<'_>,
    ) -> Result<Lookup, CacheError> {
        let layout = &self.0.layout;
        let (entry, lock) = (layout.entry(shelf, key), layout.lock(shelf, key));
        let mut damage = None;
        let mut find = || match Entry::open(&entry, key) {
            Ok(found) => Ok(found.filter(|found| Some(found.stamp()) != refused)),
            Err(CacheError::Damaged(found)) => {
                // If a good one has taken its place just now, it is computed once more than needed.
                let _ = fs::remove_file(&entry);
                damage = Some(found);
                Ok(None)
            }
            Err(e) => Err(e),
        };
        let begin = Instant::now();
        let own = loop {
            if let Some(found) = find()? {
                return Ok(Lookup::Found(found));
            }
            match KeyLock::attempt(&lock) {
                Ok(Attempt::Locked(own)) => break Some(own),
                Ok(Attempt::Own) => break None,
                Ok(Attempt::Busy(holder)) => {
                    if begin.elapsed() > FOR_AN_ANCESTOR && holder.is_some_and(is_ancestor) {
                        break None;
                    }
                    patience.check().map_err(CacheError::GaveUp)?;
                    thread::sleep(pause(begin.elapsed(), patience));
                }
                Ok(Attempt::NoFolder) => {
                    layout.prepare()?;
                    make_folder(&layout.work())?;
                }
                // Such a file system is shared without single computation.
                Err(e) if no_locks(&e) => break None,
                Err(e) => return Err(CacheError::io("cannot lock", &lock)(e)),
            }
        };
        // Somebody may have stored it between the look and the lock.
        if let Some(found) = find()? {
            return Ok(Lookup::Found(found));
        }
        let (cache, shelf) = (Arc::clone(&self.0), shelf.to_owned());
        Ok(Lookup::Claimed(Claim { cache, shelf, key, lock: own, damage }))
    }

    /// The value of a key: the stored one, or what `compute` returns, which is stored. Waits for ever if
    /// another process computes it, but not longer than that process lives.
    ///
    /// What cannot be read, is damaged or cannot be stored is computed: an error of the cache is returned
    /// only where there was no telling whether another process computes the value.
    ///
    /// # Errors
    /// The kernel's refusal to lock.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-computes-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// let mut calls = 0;
    /// for _ in 0..3 {
    ///     let value = cache.get_or_compute("totals", key, || {
    ///         calls += 1;
    ///         b"12".to_vec()
    ///     })?;
    ///     assert_eq!(value, b"12");
    /// }
    /// assert_eq!(calls, 1);
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn get_or_compute(
        &self,
        shelf: &str,
        key: Digest,
        compute: impl FnOnce() -> Vec<u8>,
    ) -> Result<Vec<u8>, CacheError> {
        let mut refused = None;
        loop {
            match self.get_or_claim(shelf, key, refused, &Patience::forever())? {
                Lookup::Found(entry) => match entry.read() {
                    Ok(value) => return Ok(value),
                    Err(_) => refused = Some(entry.stamp()),
                },
                Lookup::Claimed(claim) => {
                    let value = compute();
                    let _ = claim.store(&[], &[&value]);
                    return Ok(value);
                }
            }
        }
    }

    /// The right to store a value whether there is one or not, without waiting for others who compute it.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-anew-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.claim_anew("totals", key).store(b"", &[b"12"])?;
    /// cache.claim_anew("totals", key).store(b"", &[b"13"])?; // in place of the first
    /// assert_eq!(cache.get("totals", key)?.expect("stored").read()?, b"13");
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    #[must_use]
    pub fn claim_anew(&self, shelf: &str, key: Digest) -> Claim {
        let (cache, shelf) = (Arc::clone(&self.0), shelf.to_owned());
        Claim { cache, shelf, key, lock: None, damage: None }
    }
}

/// Whether this process descends from another one.
fn is_ancestor(holder: u32) -> bool {
    let mut above = proc::parent(std::process::id());
    while let Some(process) = above {
        if process == holder {
            return true;
        }
        above = proc::parent(process);
    }
    false
}

/// Whether a file system refused to lock because it has no locks.
fn no_locks(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::ReadOnlyFilesystem)
        || e.kind() == io::ErrorKind::PermissionDenied
        || e.raw_os_error() == Some(37)
}

/// How long to sleep before looking again whether another process is done: a small part of how long it
/// has taken so far, so that waiting adds little to it and costs little.
fn pause(waited: Duration, patience: &Patience<'_>) -> Duration {
    let pause = (waited / 8).clamp(Duration::from_micros(200), Duration::from_millis(50));
    patience.deadline().map_or(pause, |end| pause.min(end.remaining()))
}
