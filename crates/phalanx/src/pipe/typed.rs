//! Pipes of typed values.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_os::release::release;
use phalanx_shm::family::Family;
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::SlotId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::{End, EndParts, SendError as Refused, duplex, one_way};
use crate::error::{CreateError, DecodeError, RecvError, SendError};
use crate::process::passing::{self, TICKET};
use crate::wire::error::because;
use crate::wire::transfer::{NotSent, receive, send};
use crate::wire::{Codec, Postcard};

/// Between so many messages to a receiver that keeps up, a sender asks whether it is still there.
const ASK_EVERY: u32 = 32;

/// A pipe whose ends both send and receive values of type `T`.
///
/// # Errors
/// [`CreateError`] when shared memory or sockets cannot be had.
///
/// ```
/// use phalanx::prelude::*;
/// use phalanx::process::fork;
///
/// let (here, there) = pipe::<String>()?;
/// let child = fork::run(|| {
///     here.close();
///     while let Ok(name) = there.recv() {
///         there.send(format!("hello, {name}")).expect("somebody listens");
///     }
///     0
/// })?;
/// there.close();
/// here.send("phalanx".to_owned())?;
/// assert_eq!(here.recv()?, "hello, phalanx");
/// drop(here);
/// child.wait(Patience::forever()).expect("it has seen the end");
/// # Ok::<(), phalanx::Error>(())
/// ```
pub fn pipe<T>() -> Result<(PipeEnd<T>, PipeEnd<T>), CreateError> {
    pair::<T, T>()
}

/// A pipe with another type each way: the first end sends `A` and receives `B`, the second the opposite.
///
/// # Errors
/// [`CreateError`] when shared memory or sockets cannot be had.
pub fn pair<A, B>() -> Result<Ends<A, B>, CreateError> {
    let (a, b) = duplex()?;
    Ok((PipeEnd(Port::new(a), PhantomData), PipeEnd(Port::new(b), PhantomData)))
}

/// Both ends of a [`pair`].
pub type Ends<A, B> = (PipeEnd<A, B>, PipeEnd<B, A>);

/// An end with what its handles in this process have in common.
pub(crate) struct Port(Arc<Shared>);

struct Shared {
    end: End,
    sent: AtomicU32,
    closed: AtomicBool,
}

/// The two ports of a one-way pipe: the one that receives first.
pub(crate) fn port() -> Result<(Port, Port), CreateError> {
    let (receiver, sender) = one_way()?;
    Ok((Port::new(receiver), Port::new(sender)))
}

impl Clone for Port {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Port {
    fn new(end: End) -> Self {
        let (sent, closed) = (AtomicU32::new(0), AtomicBool::new(false));
        Self(Arc::new(Shared { end, sent, closed }))
    }

    pub(crate) fn end(&self) -> &End {
        &self.0.end
    }

    pub(crate) fn close(&self) {
        if !self.0.closed.swap(true, Ordering::AcqRel) {
            // If that fails it is closed when the last handle is dropped.
            let _ = release(self.0.end.socket());
        }
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn send<T, C: Codec<T>>(
        &self,
        value: T,
        patience: &Patience<'_>,
    ) -> Result<(), SendError<T>> {
        let (end, Some(family)) = (&self.0.end, self.0.end.family()) else {
            return Err(SendError::Disconnected(value));
        };
        let sent = send::<T, C, _>(family, value, |message| {
            if self.is_closed() {
                return Err(Refused::Broken);
            }
            match self.0.sent.fetch_add(1, Ordering::Relaxed) % ASK_EVERY {
                0 => end.send(message, patience),
                _ => end.send_unasked(message, patience),
            }
        });
        sent.map_err(|(value, why): (T, NotSent<Refused>)| (value, why).into())
    }

    #[inline]
    pub(crate) fn recv<T, C: Codec<T>>(&self, patience: &Patience<'_>) -> Result<T, RecvError> {
        let received = receive::<T, C, _>(|frame| match self.is_closed() {
            true => Err(super::RecvError::EndOfFile),
            false => self.0.end.recv(frame, patience).map(Some),
        });
        received?.ok_or(RecvError::Empty)
    }

    #[inline]
    pub(crate) fn try_recv<T, C: Codec<T>>(&self) -> Result<Option<T>, RecvError> {
        match self.recv::<T, C>(&Patience::none()) {
            Ok(value) => Ok(Some(value)),
            Err(RecvError::Empty) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn offsets(&self) -> Offsets {
        let EndParts { incoming, outgoing } = self.0.end.parts();
        Offsets { incoming, outgoing }
    }

    /// Leaves the end at this process's desk for whoever decodes the ticket.
    fn deposit(&self) -> std::io::Result<[u8; TICKET]> {
        if self.is_closed() {
            return Err(std::io::Error::other("this process has closed its end"));
        }
        // Stays open here until it has been collected there.
        let kept = self.clone();
        let granted = move |slot: SlotId| kept.0.end.hold_for(slot);
        passing::deposit(self.0.end.socket().try_clone_to_owned()?, granted)
    }
}

#[derive(Serialize, Deserialize)]
struct Offsets {
    incoming: Option<[u64; 2]>,
    outgoing: Option<[u64; 2]>,
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ticket = self.deposit().map_err(|e| {
            let text = format!("an end of a pipe cannot be passed on: {e}");
            because(text.clone());
            ser::Error::custom(text)
        })?;
        (self.offsets(), ticket.as_slice()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (at, ticket) = <(Offsets, Vec<u8>)>::deserialize(deserializer)?;
        let collected = (|| {
            let ticket: &[u8; TICKET] =
                ticket.as_slice().try_into().map_err(|_| "no ticket".to_owned())?;
            let socket: OwnedFd = passing::collect(ticket, Patience::timeout(Some(COLLECTING)))
                .map_err(|e| format!("an end of a pipe did not arrive: {e:?}"))?;
            let family = Family::get().map_err(|e| e.to_string())?;
            let parts = EndParts { incoming: at.incoming, outgoing: at.outgoing };
            End::from_parts(family, parts, socket).map_err(|e| e.to_string())
        })();
        collected.map(Self::new).map_err(|text| {
            because(text.clone());
            de::Error::custom(text)
        })
    }
}

/// How long the sender of an end may take to hand it out.
const COLLECTING: Duration = Duration::from_secs(10);

/// An end of a [`pipe`]: sends values of type `S` and receives values of type `R`.
///
/// Belongs to a process as its copy of an open file does: a forked child has copies of all its parent's
/// ends, and should [`close`](PipeEnd::close) those that it does not use, since the other side sees the
/// end only when every process has closed this one or ended. An end can also be sent: as an argument of a
/// process's start, or inside a message. Until it has arrived, the process that sent it keeps it open.
///
/// | a process dies | what the other side sees |
/// |---|---|
/// | sending | the value as a whole, or not at all |
/// | having the last copy of an end | what it sent, then [`RecvError::Disconnected`]; sends fail with [`SendError::Disconnected`] |
///
/// A receiver that ends is noticed after at most 32 further messages; what was sent to it is lost.
pub struct PipeEnd<S, R = S, C = Postcard>(Port, PhantomData<Format<S, R, C>>);

type Format<S, R, C> = fn() -> (S, R, C);

/// Generates what all that send have.
macro_rules! sends {
    ($type:ident) => {
        /// Sends a value, waiting while the receiver does not keep up: with more than 16384 messages or 4
        /// MiB on their way.
        ///
        /// # Errors
        /// [`SendError`], with the value, of which nothing has been sent.
        #[inline]
        pub fn send(&self, value: $type) -> Result<(), SendError<$type>> {
            self.send_with(value, &Patience::forever())
        }

        /// Sends a value if there is room now.
        ///
        /// # Errors
        /// [`SendError::Full`], or as for `send`.
        #[inline]
        pub fn try_send(&self, value: $type) -> Result<(), SendError<$type>> {
            self.send_with(value, &Patience::none())
        }

        /// Sends a value, waiting for room but not longer than `timeout`.
        ///
        /// # Errors
        /// [`SendError::Full`], or as for `send`.
        pub fn send_timeout(
            &self,
            value: $type,
            timeout: Duration,
        ) -> Result<(), SendError<$type>> {
            self.send_with(value, &Patience::timeout(Some(timeout)))
        }

        /// Sends a value, waiting for room but not beyond `deadline`.
        ///
        /// # Errors
        /// [`SendError::Full`], or as for `send`.
        pub fn send_deadline(
            &self,
            value: $type,
            deadline: Deadline,
        ) -> Result<(), SendError<$type>> {
            self.send_with(value, &Patience::until(Some(deadline)))
        }

        /// Sends a value, waiting for room as long as `patience` allows.
        ///
        /// # Errors
        /// [`SendError::Full`], [`SendError::Interrupted`], or as for `send`.
        #[inline]
        pub fn send_with(
            &self,
            value: $type,
            patience: &Patience<'_>,
        ) -> Result<(), SendError<$type>> {
            self.0.send::<$type, C>(value, patience)
        }
    };
}
pub(crate) use sends;

/// Generates what all that receive have.
macro_rules! receives {
    ($type:ident) => {
        /// Receives the oldest value, waiting for one.
        ///
        /// # Errors
        /// [`RecvError::Disconnected`] when all has been received and the other side is closed;
        /// [`RecvError::Decode`], with the bytes, when the message was sent as another type.
        #[inline]
        pub fn recv(&self) -> Result<$type, RecvError> {
            self.recv_with(&Patience::forever())
        }

        /// Receives the oldest value if there is one.
        ///
        /// # Errors
        /// As for `recv`.
        #[inline]
        pub fn try_recv(&self) -> Result<Option<$type>, RecvError> {
            self.0.try_recv::<$type, C>()
        }

        /// Receives the oldest value, waiting for one but not longer than `timeout`.
        ///
        /// # Errors
        /// [`RecvError::Empty`], or as for `recv`.
        pub fn recv_timeout(&self, timeout: Duration) -> Result<$type, RecvError> {
            self.recv_with(&Patience::timeout(Some(timeout)))
        }

        /// Receives the oldest value, waiting for one but not beyond `deadline`.
        ///
        /// # Errors
        /// [`RecvError::Empty`], or as for `recv`.
        pub fn recv_deadline(&self, deadline: Deadline) -> Result<$type, RecvError> {
            self.recv_with(&Patience::until(Some(deadline)))
        }

        /// Receives the oldest value, waiting for one as long as `patience` allows.
        ///
        /// # Errors
        /// [`RecvError::Empty`], [`RecvError::Interrupted`], or as for `recv`.
        #[inline]
        pub fn recv_with(&self, patience: &Patience<'_>) -> Result<$type, RecvError> {
            self.0.recv::<$type, C>(patience)
        }

        /// An iterator that waits for each value and ends when the other side is closed.
        pub const fn iter(&self) -> Messages<'_, $type, C> {
            Messages::new(&self.0)
        }

        /// A descriptor of this process that is readable while there is a message or the other side is
        /// closed, for `select` and the like; open as long as the result lives.
        ///
        /// # Errors
        /// When the kernel refuses the descriptors that it is made of.
        pub fn doorbell(&self) -> std::io::Result<crate::wait::Doorbell> {
            self.0.end().doorbell().map(crate::wait::Doorbell::new)
        }
    };
}
pub(crate) use receives;

impl<S, R, C: Codec<S>> PipeEnd<S, R, C> {
    sends!(S);
}

impl<S, R, C: Codec<R>> PipeEnd<S, R, C> {
    receives!(R);
}

impl<S, R> PipeEnd<S, R> {
    /// The same end with messages of another format, which the other end has to have too.
    #[must_use]
    pub fn with_codec<C>(self) -> PipeEnd<S, R, C> {
        PipeEnd(self.0, PhantomData)
    }
}

impl<S, R, C> PipeEnd<S, R, C> {
    /// Closes this process's copy of the end, which other processes may have too. Whatever is tried with
    /// it afterwards fails as if the other side were closed.
    ///
    /// Dropping it does the same; this is for a forked child, which has copies also of what belongs to its
    /// parent.
    pub fn close(&self) {
        self.0.close();
    }

    /// The messages' end of the pipe, for [`wait_any`](crate::wait::wait_any) and the like.
    #[must_use]
    pub fn raw(&self) -> &End {
        self.0.end()
    }
}

impl<S, R, C> fmt::Debug for PipeEnd<S, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeEnd").field(self.raw()).finish()
    }
}

impl<S, R, C> Serialize for PipeEnd<S, R, C> {
    /// Leaves a copy of the end for whoever decodes the message; this process keeps it open until then.
    ///
    /// # Errors
    /// When the kernel refuses a descriptor or the thread that hands it out.
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, S, R, C> Deserialize<'de> for PipeEnd<S, R, C> {
    /// Fetches the copy from the process that sent it.
    ///
    /// # Errors
    /// When that has ended, or somebody has fetched it before.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Port::deserialize(deserializer).map(|port| Self(port, PhantomData))
    }
}

/// Receives values until the other side is closed; see [`PipeEnd::iter`]. An item is an error if its
/// message was sent as another type.
pub struct Messages<'a, T, C = Postcard> {
    port: &'a Port,
    format: PhantomData<fn() -> (T, C)>,
}

impl<'a, T, C> Messages<'a, T, C> {
    pub(crate) const fn new(port: &'a Port) -> Self {
        Self { port, format: PhantomData }
    }
}

impl<T, C: Codec<T>> Iterator for Messages<'_, T, C> {
    type Item = Result<T, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.port.recv::<T, C>(&Patience::forever()) {
            Ok(value) => Some(Ok(value)),
            Err(RecvError::Decode(e)) => Some(Err(e)),
            Err(_) => None,
        }
    }
}

impl<T, C> fmt::Debug for Messages<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages").field(self.port.end()).finish()
    }
}
