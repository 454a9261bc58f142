//! One entry: a file that holds a value, what is known about it, and the proof that it is whole.

use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::digest::{Digest, PIECE, in_parallel};
use super::error::{CacheError, Damage};

const MAGIC: [u8; 8] = *b"PHXCACHE";
const VERSION: u32 = 1;

/// The length of what comes before the notes.
pub(super) const HEAD: usize = 128;

/// Values begin at a multiple of this, so that what is aligned in them is aligned in a mapping.
const ALIGN: u64 = 64;

/// What the first read of an entry takes: most entries as a whole.
const FIRST: usize = 4096;

/// Uses closer together than this count as one: the time of each would be a write to the disk.
const USES_APART: Duration = Duration::from_millis(100);

/// Longer notes than this are damage.
const MOST_NOTES: u64 = 1 << 30;

/// Where the value begins in a file with notes of this length.
pub(super) const fn value_offset(notes: u64) -> u64 {
    (HEAD as u64 + notes).next_multiple_of(ALIGN)
}

/// The first bytes of an entry: see the layout in the essay beside this file.
pub(super) fn head(key: Digest, notes: &[u8], value_len: u64, value: Digest) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[16..24].copy_from_slice(&(notes.len() as u64).to_le_bytes());
    head[24..32].copy_from_slice(&value_len.to_le_bytes());
    head[32..64].copy_from_slice(value.as_bytes());
    head[64..96].copy_from_slice(key.as_bytes());
    let proof = proof(&head, notes);
    head[96..].copy_from_slice(proof.as_bytes());
    head
}

/// The digest of the head (without the proof itself) and the notes.
fn proof(head: &[u8], notes: &[u8]) -> Digest {
    let mut all = super::Digester::new();
    all.update(&head[..96]).update(notes);
    all.finish()
}

/// Which file an entry was, to tell it from one that has taken its place.
///
/// ```
/// use phalanx::cache::{Cache, Digest};
///
/// # let folder = std::env::temp_dir().join(format!("phalanx-doc-stamp-{}", std::process::id()));
/// let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
/// cache.claim_anew("totals", key).store(b"", &[b"1"])?;
/// let first = cache.get("totals", key)?.expect("stored").stamp();
/// cache.claim_anew("totals", key).store(b"", &[b"2"])?;
/// let second = cache.get("totals", key)?.expect("stored anew").stamp();
/// assert_ne!(first, second);
/// # std::fs::remove_dir_all(folder).expect("the folder");
/// # Ok::<(), phalanx::cache::CacheError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    file: u64,
    written: (i64, i64),
}

/// An entry that is open: its notes have been checked, its value is checked when it is read. It can be
/// read even if it is removed from the cache meanwhile.
///
/// ```
/// use phalanx::cache::{Cache, Digest};
///
/// # let folder = std::env::temp_dir().join(format!("phalanx-doc-entry-{}", std::process::id()));
/// let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
/// cache.claim_anew("totals", key).store(b"computed in May", &[b"12"])?;
///
/// let entry = cache.get("totals", key)?.expect("stored");
/// assert_eq!((entry.notes(), entry.len()), (&b"computed in May"[..], 2));
/// assert!(entry.path().starts_with(cache.shelf_folder("totals")));
/// let mut value = [0; 2];
/// entry.read_into(&mut value)?;
/// assert_eq!(&value, b"12");
/// # std::fs::remove_dir_all(folder).expect("the folder");
/// # Ok::<(), phalanx::cache::CacheError>(())
/// ```
#[derive(Debug)]
pub struct Entry {
    file: File,
    path: PathBuf,
    stamp: Stamp,
    notes: Vec<u8>,
    offset: u64,
    len: u64,
    digest: Digest,
    /// As much of the value as came with the first read.
    start: Vec<u8>,
}

impl Entry {
    /// Opens the entry of a key and notes that it was used; `None` if there is none.
    pub(super) fn open(path: &Path, key: Digest) -> Result<Option<Self>, CacheError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if is_missing(&e) => return Ok(None),
            Err(e) => return Err(CacheError::io("cannot open", path)(e)),
        };
        let failed = CacheError::io("cannot read", path);
        match Self::read_head(file, path, key) {
            Ok(Ok(entry)) => Ok(Some(entry)),
            Ok(Err(what)) => Err(CacheError::Damaged(Damage::new(path, what))),
            Err(e) => Err(failed(e)),
        }
    }

    fn read_head(file: File, path: &Path, key: Digest) -> io::Result<Result<Self, &'static str>> {
        let about = file.metadata()?;
        let mut first = vec![0; FIRST.min(usize::try_from(about.len()).unwrap_or(FIRST))];
        if first.len() < HEAD {
            return Ok(Err("it is too short"));
        }
        if let Err(e) = file.read_exact_at(&mut first, 0) {
            return torn(e);
        }
        let number = |at: usize| {
            first[at..at + 8].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
        };
        let digest = |at: usize| first[at..at + 32].try_into().map_or([0; 32], |bytes| bytes);
        let (notes_len, len) = (number(16), number(24));
        let offset = value_offset(notes_len.min(MOST_NOTES));
        if first[..8] != MAGIC || first[8..12] != VERSION.to_le_bytes() || notes_len > MOST_NOTES {
            return Ok(Err("it does not begin as an entry does"));
        }
        if offset.checked_add(len) != Some(about.len()) {
            return Ok(Err("its length is not the one that was written"));
        }
        let notes_end = HEAD + usize::try_from(notes_len).unwrap_or(usize::MAX - HEAD);
        let notes = match first.get(HEAD..notes_end) {
            Some(notes) => notes.to_vec(),
            None => {
                let mut notes = vec![0; notes_end - HEAD];
                if let Err(e) = file.read_exact_at(&mut notes, HEAD as u64) {
                    return torn(e);
                }
                notes
            }
        };
        if proof(&first, &notes).as_bytes() != &digest(96) {
            return Ok(Err("the checksum of its notes is wrong"));
        }
        if Digest::from_bytes(digest(64)) != key {
            return Ok(Err("it belongs to another key"));
        }
        note_use(&file, about.accessed()?);
        let stamp = Stamp {
            device: about.dev(),
            file: about.ino(),
            written: (about.mtime(), about.mtime_nsec()),
        };
        let digest = Digest::from_bytes(digest(32));
        let start = usize::try_from(offset).ok().and_then(|at| first.get(at..)).unwrap_or_default();
        let start = start.to_vec();
        Ok(Ok(Self { file, path: path.to_owned(), stamp, notes, offset, len, digest, start }))
    }

    /// What was stored with the value to describe it.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-notes-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.claim_anew("totals", key).store(b"took 3 s", &[b"12"])?;
    /// let entry = cache.get("totals", key)?.expect("stored");
    /// assert_eq!(entry.notes(), b"took 3 s");
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    #[must_use]
    pub fn notes(&self) -> &[u8] {
        &self.notes
    }

    /// The length of the value in bytes.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-len-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.claim_anew("totals", key).store(b"", &[b"one", b"two"])?;
    /// assert_eq!(cache.get("totals", key)?.expect("stored").len(), 6);
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the value is no bytes at all.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-is-empty-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.claim_anew("totals", key).store(b"notes alone", &[])?;
    /// assert!(cache.get("totals", key)?.expect("stored").is_empty());
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the file is, as long as the entry is not removed.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-path-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.get_or_compute("totals", key, || b"12".to_vec())?;
    /// assert!(cache.get("totals", key)?.expect("stored").path().is_file());
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where in the file the value begins: a multiple of 64 bytes. For those who map it.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-offset-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.claim_anew("totals", key).store(b"notes", &[b"12"])?;
    /// let entry = cache.get("totals", key)?.expect("stored");
    /// let file = std::fs::read(entry.path())?;
    /// assert_eq!(&file[entry.offset() as usize..], b"12");
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Which file this is.
    ///
    /// ```
    /// # use phalanx::Patience;
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-entry-stamp-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// use phalanx::cache::Lookup;
    ///
    /// cache.claim_anew("totals", key).store(b"", &[b"no sense"])?;
    /// let useless = cache.get("totals", key)?.expect("stored").stamp();
    /// // That very one shall count as missing:
    /// let again = cache.get_or_claim("totals", key, Some(useless), &Patience::forever())?;
    /// assert!(matches!(again, Lookup::Claimed(_)));
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The value.
    ///
    /// # Errors
    /// [`CacheError::Damaged`] if these are not the bytes that were stored; or the kernel's refusal.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-read-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.claim_anew("totals", key).store(b"", &[b"one", b"two"])?;
    /// assert_eq!(cache.get("totals", key)?.expect("stored").read()?, b"onetwo");
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn read(&self) -> Result<Vec<u8>, CacheError> {
        let mut value = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX)];
        self.read_into(&mut value)?;
        Ok(value)
    }

    /// Reads the value into memory of the caller's, [`Entry::len`] bytes. Each piece is checked while it
    /// is in the processor's cache, and several threads share a long value.
    ///
    /// # Errors
    /// As [`Entry::read`]. What `value` holds then is not to be used.
    ///
    /// # Panics
    /// If `value` has another length.
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-read-into-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.claim_anew("totals", key).store(b"", &[&7u64.to_le_bytes()])?;
    /// let mut number = [0; 8];
    /// cache.get("totals", key)?.expect("stored").read_into(&mut number)?;
    /// assert_eq!(u64::from_le_bytes(number), 7);
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn read_into(&self, value: &mut [u8]) -> Result<(), CacheError> {
        assert_eq!(value.len() as u64, self.len, "the value has {} bytes", self.len);
        if self.start.len() == value.len() {
            value.copy_from_slice(&self.start);
            return self.judge(Digest::of(value));
        }
        let pieces: Vec<_> = value.chunks_mut(PIECE).enumerate().collect();
        let digests = self.each_piece(pieces, |file, (index, piece)| {
            file.read_exact_at(piece, self.offset + (index * PIECE) as u64)?;
            Ok((index, *Digest::of(piece).as_bytes()))
        })?;
        self.judge_pieces(&digests)
    }

    /// Checks the value without keeping it, for those who map the file.
    ///
    /// # Errors
    /// As [`Entry::read`].
    ///
    /// ```
    /// # use phalanx::cache::{Cache, Digest};
    /// # let folder = std::env::temp_dir().join(format!("phalanx-doc-verify-{}", std::process::id()));
    /// # let (cache, key) = (Cache::open(&folder)?, Digest::of(b"arguments"));
    /// cache.claim_anew("totals", key).store(b"", &[b"12"])?;
    /// assert!(cache.get("totals", key)?.expect("stored").verify().is_ok());
    /// # std::fs::remove_dir_all(folder).expect("the folder");
    /// # Ok::<(), phalanx::cache::CacheError>(())
    /// ```
    pub fn verify(&self) -> Result<(), CacheError> {
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        let pieces = (0..len.div_ceil(PIECE).max(1)).collect();
        let digests = self.each_piece(pieces, |file, index| {
            let mut piece = vec![0; PIECE.min(len - index * PIECE)];
            file.read_exact_at(&mut piece, self.offset + (index * PIECE) as u64)?;
            Ok((index, *Digest::of(&piece).as_bytes()))
        })?;
        self.judge_pieces(&digests)
    }

    fn each_piece<T: Send>(
        &self,
        pieces: Vec<T>,
        digest: impl Fn(&File, T) -> io::Result<(usize, [u8; 32])> + Sync,
    ) -> Result<Vec<[u8; 32]>, CacheError> {
        let all = Mutex::new(Ok(vec![[0; 32]; pieces.len()]));
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        in_parallel(len, pieces, |piece| {
            let one = digest(&self.file, piece);
            let Ok(mut all) = all.lock() else { return };
            match (one, &mut *all) {
                (Ok((index, digest)), Ok(digests)) => digests[index] = digest,
                (Err(e), all) => *all = Err(e),
                (Ok(_), Err(_)) => {}
            }
        });
        let all = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        match all {
            Ok(digests) => Ok(digests),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(CacheError::Damaged(Damage::new(&self.path, "it was cut while it was read")))
            }
            Err(e) => Err(CacheError::io("cannot read", &self.path)(e)),
        }
    }

    fn judge_pieces(&self, digests: &[[u8; 32]]) -> Result<(), CacheError> {
        self.judge(match digests {
            [only] => Digest::from_bytes(*only),
            _ => Digest::of_pieces(usize::try_from(self.len).unwrap_or(usize::MAX), digests),
        })
    }

    fn judge(&self, found: Digest) -> Result<(), CacheError> {
        match found == self.digest {
            true => Ok(()),
            false => Err(CacheError::Damaged(Damage::new(
                &self.path,
                "the checksum of its value is wrong",
            ))),
        }
    }
}

/// A file that ended too early, where that is what happened.
fn torn<T>(e: io::Error) -> io::Result<Result<T, &'static str>> {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => Ok(Err("it was cut while it was read")),
        _ => Err(e),
    }
}

/// Whether a file, or a folder on the way to it, is not there.
pub(super) fn is_missing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The time of use is what the least recently used entry is found by. The kernel's own notes of it are
/// too coarse, and switched off on many a disk. A cache that may only be read goes without.
fn note_use(file: &File, before: SystemTime) {
    let now = SystemTime::now();
    if now.duration_since(before).map_or(true, |age| age >= USES_APART) {
        let _ = file.set_times(FileTimes::new().set_accessed(now));
    }
}
