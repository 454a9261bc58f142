//! What can go wrong with a cache.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use phalanx_shm::patience::GaveUp;

/// Why something was not done to a cache. Whatever it was, the caller can compute the value.
///
/// ```
/// use phalanx::cache::{Cache, CacheError, Digest};
///
/// # let folder = std::env::temp_dir().join(format!("phalanx-doc-error-{}", std::process::id()));
/// let cache = Cache::open(&folder)?.with_limit(1000);
/// let stored = cache.claim_anew("totals", Digest::of(b"arguments")).store(b"", &[&[0; 2000]]);
/// assert!(matches!(stored, Err(CacheError::TooLarge { limit: 1000, .. })));
/// # std::fs::remove_dir_all(folder).expect("the folder");
/// # Ok::<(), CacheError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CacheError {
    /// The kernel refused something.
    Io {
        /// What was attempted, as in "cannot open".
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// The file system, or the user's share of it, is full. Nothing is left of the new entry.
    Full {
        /// The file that could not be written.
        path: PathBuf,
        /// The size of the new entry, in bytes.
        needed: u64,
        /// The refusal.
        source: io::Error,
    },
    /// An entry alone is larger than the whole cache may become.
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An entry is not what was written: torn, changed, or of another key.
    Damaged(Damage),
    /// The folder holds a cache of another version.
    Version {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// Another process computes the value, and the caller's patience ended.
    GaveUp(GaveUp),
}

/// An entry that is not what was written.
///
/// ```
/// use phalanx::cache::{Cache, CacheError, Digest};
///
/// # let folder = std::env::temp_dir().join(format!("phalanx-doc-damage-{}", std::process::id()));
/// let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
/// cache.claim_anew("totals", key).store(b"", &[b"12"])?;
/// let path = cache.get("totals", key)?.expect("stored").path().to_owned();
/// std::fs::write(&path, b"something else")?;
/// let damaged = cache.get("totals", key);
/// assert!(matches!(damaged, Err(CacheError::Damaged(damage)) if damage.path() == path));
/// # std::fs::remove_dir_all(folder).expect("the folder");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    path: PathBuf,
    what: &'static str,
}

impl Damage {
    pub(super) fn new(path: &Path, what: &'static str) -> Self {
        Self { path: path.to_owned(), what }
    }

    /// The file.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-damage-path-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// use phalanx::cache::CacheError;
    ///
    /// cache.claim_anew("totals", key).store(b"", &[b"12"])?;
    /// let path = cache.get("totals", key)?.expect("stored").path().to_owned();
    /// std::fs::write(&path, b"something else")?;
    /// let Err(CacheError::Damaged(damage)) = cache.get("totals", key) else { panic!("it is damaged") };
    /// assert_eq!(damage.path(), path);
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cache entry {} is corrupted: {}", self.path.display(), self.what)
    }
}

impl CacheError {
    /// For `map_err`: the kernel refused to do `attempt` to `path`.
    pub(super) fn io(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { attempt, path: path.to_owned(), source }
    }

    /// The same while an entry of `needed` bytes is written.
    pub(super) fn writing(path: &Path, needed: u64) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path: path.to_owned(), needed, source }
            }
            _ => Self::Io { attempt: "cannot write", path: path.to_owned(), source },
        }
    }
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { attempt, path, source } => {
                write!(f, "{attempt} {} of the cache: {source}", path.display())
            }
            Self::Full { path, needed, source } => write!(
                f,
                "no room for a cache entry of {needed} bytes at {}: {source}; free some space or set a \
                 limit to the size of the cache",
                path.display()
            ),
            Self::TooLarge { size, limit } => write!(
                f,
                "a cache entry of {size} bytes does not fit into a cache of at most {limit} bytes"
            ),
            Self::Damaged(damage) => damage.fmt(f),
            Self::Version { path, found } => write!(
                f,
                "{} is of a cache of another version ({found:?}); choose another folder or remove it",
                path.display()
            ),
            Self::GaveUp(why) => write!(f, "another process still computes the value: {why}"),
        }
    }
}

impl std::error::Error for CacheError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Full { source, .. } => Some(source),
            Self::GaveUp(why) => Some(why),
            Self::TooLarge { .. } | Self::Damaged(_) | Self::Version { .. } => None,
        }
    }
}
