//! The mutual challenge, without any input or output of its own.
//!
//! ```text
//!   listener                                   client
//!   #CHALLENGE#{sha256}random  ------------>
//!                              <------------   {sha256}proof
//!   #WELCOME#                  ------------>
//!                              <------------   #CHALLENGE#{sha256}random
//!   {sha256}proof              ------------>
//!                              <------------   #WELCOME#
//! ```
//!
//! Interpreters up to 3.11 name no digest and mean MD5: they send 20 random bytes as a challenge,
//! and answer any with the bare 16 bytes of the proof. What they answer is the whole
//! challenge, the name of a digest in it included, so they understand ours.
//!
//! Challenges are used once, so a recorded proof is of no use to who replays it.

use super::digest::{Digest, Key};
use super::error::HandshakeError;

const CHALLENGE: &[u8] = b"#CHALLENGE#";
const WELCOME: &[u8] = b"#WELCOME#";
const FAILURE: &[u8] = b"#FAILURE#";
/// Random bytes of a challenge; must be more than those of the old ones.
const RANDOM: usize = 40;
const OLD_RANDOM: usize = 20;
const MD5_LEN: usize = 16;

/// No message of a handshake is longer than that.
pub const MESSAGE_MAX: u64 = 256;

/// What a message of a handshake leads to.
///
/// ```
/// use phalanx::connection::{Handshake, Key};
///
/// let (_, first) = Handshake::listener(Key::new(b"secret"))?;
/// let progress = Handshake::client(Key::new(b"secret")).receive(&first)?;
/// assert!(progress.reply.len() == 1 && !progress.done);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is to be sent, one message after the other.
    pub reply: Vec<Vec<u8>>,
    /// Whether each side believes the other once that has been sent.
    pub done: bool,
}

enum Stage {
    /// Our challenge is with the other side.
    Answer(Vec<u8>),
    /// The other side's challenge is due.
    Challenge,
    /// Our answer is with the other side.
    Verdict,
}

/// One side's part in a handshake.
///
/// ```
/// use phalanx::connection::{Handshake, Key};
///
/// // Both sides, without a socket between them.
/// let (mut listener, first) = Handshake::listener(Key::new(b"secret"))?;
/// let mut client = Handshake::client(Key::new(b"secret"));
/// let (mut to_client, mut done) = (vec![first], false);
/// while let Some(message) = to_client.pop() {
///     let progress = client.receive(&message)?;
///     done = progress.done;
///     for reply in progress.reply {
///         to_client.extend(listener.receive(&reply)?.reply);
///     }
/// }
/// assert!(done);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Handshake {
    key: Key,
    stage: Stage,
    is_listener: bool,
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").field("is_listener", &self.is_listener).finish_non_exhaustive()
    }
}

impl Handshake {
    /// The listener's part, and the message that begins it.
    ///
    /// # Errors
    /// When the kernel refuses randomness.
    ///
    /// ```
    /// use phalanx::connection::{Handshake, Key};
    ///
    /// let (_listener, first) = Handshake::listener(Key::new(b"secret"))?;
    /// assert!(first.starts_with(b"#CHALLENGE#{sha256}"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn listener(key: Key) -> std::io::Result<(Self, Vec<u8>)> {
        let (stage, message) = challenge_anew()?;
        Ok((Self { key, stage, is_listener: true }, message))
    }

    /// The part of who connects.
    ///
    /// ```
    /// use phalanx::connection::{Handshake, HandshakeError, Key};
    ///
    /// let mut client = Handshake::client(Key::new(b"secret"));
    /// // The listener speaks first, and that is no challenge:
    /// assert!(matches!(client.receive(b"hello"), Err(HandshakeError::Unexpected(_))));
    /// ```
    #[must_use]
    pub const fn client(key: Key) -> Self {
        Self { key, stage: Stage::Challenge, is_listener: false }
    }

    /// Takes the next message of the other side.
    ///
    /// # Errors
    /// [`HandshakeError`]: the connection is to be closed, after [`farewell`] was sent.
    ///
    /// ```
    /// use phalanx::connection::{Handshake, HandshakeError, Key};
    ///
    /// let (mut listener, first) = Handshake::listener(Key::new(b"secret"))?;
    /// let mut client = Handshake::client(Key::new(b"a guess"));
    /// let proof = client.receive(&first)?.reply.remove(0);
    /// assert!(matches!(listener.receive(&proof), Err(HandshakeError::WrongProof)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive(&mut self, message: &[u8]) -> Result<Progress, HandshakeError> {
        let mut reply = Vec::new();
        match &self.stage {
            Stage::Answer(challenge) => {
                verify(&self.key, challenge, message)?;
                reply.push(WELCOME.to_vec());
                self.stage = Stage::Challenge;
                Ok(Progress { reply, done: !self.is_listener })
            }
            Stage::Challenge => {
                let challenge = message.strip_prefix(CHALLENGE);
                let challenge =
                    challenge.ok_or(HandshakeError::Unexpected("a challenge was expected"))?;
                reply.push(answer(&self.key, challenge)?);
                self.stage = Stage::Verdict;
                Ok(Progress { reply, done: false })
            }
            Stage::Verdict => {
                if message != WELCOME {
                    return Err(HandshakeError::Rejected);
                }
                if !self.is_listener {
                    let (stage, message) = challenge_anew().map_err(|_| {
                        HandshakeError::Unexpected("there is no randomness for a challenge")
                    })?;
                    self.stage = stage;
                    reply.push(message);
                }
                Ok(Progress { reply, done: self.is_listener })
            }
        }
    }
}

/// What is to be sent to a side that is not believed, if anything.
///
/// ```
/// use phalanx::connection::{HandshakeError, farewell};
///
/// assert!(farewell(&HandshakeError::WrongProof).is_some());
/// assert_eq!(farewell(&HandshakeError::Rejected), None);
/// ```
#[must_use]
pub fn farewell(error: &HandshakeError) -> Option<&'static [u8]> {
    matches!(error, HandshakeError::WrongProof | HandshakeError::Unexpected(_)).then_some(FAILURE)
}

fn challenge_anew() -> std::io::Result<(Stage, Vec<u8>)> {
    let challenge = challenge(Digest::Sha256)?;
    let message = [CHALLENGE, &challenge].concat();
    Ok((Stage::Answer(challenge), message))
}

/// A new challenge that asks for a digest.
///
/// # Errors
/// When the kernel refuses randomness.
///
/// ```
/// use phalanx::connection::{Digest, Key, answer, challenge, verify};
///
/// let key = Key::new(b"secret");
/// let question = challenge(Digest::Sha256)?;
/// verify(&key, &question, &answer(&key, &question)?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn challenge(digest: Digest) -> std::io::Result<Vec<u8>> {
    let mut challenge = format!("{{{}}}", digest.name()).into_bytes();
    let at = challenge.len();
    challenge.resize(at + RANDOM, 0);
    phalanx_os::random::fill(&mut challenge[at..])?;
    Ok(challenge)
}

/// The digest that a challenge or an answer names, if any, and what follows.
fn split(message: &[u8]) -> Result<(Option<Digest>, &[u8]), HandshakeError> {
    if message.len() == OLD_RANDOM || message.len() == MD5_LEN {
        return Ok((None, message));
    }
    let named = message.strip_prefix(b"{").and_then(|rest| {
        let end = rest.iter().position(|&b| b == b'}')?;
        Some((&rest[..end], &rest[end + 1..]))
    });
    let (name, rest) =
        named.ok_or(HandshakeError::Unexpected("the name of a digest was expected"))?;
    Ok((Some(Digest::of_name(name)?), rest))
}

/// The answer to a challenge.
///
/// # Errors
/// [`HandshakeError`] if the challenge is none, or asks for an unknown digest.
///
/// ```
/// use phalanx::connection::{Digest, Key, answer, challenge};
///
/// let key = Key::new(b"secret");
/// assert!(answer(&key, &challenge(Digest::Sha256)?)?.starts_with(b"{sha256}"));
/// assert!(answer(&key, b"no challenge").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn answer(key: &Key, challenge: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    if challenge.len() < OLD_RANDOM {
        return Err(HandshakeError::Unexpected("the challenge is too short"));
    }
    // The proof is for the whole challenge: nobody on the way can ask for a weaker digest.
    Ok(match split(challenge)?.0 {
        None => Digest::Md5.prove(key, challenge),
        Some(digest) => {
            let mut answer = format!("{{{}}}", digest.name()).into_bytes();
            answer.extend_from_slice(&digest.prove(key, challenge));
            answer
        }
    })
}

/// Checks the answer to a challenge.
///
/// # Errors
/// [`HandshakeError`] if it is wrong.
///
/// ```
/// use phalanx::connection::{Digest, Key, challenge, verify};
///
/// let question = challenge(Digest::Sha256)?;
/// assert!(verify(&Key::new(b"secret"), &question, b"{sha256}no proof").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(key: &Key, challenge: &[u8], answer: &[u8]) -> Result<(), HandshakeError> {
    let (digest, proof) = split(answer)?;
    if digest.unwrap_or(Digest::Md5).is_proved(key, challenge, proof) {
        return Ok(());
    }
    Err(HandshakeError::WrongProof)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets both sides talk until they are done or one refuses.
    fn talk(listener_key: &Key, client_key: &Key) -> Result<(), HandshakeError> {
        let (mut listener, first) =
            Handshake::listener(listener_key.clone()).expect("there is randomness");
        let mut client = Handshake::client(client_key.clone());
        let (mut to_client, mut to_listener) = (vec![first], Vec::new());
        let (mut listener_done, mut client_done) = (false, false);
        while !(listener_done && client_done) {
            for message in std::mem::take(&mut to_client) {
                let progress = client.receive(&message)?;
                client_done = progress.done;
                to_listener.extend(progress.reply);
            }
            for message in std::mem::take(&mut to_listener) {
                assert!(message.len() as u64 <= MESSAGE_MAX);
                let progress = listener.receive(&message)?;
                listener_done = progress.done;
                to_client.extend(progress.reply);
            }
        }
        Ok(())
    }

    #[test]
    fn who_knows_the_key_is_believed_and_nobody_else() {
        let (key, other) = (Key::new(b"secret"), Key::new(b"Secret"));
        assert_eq!(talk(&key, &key), Ok(()));
        assert_eq!(talk(&key, &other), Err(HandshakeError::WrongProof));
        assert_eq!(talk(&key, &Key::new(b"")), Err(HandshakeError::WrongProof));
        assert_eq!(talk(&Key::new(b""), &Key::new(b"")), Ok(()));
    }

    #[test]
    fn an_old_side_is_understood() {
        let key = Key::new(b"secret");
        // It answers any challenge with a bare proof by MD5.
        let new = challenge(Digest::Sha256).expect("there is randomness");
        assert_eq!(verify(&key, &new, &Digest::Md5.prove(&key, &new)), Ok(()));
        // It wants just that for its own.
        let old = [7; OLD_RANDOM];
        assert_eq!(answer(&key, &old), Ok(Digest::Md5.prove(&key, &old)));
    }

    #[test]
    fn a_recorded_answer_is_of_no_use() {
        let key = Key::new(b"secret");
        let recorded = challenge(Digest::Sha256).expect("there is randomness");
        let recorded = answer(&key, &recorded).expect("it is a challenge");
        let (mut listener, _) = Handshake::listener(key).expect("there is randomness");
        assert_eq!(listener.receive(&recorded), Err(HandshakeError::WrongProof));
    }

    #[test]
    fn nonsense_is_refused() {
        let key = Key::new(b"secret");
        for nonsense in [&b""[..], b"{", b"{}", b"{sha1}0123456789", b"{md5", &[0; 256], WELCOME] {
            let (mut listener, _) = Handshake::listener(key.clone()).expect("there is randomness");
            assert!(listener.receive(nonsense).is_err(), "{nonsense:?}");
            assert!(Handshake::client(key.clone()).receive(nonsense).is_err(), "{nonsense:?}");
        }
        let mut client = Handshake::client(key);
        assert!(client.receive(b"#CHALLENGE#short").is_err());
    }
}
