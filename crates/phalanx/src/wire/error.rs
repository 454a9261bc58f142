//! What can go wrong between values and bytes.

use std::any::type_name;
use std::cell::RefCell;
use std::fmt;

thread_local! {
    /// Why a `Serialize` or `Deserialize` refused: postcard keeps only that it did.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Says why encoding or decoding is about to fail, for those who implement it here.
pub(crate) fn because(reason: String) {
    REASON.set(Some(reason));
}

fn reason(why: postcard::Error) -> String {
    use postcard::Error;
    let text = match why {
        Error::SerdeSerCustom | Error::SerdeDeCustom => {
            return REASON.take().unwrap_or_else(|| {
                let serializing = matches!(why, Error::SerdeSerCustom);
                let refuser = if serializing { "Serialize" } else { "Deserialize" };
                format!("the `{refuser}` of something in it refused")
            });
        }
        Error::DeserializeUnexpectedEnd => "they end too early",
        Error::SerializeSeqLengthUnknown => "a sequence in it does not know its length",
        Error::WontImplement => "its `Deserialize` asks for names, which the bytes do not have",
        other => return other.to_string(),
    };
    text.to_owned()
}

/// A value could not be made into bytes. Nothing has been sent.
///
/// ```
/// // A queue's handle can be sent by a queue, but not be written to a file.
/// let queue = phalanx::Queue::<u64>::unbounded()?;
/// let error = phalanx::wire::encode(&queue, &mut Vec::new()).unwrap_err();
/// println!("{error}");
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    type_name: &'static str,
    reason: String,
}

impl EncodeError {
    #[cold]
    pub(super) fn new<T: ?Sized>(why: postcard::Error) -> Self {
        Self { type_name: type_name::<T>(), reason: reason(why) }
    }

    /// An error of a [`Codec`](super::Codec) of one's own: what was to be encoded, and why it was not.
    ///
    /// ```
    /// use phalanx::wire::EncodeError;
    ///
    /// let error = EncodeError::custom::<f64>("it is not a number");
    /// assert!(error.to_string().contains("it is not a number"));
    /// ```
    #[must_use]
    pub fn custom<T: ?Sized>(reason: impl fmt::Display) -> Self {
        Self { type_name: type_name::<T>(), reason: reason.to_string() }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot encode a value of type {}: {}", self.type_name, self.reason)
    }
}

impl std::error::Error for EncodeError {}

/// Bytes are no value of the expected type. Gives them back.
///
/// ```
/// let error = phalanx::wire::decode::<String>(&[200, 1]).unwrap_err();
/// assert_eq!(error.bytes(), [200, 1]);
/// println!("{error}");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Refused>);

#[derive(Clone, PartialEq, Eq)]
struct Refused {
    bytes: Vec<u8>,
    type_name: &'static str,
    reason: String,
}

impl DecodeError {
    #[cold]
    pub(super) fn new<T>(bytes: &[u8], why: postcard::Error) -> Self {
        Self::custom::<T>(bytes, reason(why))
    }

    #[cold]
    pub(super) fn excess<T>(bytes: &[u8], rest: usize) -> Self {
        Self::custom::<T>(bytes, format_args!("{rest} of them are left over"))
    }

    /// An error of a [`Codec`](super::Codec) of one's own: what the bytes were to become, and why they
    /// did not.
    ///
    /// ```
    /// use phalanx::wire::DecodeError;
    ///
    /// let error = DecodeError::custom::<char>(b"ab", "one character was expected");
    /// assert_eq!(error.bytes(), b"ab");
    /// assert!(error.to_string().contains("one character was expected"));
    /// ```
    #[must_use]
    pub fn custom<T>(bytes: &[u8], reason: impl fmt::Display) -> Self {
        let (bytes, type_name, reason) = (bytes.to_vec(), type_name::<T>(), reason.to_string());
        Self(Box::new(Refused { bytes, type_name, reason }))
    }

    /// The bytes.
    ///
    /// ```
    /// let error = phalanx::wire::decode::<bool>(&[7]).unwrap_err();
    /// assert_eq!(error.bytes(), [7]); // to be logged, or tried as something else
    /// ```
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The bytes, without the error.
    ///
    /// ```
    /// let error = phalanx::wire::decode::<bool>(&[7]).unwrap_err();
    /// assert_eq!(phalanx::wire::decode::<u8>(&error.into_bytes())?, 7);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.bytes
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { bytes, type_name, reason } = &*self.0;
        write!(f, "{} bytes are no value of type {type_name}: {reason}", bytes.len())
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeError")
            .field("type", &self.0.type_name)
            .field("reason", &self.0.reason)
            .field("bytes", &self.0.bytes.len())
            .finish()
    }
}

impl std::error::Error for DecodeError {}
