//! The digests by which one proves to know a key.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac, SimpleHmac};

/// A secret that both sides of a connection know. It never shows up in messages, errors or logs.
///
/// ```
/// use phalanx::connection::Key;
///
/// let key = Key::new(b"known to both sides");
/// assert!(!format!("{key:?}").contains("known"));
/// ```
#[derive(Clone)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// A key of the given bytes.
    ///
    /// ```
    /// use phalanx::connection::{Digest, Key};
    ///
    /// let (ours, theirs) = (Key::new(b"secret"), Key::new(b"secret"));
    /// let prove = |key| Digest::Sha256.prove(key, b"a challenge");
    /// assert_eq!(prove(&ours), prove(&theirs));
    /// ```
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// How a message and a key are made into a proof: `HMAC` with one of these digests.
///
/// ```
/// use phalanx::connection::{Digest, Key};
///
/// let key = Key::new(b"secret");
/// let proof = Digest::Sha256.prove(&key, b"a challenge");
/// assert!(Digest::Sha256.is_proved(&key, b"a challenge", &proof));
/// assert!(!Digest::Sha256.is_proved(&Key::new(b"guess"), b"a challenge", &proof));
/// assert_eq!(Digest::of_name(b"sha256")?, Digest::Sha256);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// What interpreters up to 3.11 know; later ones use it only with them.
    Md5,
    /// What is used if both sides can choose.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA3-256.
    Sha3256,
    /// SHA3-384.
    Sha3384,
}

/// There is no digest of that name.
///
/// ```
/// use phalanx::connection::Digest;
///
/// let error = Digest::of_name(b"crc32").unwrap_err();
/// assert_eq!(error.0, "crc32");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedDigest(pub String);

impl fmt::Display for UnsupportedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unsupported digest {:?}: use one of ", self.0)?;
        let names: Vec<_> = Digest::ALL.iter().map(|digest| digest.name()).collect();
        f.write_str(&names.join(", "))
    }
}

impl std::error::Error for UnsupportedDigest {}

impl Digest {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Md5, Self::Sha256, Self::Sha384, Self::Sha3256, Self::Sha3384];

    /// The name by which messages call the digest.
    ///
    /// ```
    /// use phalanx::connection::Digest;
    ///
    /// assert_eq!(Digest::Sha3256.name(), "sha3_256");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha3256 => "sha3_256",
            Self::Sha3384 => "sha3_384",
        }
    }

    /// The digest of a name.
    ///
    /// # Errors
    /// [`UnsupportedDigest`].
    ///
    /// ```
    /// use phalanx::connection::Digest;
    ///
    /// assert_eq!(Digest::of_name(b"md5")?, Digest::Md5);
    /// assert!(Digest::of_name(b"crc32").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_name(name: &[u8]) -> Result<Self, UnsupportedDigest> {
        let found = Self::ALL.into_iter().find(|digest| digest.name().as_bytes() == name);
        found.ok_or_else(|| UnsupportedDigest(String::from_utf8_lossy(name).into_owned()))
    }

    /// The proof for a message.
    ///
    /// ```
    /// use phalanx::connection::{Digest, Key};
    ///
    /// let key = Key::new(b"secret");
    /// assert_eq!(Digest::Sha384.prove(&key, b"a challenge").len(), 48);
    /// ```
    #[must_use]
    pub fn prove(self, key: &Key, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => made::<Hmac<md5::Md5>>(key, message),
            Self::Sha256 => made::<Hmac<sha2::Sha256>>(key, message),
            Self::Sha384 => made::<Hmac<sha2::Sha384>>(key, message),
            Self::Sha3256 => made::<SimpleHmac<sha3::Sha3_256>>(key, message),
            Self::Sha3384 => made::<SimpleHmac<sha3::Sha3_384>>(key, message),
        }
    }

    /// Whether that is the proof for a message; takes as long for wrong ones as for right ones.
    ///
    /// ```
    /// use phalanx::connection::{Digest, Key};
    ///
    /// let key = Key::new(b"secret");
    /// let proof = Digest::Sha256.prove(&key, b"a challenge");
    /// assert!(Digest::Sha256.is_proved(&key, b"a challenge", &proof));
    /// assert!(!Digest::Sha256.is_proved(&key, b"another one", &proof));
    /// ```
    #[must_use]
    pub fn is_proved(self, key: &Key, message: &[u8], proof: &[u8]) -> bool {
        match self {
            Self::Md5 => is_right::<Hmac<md5::Md5>>(key, message, proof),
            Self::Sha256 => is_right::<Hmac<sha2::Sha256>>(key, message, proof),
            Self::Sha384 => is_right::<Hmac<sha2::Sha384>>(key, message, proof),
            Self::Sha3256 => is_right::<SimpleHmac<sha3::Sha3_256>>(key, message, proof),
            Self::Sha3384 => is_right::<SimpleHmac<sha3::Sha3_384>>(key, message, proof),
        }
    }
}

fn made<M: Mac + KeyInit>(key: &Key, message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key.bytes()) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn is_right<M: Mac + KeyInit>(key: &Key, message: &[u8], proof: &[u8]) -> bool {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key.bytes()) else { return false };
    mac.update(message);
    mac.verify_slice(proof).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn proofs_are_those_of_the_standards() {
        // RFC 2202 and RFC 4231, test case 2.
        let (key, message) = (Key::new(b"Jefe"), b"what do ya want for nothing?");
        assert_eq!(hex(&Digest::Md5.prove(&key, message)), "750c783e6ab0b503eaa86e310a5db738");
        assert_eq!(
            hex(&Digest::Sha256.prove(&key, message)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        for digest in Digest::ALL {
            let proof = digest.prove(&key, message);
            assert!(digest.is_proved(&key, message, &proof));
            assert!(!digest.is_proved(&Key::new(b"jefe"), message, &proof));
            assert!(!digest.is_proved(&key, b"what?", &proof));
            assert!(!digest.is_proved(&key, message, &proof[1..]));
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", Key::new(b"secret")), "Key(..)");
    }
}
