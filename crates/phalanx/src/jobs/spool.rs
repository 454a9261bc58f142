//! Where the output of jobs is kept: the first of it in memory, the rest in one file without a name.
//!
//! All jobs of a run share one spool, so that thousands of outputs need one descriptor. An output is a
//! piece of memory and a list of extents of the file; extents are given back to the disk when the output
//! is dropped. When the runner dies, so does the file.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use phalanx_os::{pipe, temporary};

/// What one output may hold in memory, in bytes.
const MEMORY_EACH: usize = 1 << 20;
/// What all outputs of a run may hold in memory together, in bytes.
const MEMORY_TOTAL: usize = 32 << 20;
/// How much is moved from a pipe at a time, in bytes.
const PIECE: usize = 1 << 20;

/// The room that all outputs of a run share.
#[derive(Debug, Default)]
pub(super) struct Spool {
    /// Bytes that outputs hold in memory.
    in_memory: AtomicUsize,
    file: OnceLock<File>,
    /// Where the file's unused part begins.
    end: Mutex<u64>,
}

impl Spool {
    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let new = temporary::unnamed_file()?;
        Ok(self.file.get_or_init(|| new))
    }

    fn has_memory_for(&self, held: usize) -> bool {
        held < MEMORY_EACH && self.in_memory.load(Ordering::Relaxed) < MEMORY_TOTAL
    }
}

/// A part of the file, in bytes.
#[derive(Clone, Copy, Debug)]
struct Extent {
    offset: u64,
    length: u64,
}

/// Output of a job: small ones in memory, large ones in a file that has no name.
///
/// ```
/// use phalanx::jobs::{Job, Runner};
///
/// let outcomes = Runner::new().run([Job::shell("seq 100000")])?;
/// let output = &outcomes[0].stdout;
/// assert_eq!((output.len(), output.lost()), (588_895, 0));
/// let mut copy = Vec::new();
/// output.write_to(&mut copy)?; // in pieces: it need not fit into memory
/// assert!(copy.ends_with(b"\n100000\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Captured {
    spool: Arc<Spool>,
    memory: Vec<u8>,
    extents: Vec<Extent>,
    lost: u64,
}

impl Captured {
    pub(super) fn new(spool: &Arc<Spool>) -> Self {
        Self { spool: Arc::clone(spool), memory: Vec::new(), extents: Vec::new(), lost: 0 }
    }

    /// How many bytes there are.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run([Job::shell("printf hello")])?;
    /// assert_eq!((outcomes[0].stdout.len(), outcomes[0].stderr.len()), (5, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> u64 {
        self.memory.len() as u64 + self.extents.iter().map(|extent| extent.length).sum::<u64>()
    }

    /// Whether there is nothing.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run(["true", "echo oh >&2"].map(Job::shell))?;
    /// let complain: Vec<bool> = outcomes.iter().map(|outcome| !outcome.stderr.is_empty()).collect();
    /// assert_eq!(complain, [false, true]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes the job wrote that could not be kept, because there was no room on the disk.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run([Job::shell("seq 1000")])?;
    /// let output = &outcomes[0].stdout;
    /// assert_eq!(output.lost(), 0, "the disk is full: {} bytes are all there is", output.len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run([Job::shell("seq 3")])?;
    /// let text = String::from_utf8(outcomes[0].stdout.to_vec()?)?;
    /// assert_eq!(text.lines().map(str::parse::<u64>).sum::<Result<u64, _>>()?, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::with_capacity(usize::try_from(self.len()).unwrap_or(0));
        self.write_to(&mut all)?;
        Ok(all)
    }

    /// Writes all of it, without having all of it in memory at once.
    ///
    /// # Errors
    /// When the file cannot be read, or what `writer` answers.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// # let path = std::env::temp_dir().join(format!("phalanx-doc-write-to-{}", std::process::id()));
    /// let outcomes = Runner::new().run([Job::shell("seq 100000")])?;
    /// outcomes[0].stdout.write_to(&mut std::fs::File::create(&path)?)?;
    /// assert_eq!(std::fs::metadata(&path)?.len(), outcomes[0].stdout.len());
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        writer.write_all(&self.memory)?;
        if self.extents.is_empty() {
            return Ok(());
        }
        let file = self.spool.file()?;
        let mut piece = vec![0; PIECE.min(64 << 10)];
        for extent in &self.extents {
            let (mut at, end) = (extent.offset, extent.offset + extent.length);
            while at < end {
                let most =
                    usize::try_from(end - at).map_or(piece.len(), |left| left.min(piece.len()));
                file.read_exact_at(&mut piece[..most], at)?;
                writer.write_all(&piece[..most])?;
                at += most as u64;
            }
        }
        Ok(())
    }

    /// Takes what is in a pipe now. `None` if that is nothing, zero at the end of the stream.
    pub(super) fn take_from(
        &mut self,
        pipe: impl AsFd,
        buffer: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let spool = Arc::clone(&self.spool);
        if self.extents.is_empty() && self.lost == 0 && spool.has_memory_for(self.memory.len()) {
            let count = pipe::read_now(pipe, buffer)?;
            self.remember(&buffer[..count.unwrap_or(0)]);
            return Ok(count);
        }
        let mut end = spool.end.lock().unwrap_or_else(PoisonError::into_inner);
        let moved =
            spool.file().and_then(|file| temporary::move_from_pipe(&pipe, file, *end, PIECE));
        if let Ok(count) = moved {
            self.append(&mut end, count.unwrap_or(0));
            return Ok(count);
        }
        // No room: the job must be able to go on nevertheless.
        drop(end);
        let count = pipe::read_now(pipe, buffer)?;
        self.lost += count.unwrap_or(0) as u64;
        Ok(count)
    }

    /// Adds bytes that have been read already.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let spool = Arc::clone(&self.spool);
        if self.extents.is_empty() && self.lost == 0 && spool.has_memory_for(self.memory.len()) {
            return self.remember(bytes);
        }
        let mut end = spool.end.lock().unwrap_or_else(PoisonError::into_inner);
        match spool.file().and_then(|file| file.write_all_at(bytes, *end)) {
            Ok(()) => self.append(&mut end, bytes.len()),
            Err(_) => self.lost += bytes.len() as u64,
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.memory.extend_from_slice(bytes);
        self.spool.in_memory.fetch_add(bytes.len(), Ordering::Relaxed);
    }

    fn append(&mut self, end: &mut u64, count: usize) {
        let length = count as u64;
        match self.extents.last_mut() {
            Some(last) if last.offset + last.length == *end => last.length += length,
            _ if length > 0 => self.extents.push(Extent { offset: *end, length }),
            _ => {}
        }
        *end += length;
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured").field("len", &self.len()).field("lost", &self.lost).finish()
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        self.spool.in_memory.fetch_sub(self.memory.len(), Ordering::Relaxed);
        if let Some(file) = self.spool.file.get() {
            for extent in &self.extents {
                temporary::give_back(file, extent.offset, extent.length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_output_stays_in_memory_and_large_output_does_not() {
        let spool = Arc::new(Spool::default());
        let (mut small, mut large) = (Captured::new(&spool), Captured::new(&spool));
        small.add(b"abc");
        let piece = vec![7; 300_000];
        for _ in 0..10 {
            large.add(&piece);
            small.add(b"d");
        }
        assert!(spool.file.get().is_some());
        assert!(spool.in_memory.load(Ordering::Relaxed) < 2 * MEMORY_EACH);
        assert_eq!(small.to_vec().unwrap(), b"abcdddddddddd");
        assert_eq!(large.to_vec().unwrap(), vec![7; 3_000_000]);
        drop((small, large));
        assert_eq!(spool.in_memory.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_pipe_is_taken_in_order_across_the_bound_of_the_memory() {
        let spool = Arc::new(Spool::default());
        let (read, write) = pipe::pair().unwrap();
        pipe::set_nonblocking(&read).unwrap();
        let (mut output, mut buffer) = (Captured::new(&spool), vec![0; 4096]);
        let mut expected = Vec::new();
        for n in 0..200u8 {
            let piece = [n; 10_000];
            File::from(write.try_clone().unwrap()).write_all(&piece).unwrap();
            expected.extend_from_slice(&piece);
            while output.take_from(&read, &mut buffer).unwrap().is_some() {}
        }
        drop(write);
        assert_eq!(output.take_from(&read, &mut buffer).unwrap(), Some(0));
        assert!(!output.extents.is_empty());
        assert_eq!(output.to_vec().unwrap(), expected);
    }
}
