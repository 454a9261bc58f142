//! The form of a message: its length, and then its bytes. See [`Stream`](super::Stream).

const SHORT: usize = 4;
const LONG: usize = 12;

/// A message of which some may have come.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use phalanx::Patience;
/// use phalanx::connection::{Partial, Stream};
///
/// let (one, other) = UnixStream::pair()?;
/// let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
/// let (mut partial, mut message) = (Partial::default(), Vec::new());
/// assert!(!other.advance(&mut partial, &mut message, None)?, "nothing has come");
/// one.send(b"hello", &Patience::forever())?;
/// assert!(other.advance(&mut partial, &mut message, None)?);
/// assert_eq!(message, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Partial {
    pub(super) header: [u8; LONG],
    pub(super) header_len: usize,
    /// The message's length, once it is known, and how much of it has come.
    pub(super) body: Option<(usize, usize)>,
    /// Where the message begins in the buffer.
    pub(super) start: usize,
}

impl Partial {
    pub(super) fn is_untouched(&self) -> bool {
        self.header_len == 0
    }

    /// The message's length, if all of the header has come.
    pub(super) fn announced(&self) -> Option<u64> {
        let short = i32::from_be_bytes(*self.header.first_chunk()?);
        match u64::try_from(short) {
            Ok(len) if self.header_len >= SHORT => Some(len),
            Err(_) if self.header_len == LONG => {
                self.header.last_chunk().map(|long| u64::from_be_bytes(*long))
            }
            _ => None,
        }
    }

    /// The part of the header that has to come next.
    pub(super) fn rest_of_header(&mut self) -> &mut [u8] {
        let end = if self.header_len < SHORT { SHORT } else { LONG };
        &mut self.header[self.header_len..end]
    }
}

/// The length of a message as it is sent.
pub(super) struct Header([u8; LONG], usize);

impl Header {
    pub(super) fn of(len: usize) -> Self {
        let mut bytes = [0; LONG];
        if let Ok(short) = i32::try_from(len) {
            bytes[..SHORT].copy_from_slice(&short.to_be_bytes());
            return Self(bytes, SHORT);
        }
        bytes[..SHORT].copy_from_slice(&(-1i32).to_be_bytes());
        bytes[SHORT..].copy_from_slice(&(len as u64).to_be_bytes());
        Self(bytes, LONG)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0[..self.1]
    }
}
