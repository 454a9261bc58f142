//! What is in a cache, and its removal.

use std::fs;
use std::io;
use std::path::Path;

use super::{Cache, CacheError, Digest, Item, Limits, entry, room, sweep};

impl Cache {
    /// Removes an entry, if there is one.
    ///
    /// # Errors
    /// The kernel's refusal.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-remove-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.get_or_compute("totals", key, || b"12".to_vec())?;
    /// cache.remove("totals", key)?;
    /// cache.remove("totals", key)?; // there is none any more, which is no error
    /// assert!(cache.get("totals", key)?.is_none());
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn remove(&self, shelf: &str, key: Digest) -> Result<(), CacheError> {
        let path = self.0.layout.entry(shelf, key);
        match fs::remove_file(&path) {
            Err(e) if !entry::is_missing(&e) => Err(CacheError::io("cannot remove", &path)(e)),
            _ => Ok(()),
        }
    }

    /// Where the entries of a shelf are.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-shelf-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.get_or_compute("totals", key, || b"12".to_vec())?;
    /// let entry = cache.get("totals", key)?.expect("stored");
    /// assert!(entry.path().starts_with(cache.shelf_folder("totals")));
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    #[must_use]
    pub fn shelf_folder(&self, shelf: &str) -> std::path::PathBuf {
        self.0.layout.shelf(shelf)
    }

    /// Removes all entries of a shelf. What is stored meanwhile may stay.
    ///
    /// # Errors
    /// The kernel's refusal.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-clear-shelf-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.get_or_compute("totals", key, || b"12".to_vec())?;
    /// cache.get_or_compute("means", key, || b"4".to_vec())?;
    /// cache.clear_shelf("totals")?;
    /// assert!(cache.get("totals", key)?.is_none() && cache.get("means", key)?.is_some());
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn clear_shelf(&self, shelf: &str) -> Result<(), CacheError> {
        remove_all(&self.0.layout.shelf(shelf))
    }

    /// Removes everything; who computes a value meanwhile stores it afterwards.
    ///
    /// # Errors
    /// The kernel's refusal.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-clear-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.get_or_compute("totals", key, || b"12".to_vec())?;
    /// cache.get_or_compute("means", key, || b"4".to_vec())?;
    /// cache.clear()?;
    /// assert!(cache.items()?.is_empty());
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn clear(&self) -> Result<(), CacheError> {
        self.sweep();
        let root = self.0.layout.root();
        let files = match fs::read_dir(root) {
            Ok(files) => files,
            Err(e) if entry::is_missing(&e) => return Ok(()),
            Err(e) => return Err(CacheError::io("cannot list", root)(e)),
        };
        for file in files.flatten() {
            let path = file.path();
            // Locks of those who compute just now stay.
            if path == self.0.layout.work() {
                let _ = fs::remove_dir(path);
            } else {
                remove_all(&path)?;
            }
        }
        Ok(())
    }

    /// What is in the cache, in no order. Entries that come or go meanwhile may be there or not.
    ///
    /// # Errors
    /// The kernel's refusal.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-items-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.get_or_compute("totals", key, || vec![7; 1000])?;
    /// for item in cache.items()? {
    ///     assert!(item.key == key && item.size > 1000);
    /// }
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn items(&self) -> Result<Vec<Item>, CacheError> {
        room::list(self.0.layout.root())
    }

    /// Removes entries, the least recently used first, until the limits hold; returns how many it removed.
    ///
    /// # Errors
    /// The kernel's refusal.
    ///
    /// ```
    /// # use phalanx::cache::Limits;
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-reduce-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// use std::time::Duration;
    ///
    /// cache.get_or_compute("totals", key, || b"12".to_vec())?;
    /// let a_week = Limits { age: Some(Duration::from_secs(7 * 86_400)), ..Limits::default() };
    /// assert_eq!(cache.reduce(a_week)?, 0, "it has just been used");
    /// assert_eq!(cache.reduce(Limits { bytes: Some(0), ..Limits::default() })?, 1);
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn reduce(&self, limits: Limits) -> Result<usize, CacheError> {
        self.sweep();
        self.0.layout.prepare()?;
        room::reduce(&self.0.layout, limits)
    }

    /// Removes what killed processes left behind; returns of how many keys.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-sweep-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.get_or_compute("totals", key, || b"12".to_vec())?;
    /// assert_eq!(cache.sweep(), 0, "nobody has been killed");
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn sweep(&self) -> usize {
        sweep::sweep(&self.0.layout)
    }
}

/// A file, or a folder with all that is in it; what is gone already is no error.
fn remove_all(path: &Path) -> Result<(), CacheError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        // Others may store something in it at the same time.
        Err(e) if entry::is_missing(&e) || e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed.map_err(CacheError::io("cannot remove", path)),
    }
}
