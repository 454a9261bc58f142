//! Messages out of a stream of bytes: each has its length in front.
//!
//! ```text
//! message := len: i32 body                 (big-endian; 0 to 0x7fff_ffff)
//!          | 0xffff_ffff len: u64 body     (longer ones)
//! ```

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use phalanx_os::stream::recv_now;

/// What one read asks for when it is not known how much will come.
const CHUNK: usize = 16 * 1024;
/// A buffer that grew beyond this is not kept for the next message.
const KEEP: usize = 1 << 20;
/// Marks a length of eight bytes.
const LONG: u32 = u32::MAX;

/// The bytes that go before a message of that length.
#[must_use]
pub(super) fn header(len: usize) -> Header {
    match u32::try_from(len) {
        Ok(short) if short <= i32::MAX.unsigned_abs() => {
            let mut bytes = [0; 12];
            bytes[..4].copy_from_slice(&short.to_be_bytes());
            Header { bytes, len: 4 }
        }
        _ => {
            let mut bytes = [0xff; 12];
            bytes[4..].copy_from_slice(&(len as u64).to_be_bytes());
            Header { bytes, len: 12 }
        }
    }
}

/// See [`header`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    bytes: [u8; 12],
    len: usize,
}

impl Header {
    /// The bytes.
    #[must_use]
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A message is announced that is longer than it may be, or has an impossible length.
///
/// ```
/// use std::io::Write;
/// use phalanx::serve::{Inbox, TooLong};
///
/// let (mut one, other) = std::os::unix::net::UnixStream::pair()?;
/// one.write_all(b"\x7f\xff\xff\xff")?; // announces 2 GiB
/// let mut inbox = Inbox::new();
/// inbox.fill(&other)?;
/// assert!(matches!(inbox.message(100), Err(TooLong)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a message was announced that is longer than the receiver accepts")
    }
}

impl std::error::Error for TooLong {}

/// The bytes received from one peer that have not been dealt with.
///
/// ```
/// use std::io::Write;
/// use phalanx::serve::Inbox;
///
/// let (mut one, other) = std::os::unix::net::UnixStream::pair()?;
/// one.write_all(b"\0\0\0\x05hello\0\0")?;
/// let mut inbox = Inbox::new();
/// inbox.fill(&other)?;
/// assert_eq!(inbox.message(100)?, Some(&b"hello"[..]));
/// assert_eq!(inbox.message(100)?, None, "the next has come in part only");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Inbox {
    /// Initialized as a whole; the bytes of `held` are the peer's.
    buffer: Vec<u8>,
    held: Range<usize>,
    /// Where the last message was found.
    last: Range<usize>,
}

impl Inbox {
    /// Nothing yet.
    ///
    /// ```
    /// use phalanx::serve::Inbox;
    ///
    /// assert_eq!(Inbox::new().message(100), Ok(None));
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), held: 0..0, last: 0..0 }
    }

    /// The first whole message, if it is there; it may be `limit` bytes long. It is gone with the
    /// next call of a method.
    ///
    /// # Errors
    /// [`TooLong`], at once when the length is known.
    ///
    /// ```
    /// use std::io::Write;
    /// use phalanx::serve::Inbox;
    ///
    /// let (mut one, other) = std::os::unix::net::UnixStream::pair()?;
    /// one.write_all(b"\0\0\0\x03one\0\0\0\x03two")?;
    /// let mut inbox = Inbox::new();
    /// inbox.fill(&other)?; // both came at once
    /// assert_eq!(inbox.message(100)?, Some(&b"one"[..]));
    /// assert_eq!(inbox.message(100)?, Some(&b"two"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn message(&mut self, limit: usize) -> Result<Option<&[u8]>, TooLong> {
        match self.front(limit)? {
            Front::Whole(range) => {
                self.held.start = range.end;
                self.last = range.clone();
                Ok(Some(&self.buffer[range]))
            }
            Front::Missing(_) => Ok(None),
        }
    }

    /// The message that was given last.
    pub(super) fn last(&self) -> &[u8] {
        &self.buffer[self.last.clone()]
    }

    /// Reads once from the socket; returns how many bytes came, 0 at the end of file.
    ///
    /// Memory grows with what has come, not with what was announced.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, or why it cannot be read.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use phalanx::serve::Inbox;
    ///
    /// let (one, other) = std::os::unix::net::UnixStream::pair()?;
    /// let mut inbox = Inbox::new();
    /// assert_eq!(inbox.fill(&other).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// drop(one);
    /// assert_eq!(inbox.fill(&other)?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fill(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let missing = match self.front(usize::MAX) {
            Ok(Front::Missing(bytes)) => bytes,
            _ => 0,
        };
        self.last = 0..0;
        self.make_room(missing);
        let came = recv_now(socket, &mut self.buffer[self.held.end..])?;
        self.held.end += came;
        Ok(came)
    }

    fn make_room(&mut self, missing: usize) {
        if self.held.is_empty() {
            self.held = 0..0;
            if self.buffer.len() > KEEP {
                self.buffer = Vec::new();
            }
        } else if self.held.start > 0 && self.buffer.len() - self.held.end < missing.max(CHUNK / 4)
        {
            self.buffer.copy_within(self.held.clone(), 0);
            self.held = 0..self.held.len();
        }
        // At most twice what is there already.
        let wanted = missing.clamp(CHUNK, self.held.len().max(CHUNK));
        if self.buffer.len() - self.held.end < wanted.min(missing.max(CHUNK / 4)) {
            self.buffer.resize(self.held.end + wanted, 0);
        }
    }

    /// Where the first message lies, or how many bytes of it are missing.
    fn front(&self, limit: usize) -> Result<Front, TooLong> {
        let bytes = &self.buffer[self.held.clone()];
        let Some((short, rest)) = bytes.split_first_chunk::<4>() else {
            return Ok(Front::Missing(4 - bytes.len()));
        };
        let (len, head) = match u32::from_be_bytes(*short) {
            LONG => match rest.first_chunk::<8>() {
                Some(long) => (u64::from_be_bytes(*long), 12),
                None => return Ok(Front::Missing(12 - bytes.len())),
            },
            short => (u64::from(short), 4),
        };
        let is_negative = head == 4 && len > u64::from(i32::MAX.unsigned_abs());
        let len = usize::try_from(len).ok().filter(|len| *len <= limit && !is_negative);
        let len = len.ok_or(TooLong)?;
        let have = bytes.len() - head;
        if have < len {
            return Ok(Front::Missing(len - have));
        }
        let start = self.held.start + head;
        Ok(Front::Whole(start..start + len))
    }
}

enum Front {
    Whole(Range<usize>),
    Missing(usize),
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_os::socket::stream_pair;
    use phalanx_os::stream::send_now;
    use std::io::IoSlice;

    fn framed(body: &[u8]) -> Vec<u8> {
        [header(body.len()).as_slice(), body].concat()
    }

    #[test]
    fn messages_come_out_whole_however_they_are_cut() -> io::Result<()> {
        let bodies: Vec<Vec<u8>> = [0, 1, 5, 4096, 70_000, 3].map(|n| vec![n as u8; n]).into();
        let bytes: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        for cut in [1, 3, 7, 4096, 65_536, bytes.len()] {
            let (a, b) = stream_pair()?;
            let mut inbox = Inbox::new();
            let mut got = Vec::new();
            for part in bytes.chunks(cut) {
                let mut part = part;
                while !part.is_empty() {
                    let sent = send_now(&a, &[IoSlice::new(part)])?;
                    part = &part[sent..];
                    while inbox.fill(&b).is_ok() {
                        while let Some(body) = inbox.message(usize::MAX).expect("short enough") {
                            got.push(body.to_vec());
                        }
                    }
                }
            }
            assert_eq!(got, bodies, "cut into pieces of {cut}");
        }
        Ok(())
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_comes() -> io::Result<()> {
        for (bytes, limit) in [
            (&1000u32.to_be_bytes()[..], 999),
            (&[0x80, 0, 0, 0], usize::MAX),
            (&[0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0, 0, 0, 0, 0], 1 << 30),
        ] {
            let (a, b) = stream_pair()?;
            send_now(&a, &[IoSlice::new(bytes)])?;
            let mut inbox = Inbox::new();
            inbox.fill(&b)?;
            assert_eq!(inbox.message(limit), Err(TooLong));
        }
        Ok(())
    }

    #[test]
    fn an_announcement_alone_takes_no_memory() -> io::Result<()> {
        let (a, b) = stream_pair()?;
        send_now(&a, &[IoSlice::new(&[0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0, 0, 0, 0, 0])])?;
        let mut inbox = Inbox::new();
        inbox.fill(&b)?;
        assert!(inbox.fill(&b).is_err());
        assert!(inbox.buffer.len() <= 2 * CHUNK);
        Ok(())
    }
}
