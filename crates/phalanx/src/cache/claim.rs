//! The right to compute the value of a key, and to store it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use phalanx_shm::failpoint;

use super::digest::{Digest, PIECE, in_parallel};
use super::entry::{head, is_missing, value_offset};
use super::error::{CacheError, Damage};
use super::layout::{make_folder, part_of};
use super::lock::{Attempt, KeyLock};
use super::{Inner, room, sweep};

/// The right to compute the value of a key. Nobody else gets it until this is dropped or the process
/// ends; those who want the value wait meanwhile.
///
/// A killed process leaves at most a lock file that nobody holds and a part of a value; whoever comes
/// next for the same key takes them over, and [`Cache::sweep`](super::Cache::sweep) removes them all.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::cache::{Cache, Digest, Lookup};
///
/// # let folder = std::env::temp_dir().join(format!("phalanx-doc-claim-{}", std::process::id()));
/// let cache = Cache::open(&folder)?;
/// let key = Digest::of(b"the arguments");
/// match cache.get_or_claim("shapes/area", key, None, &Patience::forever())? {
///     Lookup::Found(entry) => println!("{} bytes", entry.len()),
///     Lookup::Claimed(claim) => claim.store(b"notes", &[b"the ", b"value"])?,
/// }
/// let entry = cache.get("shapes/area", key)?.expect("it has just been stored");
/// assert_eq!(entry.read()?, b"the value");
/// # std::fs::remove_dir_all(folder).expect("the folder");
/// # Ok::<(), phalanx::cache::CacheError>(())
/// ```
#[derive(Debug)]
pub struct Claim {
    pub(super) cache: Arc<Inner>,
    pub(super) shelf: String,
    pub(super) key: Digest,
    /// `None` where the calling thread has the lock already, or the file system has none.
    pub(super) lock: Option<KeyLock>,
    pub(super) damage: Option<Damage>,
}

impl Claim {
    /// The damage for which an earlier entry of this key was removed.
    ///
    /// ```
    /// # use phalanx::Patience;
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-claim-damage-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// use phalanx::cache::Lookup;
    ///
    /// cache.claim_anew("totals", key).store(b"", &[b"12"])?;
    /// let path = cache.get("totals", key)?.expect("stored").path().to_owned();
    /// std::fs::write(&path, b"something else")?;
    /// match cache.get_or_claim("totals", key, None, &Patience::forever())? {
    ///     Lookup::Claimed(claim) => assert_eq!(claim.damage().expect("it was damaged").path(), path),
    ///     Lookup::Found(_) => panic!("it is not what was stored"),
    /// }
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Stores a value, given in parts, and `notes` that describe it; replaces the one that was there. The
    /// entry is there as a whole or not at all, whatever happens to the process or the machine.
    ///
    /// # Errors
    /// [`CacheError::Full`], [`CacheError::TooLarge`], or the kernel's refusal. Nothing is left then.
    ///
    /// ```
    /// use phalanx::cache::{Cache, Digest};
    ///
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-store-{}", std::process::id()));
    /// let cache = Cache::open(&folder)?;
    /// let key = Digest::of(b"arguments");
    /// cache.claim_anew("totals", key).store(b"", &[b"12"])?;
    /// assert_eq!(cache.get("totals", key)?.expect("stored").read()?, b"12");
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn store(mut self, notes: &[u8], value: &[&[u8]]) -> Result<(), CacheError> {
        let own;
        let lock = match self.lock.take() {
            Some(lock) => {
                own = lock;
                &own
            }
            None => {
                own = lock_of_its_own(&self.cache)?;
                &own
            }
        };
        let stored = self.put(lock, notes, value);
        match stored {
            // Somebody has removed the folder meanwhile.
            Err(CacheError::Io { source, .. }) if is_missing(&source) => {
                self.cache.layout.prepare()?;
                make_folder(&self.cache.layout.work())?;
                self.put(lock, notes, value)
            }
            stored => stored,
        }
    }

    fn put(&self, lock: &KeyLock, notes: &[u8], value: &[&[u8]]) -> Result<(), CacheError> {
        let Inner { layout, limit, swept } = &*self.cache;
        let len = value.iter().map(|part| part.len() as u64).sum::<u64>();
        let size = value_offset(notes.len() as u64) + len;
        if let Some(limit) = limit.filter(|&limit| size > limit) {
            return Err(CacheError::TooLarge { size, limit });
        }
        if !swept.swap(true, Ordering::Relaxed) {
            sweep::sweep(layout);
        }
        let part = part_of(lock.path());
        let head = head(self.key, notes, len, digest_of(value));
        write(&part, &head, notes, value).map_err(CacheError::writing(&part, size))?;
        let path = layout.entry(&self.shelf, self.key);
        // While nobody else counts: what was noted and is not there yet would be overlooked.
        room::make(layout, size, *limit, || {
            failpoint!("cache.store.reserved");
            make_folder(path.parent().unwrap_or_else(|| layout.root()))?;
            failpoint!("cache.store.folder");
            fs::rename(&part, &path).map_err(CacheError::writing(&path, size))
        })?;
        failpoint!("cache.store.renamed");
        Ok(())
    }
}

/// For who stores a value without being the only one to compute it: its file must be its own, and be
/// swept if it dies.
fn lock_of_its_own(cache: &Inner) -> Result<KeyLock, CacheError> {
    let folder = cache.layout.work();
    loop {
        let mut name = [0; 32];
        phalanx_os::random::fill(&mut name).map_err(CacheError::io("cannot name", &folder))?;
        let path = folder.join(format!("{}.lock", Digest::from_bytes(name)));
        match KeyLock::attempt(&path).map_err(CacheError::io("cannot lock", &path))? {
            Attempt::Locked(lock) => return Ok(lock),
            Attempt::NoFolder => {
                cache.layout.prepare()?;
                make_folder(&folder)?;
            }
            Attempt::Busy(_) | Attempt::Own => {}
        }
    }
}

fn write(part: &Path, head: &[u8], notes: &[u8], value: &[&[u8]]) -> std::io::Result<()> {
    let mut file = File::create(part)?;
    failpoint!("cache.store.created");
    let padding = value_offset(notes.len() as u64) - (head.len() + notes.len()) as u64;
    let padding = &[0; 64][..usize::try_from(padding).unwrap_or(0)];
    // In one piece as far as the value has been given in one.
    let mut start = Vec::with_capacity(head.len() + notes.len() + padding.len() + PIECE);
    start.extend_from_slice(&[head, notes, padding].concat());
    for part in value {
        if start.len() + part.len() <= start.capacity() {
            start.extend_from_slice(part);
        } else {
            file.write_all(&start)?;
            start.clear();
            file.write_all(part)?;
        }
    }
    file.write_all(&start)?;
    failpoint!("cache.store.written");
    // Its name must not be on the disk before its bytes. That the name may come later costs a value at
    // worst, so the folder is not synced.
    file.sync_data()?;
    failpoint!("cache.store.synced");
    Ok(())
}

/// The digest of the parts as one value.
fn digest_of(value: &[&[u8]]) -> Digest {
    let len: usize = value.iter().map(|part| part.len()).sum();
    match value {
        [] => return Digest::of(b""),
        [only] => return Digest::of(only),
        _ if len <= PIECE => return Digest::of(&value.concat()),
        _ => {}
    }
    // Pieces that lie within one part are read in place.
    let mut pieces: Vec<Vec<&[u8]>> = vec![Vec::new()];
    let mut room = PIECE;
    for mut part in value.iter().copied() {
        while !part.is_empty() {
            if room == 0 {
                pieces.push(Vec::new());
                room = PIECE;
            }
            let (taken, rest) = part.split_at(part.len().min(room));
            room -= taken.len();
            part = rest;
            if let Some(piece) = pieces.last_mut() {
                piece.push(taken);
            }
        }
    }
    let mut digests = vec![[0; 32]; pieces.len()];
    in_parallel(len, pieces.into_iter().zip(&mut digests).collect(), |(piece, digest)| {
        let mut all = super::Digester::new();
        for part in piece {
            all.update(part);
        }
        *digest = *all.finish().as_bytes();
    });
    Digest::of_pieces(len, &digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_value_is_cut_into_parts_does_not_matter() {
        let value: Vec<u8> = (0..3 * PIECE + 77).map(|i| (i % 253) as u8).collect();
        for len in [0, 5, PIECE, PIECE + 1, 3 * PIECE + 77] {
            let value = &value[..len];
            let (one, other) = value.split_at(len / 3);
            let (other, last) = other.split_at(other.len() / 2);
            assert_eq!(digest_of(&[one, other, b"", last]), Digest::of(value), "{len}");
        }
    }
}
