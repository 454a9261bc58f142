//! Digests: what keys are made of, and what finds out that bytes are not those that were written.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use phalanx_os::cpu;

/// Long inputs are digested in pieces of this size, whose digests are digested in turn.
pub(super) const PIECE: usize = 1 << 20;

/// From this length on several threads share the work.
const SHARED_FROM: usize = 4 << 20;

/// More threads than this gain nothing: memory is the limit then.
const MOST_THREADS: usize = 8;

/// 256 bits that stand for some bytes: BLAKE3.
///
/// ```
/// use phalanx::cache::Digest;
///
/// let key = Digest::of(b"some argument");
/// assert_eq!(key, Digest::of(b"some argument"));
/// assert_eq!(key.to_string().len(), 64);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`. Several threads share the work where there are many bytes and several
    /// processors; they have ended when this returns.
    ///
    /// ```
    /// use phalanx::cache::Digest;
    ///
    /// assert_eq!(Digest::of(b"width 3"), Digest::of(b"width 3"));
    /// assert_ne!(Digest::of(b"width 3"), Digest::of(b"width 4"));
    /// ```
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() <= PIECE {
            return Self(blake3::hash(bytes).into());
        }
        let pieces: Vec<&[u8]> = bytes.chunks(PIECE).collect();
        let mut digests = vec![[0; 32]; pieces.len()];
        in_parallel(
            bytes.len(),
            pieces.into_iter().zip(&mut digests).collect(),
            |(piece, digest)| {
                *digest = blake3::hash(piece).into();
            },
        );
        Self::of_pieces(bytes.len(), &digests)
    }

    /// The digest that these bytes are.
    ///
    /// ```
    /// use phalanx::cache::Digest;
    ///
    /// let digest = Digest::of(b"words");
    /// let kept: [u8; 32] = *digest.as_bytes(); // as in a file of one's own
    /// assert_eq!(Digest::from_bytes(kept), digest);
    /// ```
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    ///
    /// ```
    /// use phalanx::cache::Digest;
    ///
    /// let digest = Digest::of(b"words");
    /// assert!(digest.to_string().starts_with(&format!("{:02x}", digest.as_bytes()[0])));
    /// ```
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest that is written as 64 hexadecimal digits; `None` if `text` is none.
    ///
    /// ```
    /// use phalanx::cache::Digest;
    ///
    /// let digest = Digest::of(b"words");
    /// assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
    /// assert_eq!(Digest::parse("words"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let text = text.as_bytes();
        if text.len() != 64 || !text.iter().all(is_digit) {
            return None;
        }
        let value = |digit: u8| if digit < b'a' { digit - b'0' } else { digit - b'a' + 10 };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = value(pair[0]) << 4 | value(pair[1]);
        }
        Some(Self(bytes))
    }

    /// The digest of `len` bytes whose pieces have the given ones.
    pub(super) fn of_pieces(len: usize, pieces: &[[u8; 32]]) -> Self {
        let mut all = blake3::Hasher::new_derive_key("phalanx cache: digest of pieces, version 1");
        all.update(&(len as u64).to_le_bytes());
        all.update(pieces.as_flattened());
        Self(all.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Digests what comes bit by bit.
///
/// ```
/// use phalanx::cache::Digester;
///
/// let mut key = Digester::new();
/// key.update(b"name").update(&7u64.to_le_bytes());
/// assert_eq!(key.finish().as_bytes().len(), 32);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Digester(blake3::Hasher);

impl Digester {
    /// Begins with nothing.
    ///
    /// ```
    /// use phalanx::cache::{Digest, Digester};
    ///
    /// assert_eq!(Digester::new().finish(), Digest::of(b""));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes. Where one ends and the next begins leaves no trace: write lengths where it matters.
    ///
    /// ```
    /// use phalanx::cache::{Digest, Digester};
    ///
    /// let mut digester = Digester::new();
    /// for line in ["one", "two"] {
    ///     digester.update(line.as_bytes());
    /// }
    /// assert_eq!(digester.finish(), Digest::of(b"onetwo"));
    /// ```
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// The digest of all that was added.
    ///
    /// ```
    /// use phalanx::cache::Digester;
    ///
    /// let mut digester = Digester::new();
    /// let first = digester.update(b"one").finish();
    /// let both = digester.update(b"two").finish(); // one may go on afterwards
    /// assert_ne!(first, both);
    /// ```
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Does `each` for all `items`, in as many threads as pay for `len` bytes.
pub(super) fn in_parallel<T: Send>(len: usize, items: Vec<T>, each: impl Fn(T) + Sync) {
    let threads = match len < SHARED_FROM {
        true => 1,
        false => cpu::usable().min(MOST_THREADS).min(items.len()),
    };
    if threads < 2 {
        return items.into_iter().for_each(each);
    }
    let items: Vec<_> = items.into_iter().map(|item| std::sync::Mutex::new(Some(item))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(item) = item.lock().ok().and_then(|mut item| item.take()) {
                each(item);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Where there is no thread to be had, this one does it all.
            let _ = thread::Builder::new().name("phalanx-digest".into()).spawn_scoped(scope, work);
        }
        work();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterned(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 % 251) as u8).collect()
    }

    #[test]
    fn each_byte_and_the_length_count() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, SHARED_FROM + 3] {
            let bytes = patterned(len);
            let digest = Digest::of(&bytes);
            assert_eq!(digest, Digest::of(&bytes));
            assert_ne!(digest, Digest::of(&patterned(len + 1)));
            for at in [0, len / 2, len.saturating_sub(1)] {
                let mut other = bytes.clone();
                if let Some(byte) = other.get_mut(at) {
                    *byte ^= 1;
                    assert_ne!(digest, Digest::of(&other), "byte {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn how_many_threads_share_the_work_does_not_matter() {
        let bytes = patterned(SHARED_FROM + 12_345);
        let pieces: Vec<[u8; 32]> =
            bytes.chunks(PIECE).map(|piece| blake3::hash(piece).into()).collect();
        assert_eq!(Digest::of(&bytes), Digest::of_pieces(bytes.len(), &pieces));
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = Digest::of(b"x");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Digest::parse("12"), None);
        assert_eq!(Digest::parse(&"G".repeat(64)), None);
    }
}
