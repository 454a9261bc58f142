//! Connecting to a listener.

use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_os::net::{Address, Connecting};
use phalanx_shm::patience::{Patience, Slices};

use super::digest::Key;
use super::error::{ConnectError, HandshakeError};
use super::handshake::{Handshake, MESSAGE_MAX, farewell};
use super::listener::Peers;
use super::stream::{Stream, StreamError};
use crate::trace::span;

/// Connects to an address. Waits while the listener has too many others to accept.
///
/// # Errors
/// `ConnectionRefused` or `NotFound` (as [`ConnectError::Io`]) when nobody listens there;
/// [`ConnectError::GaveUp`].
///
/// ```
/// use phalanx::Patience;
/// use phalanx::connection::{Address, Listener, Stream, connect};
///
/// let name = Address::Abstract(format!("doc-connect-{}", std::process::id()).into_bytes());
/// let listener = Listener::bind(&name, 16)?;
/// let stream: Stream = connect(&name, &Patience::forever())?;
/// let guest = listener.accept(&Patience::forever())?;
/// guest.stream.send(b"welcome", &Patience::forever())?;
/// let mut message = Vec::new();
/// stream.recv(&mut message, Some(100), &Patience::forever())?;
/// assert_eq!(message, b"welcome");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn connect(address: &Address, patience: &Patience<'_>) -> Result<Stream, ConnectError> {
    let _span = span!("connect", address = address);
    let mut connecting = Connecting::to(address.clone())?;
    let mut slices = Slices::for_users();
    let mut until = Deadline::after(Duration::from_millis(1));
    while !connecting.go_on(until)? {
        patience.check().map_err(ConnectError::GaveUp)?;
        until = slices.next_deadline(patience);
    }
    Ok(Stream::new(connecting.into_socket()))
}

/// Proves to a listener that one knows the key, and has it prove the same.
///
/// The listener may be busy and let us wait for as long as our patience lasts.
///
/// # Errors
/// [`ConnectError::Handshake`] if one side does not believe the other; or the connection's failure.
///
/// ```
/// # use phalanx::Patience;
/// use phalanx::connection::{Address, ConnectError, Key, Listener, Peers, connect, introduce};
///
/// let name = Address::Abstract(format!("doc-introduce-{}", std::process::id()).into_bytes());
/// let listener = Listener::bind(&name, 16)?;
/// let client = std::thread::spawn(move || -> Result<(), ConnectError> {
///     let stream = connect(&name, &Patience::forever())?;
///     introduce(&stream, &Key::new(b"a guess"), Peers::OwnUser, &Patience::forever())
/// });
/// let known = listener.accept_known(&Key::new(b"secret"), Peers::OwnUser, &Patience::forever());
/// assert!(known.is_err());
/// assert!(matches!(client.join().expect("no panic"), Err(ConnectError::Handshake(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn introduce(
    stream: &Stream,
    key: &Key,
    peers: Peers,
    patience: &Patience<'_>,
) -> Result<(), ConnectError> {
    peers.check(stream.fd())?;
    let mut handshake = Handshake::client(key.clone());
    let mut message = Vec::new();
    loop {
        message.clear();
        stream.recv(&mut message, Some(MESSAGE_MAX), patience).map_err(|e| match e {
            StreamError::TooLong(_) => {
                ConnectError::Handshake(HandshakeError::Unexpected("a message is too long"))
            }
            other => other.into(),
        })?;
        let progress = handshake.receive(&message).inspect_err(|e| {
            if let Some(last_word) = farewell(e) {
                let _ = stream.send_some(last_word);
            }
        })?;
        for reply in &progress.reply {
            stream.send(reply, patience)?;
        }
        if progress.done {
            return Ok(());
        }
    }
}
