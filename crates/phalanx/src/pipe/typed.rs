//! Pipes of typed values.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::patience::Patience;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::operations::{receives, sends};
use super::port::Port;
use super::{End, duplex};
use crate::error::{CreateError, DecodeError, RecvError, SendError};
use crate::wire::{Codec, Postcard};

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
///
/// ```
/// // Questions one way, answers the other.
/// let (client, server) = phalanx::pipe::pair::<String, usize>()?;
/// client.send("how long is this?".to_owned())?;
/// server.send(server.recv()?.len())?;
/// assert_eq!(client.recv()?, 17);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub fn pair<A, B>() -> Result<Ends<A, B>, CreateError> {
    let (a, b) = duplex()?;
    Ok((PipeEnd(Port::new(a), PhantomData), PipeEnd(Port::new(b), PhantomData)))
}

/// Both ends of a [`pair`].
///
/// ```
/// let ends: phalanx::pipe::Ends<u64, String> = phalanx::pipe::pair()?;
/// ends.1.send("from the second".to_owned())?;
/// assert_eq!(ends.0.recv()?, "from the second");
/// # Ok::<(), phalanx::Error>(())
/// ```
pub type Ends<A, B> = (PipeEnd<A, B>, PipeEnd<B, A>);

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
///
/// ```
/// use phalanx::prelude::*;
///
/// let (here, there) = pipe::<u64>()?;
/// here.send(1)?;
/// there.send(2)?;
/// assert_eq!((there.recv()?, here.recv()?), (1, 2));
/// drop(there);
/// assert!(matches!(here.recv(), Err(RecvError::Disconnected)));
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct PipeEnd<S, R = S, C = Postcard>(Port, PhantomData<Format<S, R, C>>);

type Format<S, R, C> = fn() -> (S, R, C);

impl<S, R, C: Codec<S>> PipeEnd<S, R, C> {
    sends!(S);
}

impl<S, R, C: Codec<R>> PipeEnd<S, R, C> {
    receives!(R);
}

impl<S, R> PipeEnd<S, R> {
    /// The same end with messages of another format, which the other end has to have too.
    ///
    /// ```
    /// use phalanx::plain::PlainFormat;
    ///
    /// let (here, there) = phalanx::pipe::<(u64, String)>()?;
    /// let (here, there) = (here.with_codec::<PlainFormat>(), there.with_codec::<PlainFormat>());
    /// here.send((7, "seven".to_owned()))?;
    /// assert_eq!(there.recv()?, (7, "seven".to_owned()));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
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
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (here, there) = pipe::<u64>()?;
    /// let child = Process::fork(|| {
    ///     here.close(); // the child's copy, or it would wait for itself
    ///     there.iter().flatten().sum::<u64>()
    /// })?;
    /// (1..=4).try_for_each(|n| here.send(n))?;
    /// drop(here);
    /// assert_eq!(child.join()?, 10);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn close(&self) {
        self.0.close();
    }

    /// The messages' end of the pipe, for [`wait_any`](crate::wait::wait_any) and the like.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::wait::wait_any;
    ///
    /// let ((_here, there), queue) = (pipe::<u64>()?, Queue::<u64>::unbounded()?);
    /// queue.put(7)?;
    /// let ready = wait_any(&[there.raw().into(), queue.raw().into()], &Patience::forever())?;
    /// assert_eq!(ready, [false, true]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
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
///
/// ```
/// # use phalanx::prelude::*;
/// let (here, there) = pipe::<u64>()?;
/// (0..3).try_for_each(|n| here.send(n))?;
/// drop(here);
/// assert_eq!(there.iter().flatten().sum::<u64>(), 3);
/// # Ok::<(), phalanx::Error>(())
/// ```
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
