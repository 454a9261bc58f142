//! Messages over a descriptor that somebody else made: a socket or a pipe of the kernel.
//!
//! The other end may be any program that speaks the standard library's format: the length of the
//! message in four bytes, big-endian, and its bytes; for more than 2 GiB the length -1 and then the
//! length in eight bytes.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use phalanx_os::poll::{self, Interest};
use phalanx_shm::patience::{GaveUp, Patience, Slices};

/// Messages up to this size are written in one piece with their length.
const ONE_PIECE: usize = 16 * 1024;
/// How much is read at a time, at most.
const READ: usize = 1 << 20;

/// A descriptor with messages on it.
#[derive(Debug)]
pub struct Stream(File);

/// Why a message was not sent or received. The stream is of no use afterwards, unless the wait for
/// the message's first byte was given up.
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamError {
    /// The other end was closed between messages.
    EndOfFile,
    /// The other end was closed in the middle of a message.
    CutShort,
    /// The message is longer than the caller allows: so many bytes.
    TooLong(u64),
    /// The caller gave up.
    GaveUp(GaveUp),
    /// The kernel refused.
    Io(io::Error),
}

impl From<io::Error> for StreamError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl Stream {
    /// Messages on the given descriptor, which is closed with the stream.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self(File::from(fd))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn send(&self, message: &[u8], patience: &Patience<'_>) -> Result<(), StreamError> {
        let mut header = match i32::try_from(message.len()) {
            Ok(len) => len.to_be_bytes().to_vec(),
            Err(_) => [&(-1i32).to_be_bytes()[..], &(message.len() as u64).to_be_bytes()].concat(),
        };
        if message.len() <= ONE_PIECE {
            header.extend_from_slice(message);
            return self.write(&header, patience);
        }
        self.write(&header, patience)?;
        self.write(message, patience)
    }

    fn write(&self, mut bytes: &[u8], patience: &Patience<'_>) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            match (&self.0).write(bytes) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {
                    patience.check().map_err(StreamError::GaveUp)?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.wait(Interest::write(self.0.as_fd()), patience)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Receives one message and appends it to `out`.
    ///
    /// # Errors
    /// [`StreamError`]; [`StreamError::TooLong`] before any of it is read if it has more than `max`
    /// bytes.
    pub fn recv(
        &self,
        out: &mut Vec<u8>,
        max: Option<u64>,
        patience: &Patience<'_>,
    ) -> Result<(), StreamError> {
        let mut header = Vec::new();
        self.read(4, &mut header, patience).map_err(|e| match e {
            StreamError::CutShort if header.is_empty() => StreamError::EndOfFile,
            other => other,
        })?;
        let short = header[..4].try_into().map_or(0, i32::from_be_bytes);
        let len = match u64::try_from(short) {
            Ok(len) => len,
            Err(_) => {
                self.read(8, &mut header, patience)?;
                header[4..].try_into().map_or(0, u64::from_be_bytes)
            }
        };
        if max.is_some_and(|max| len > max) {
            return Err(StreamError::TooLong(len));
        }
        self.read(len, out, patience)
    }

    fn read(
        &self,
        len: u64,
        out: &mut Vec<u8>,
        patience: &Patience<'_>,
    ) -> Result<(), StreamError> {
        let mut left = usize::try_from(len).unwrap_or(usize::MAX);
        while left > 0 {
            self.wait(Interest::read(self.0.as_fd()), patience)?;
            // Grows with what really comes, whatever length the other side announces.
            let at = out.len();
            out.resize(at + left.min(READ), 0);
            let got = (&self.0).read(&mut out[at..]);
            out.truncate(at + got.as_ref().map_or(0, |n| *n));
            match got {
                Ok(0) => return Err(StreamError::CutShort),
                Ok(n) => left -= n,
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Waits until something can be read, the end of file too.
    ///
    /// # Errors
    /// [`StreamError::GaveUp`], or the kernel's refusal.
    pub fn wait_for_message(&self, patience: &Patience<'_>) -> Result<(), StreamError> {
        self.wait(Interest::read(self.0.as_fd()), patience)
    }

    fn wait(&self, interest: Interest<'_>, patience: &Patience<'_>) -> Result<(), StreamError> {
        let mut list = [interest];
        let mut slices = Slices::for_users();
        loop {
            let until = if patience.is_none() {
                patience.deadline()
            } else {
                Some(slices.next_deadline(patience))
            };
            poll::wait(&mut list, until)?;
            if list[0].is_ready() {
                return Ok(());
            }
            patience.check().map_err(StreamError::GaveUp)?;
        }
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
