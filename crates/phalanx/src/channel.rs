//! Channels: values from all who have a [`Sender`] to one who has a [`Receiver`], until either side is
//! gone.
//!
//! A [`Queue`](crate::Queue) has no sides and no end; a channel ends when the last process with a sender
//! has dropped it or died, so that its receiver needs neither a count nor a mark for the end. Several may
//! receive: each value goes to one of them.
//!
//! ```
//! use phalanx::prelude::*;
//! use phalanx::process::fork;
//!
//! let (sender, receiver) = channel::<u64>()?;
//! let workers: Vec<_> = (0..2)
//!     .map(|worker| fork::run(|| {
//!         (0..100).for_each(|n| sender.send(worker * 100 + n).expect("somebody listens"));
//!         0
//!     }))
//!     .collect::<Result<_, _>>()?;
//! drop(sender);
//! let sum: u64 = receiver.iter().flatten().sum();
//! assert_eq!(sum, (0..200).sum());
//! # drop(workers);
//! # Ok::<(), phalanx::Error>(())
//! ```
//!
//! A forked child has copies of both sides. One that receives closes its copy of the sender
//! ([`Sender::close`]) if it is to see the end. A child that is started in another way has what it is
//! given.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::patience::Patience;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{CreateError, RecvError, SendError};
use crate::pipe::{End, Messages, Port, port, receives, sends};
use crate::wire::{Codec, DecodeError, Postcard};

/// A channel for values of type `T`.
///
/// # Errors
/// [`CreateError`] when shared memory or sockets cannot be had.
///
/// ```
/// use phalanx::prelude::*;
///
/// let (sender, receiver) = channel::<String>()?;
/// let worker = Process::fork(|| sender.send("done".to_owned()).is_ok())?;
/// drop(sender);
/// assert_eq!(receiver.recv()?, "done");
/// assert!(worker.join()?);
/// // Nobody is left who could send.
/// assert!(matches!(receiver.recv(), Err(RecvError::Disconnected)));
/// # Ok::<(), phalanx::Error>(())
/// ```
pub fn channel<T>() -> Result<(Sender<T>, Receiver<T>), CreateError> {
    let (receiver, sender) = port()?;
    Ok((Sender(sender, PhantomData), Receiver(receiver, PhantomData)))
}

/// The side of a channel that sends. Clones are copies of it.
///
/// A process that is killed while it sends has sent the value as a whole, or not at all. That all
/// receivers have gone is noticed after at most 32 further values, which are lost then.
///
/// ```
/// use phalanx::prelude::*;
///
/// let (sender, receiver) = channel::<u64>()?;
/// let other = sender.clone();
/// sender.send(1)?;
/// other.send(2)?;
/// drop((sender, other));
/// let all: Result<Vec<u64>, _> = receiver.iter().collect();
/// assert_eq!(all.expect("numbers"), [1, 2]);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Sender<T, C = Postcard>(Port, PhantomData<fn() -> (T, C)>);

/// The side of a channel that receives. Clones are copies of it: each value goes to one of them.
///
/// A process that is killed while it receives has the value, or has left it for the others.
///
/// ```
/// use phalanx::prelude::*;
///
/// let (sender, receiver) = channel::<u64>()?;
/// assert_eq!(receiver.try_recv()?, None);
/// sender.send(7)?;
/// assert_eq!(receiver.try_recv()?, Some(7));
/// // A descriptor for an event loop, readable when there is something or the other side is gone:
/// let bell = receiver.doorbell()?;
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Receiver<T, C = Postcard>(Port, PhantomData<fn() -> (T, C)>);

impl<T, C: Codec<T>> Sender<T, C> {
    sends!(T);
}

impl<T, C: Codec<T>> Receiver<T, C> {
    receives!(T);
}

impl<'a, T, C: Codec<T>> IntoIterator for &'a Receiver<T, C> {
    type Item = Result<T, DecodeError>;
    type IntoIter = Messages<'a, T, C>;

    fn into_iter(self) -> Messages<'a, T, C> {
        self.iter()
    }
}

/// What both sides have in common.
macro_rules! side {
    ($side:ident) => {
        impl<T> $side<T> {
            /// The same side with messages of another format, which the other side has to have too.
            ///
            /// ```
            /// use phalanx::plain::PlainFormat;
            ///
            /// let (sender, receiver) = phalanx::channel::<(u64, String)>()?;
            /// let (sender, receiver) =
            ///     (sender.with_codec::<PlainFormat>(), receiver.with_codec::<PlainFormat>());
            /// sender.send((7, "seven".to_owned()))?;
            /// assert_eq!(receiver.recv()?, (7, "seven".to_owned()));
            /// # Ok::<(), phalanx::Error>(())
            /// ```
            #[must_use]
            pub fn with_codec<C>(self) -> $side<T, C> {
                $side(self.0, PhantomData)
            }
        }

        impl<T, C> $side<T, C> {
            /// Closes this process's copies of the side, which other processes may have too. Whatever is
            /// tried with them afterwards fails as if the other side were closed.
            ///
            /// Dropping all of them does the same; this is for a forked child, which has copies also of
            /// what belongs to its parent.
            ///
            /// ```
            /// use phalanx::prelude::*;
            ///
            /// let (sender, receiver) = channel::<u64>()?;
            /// let reader = Process::fork(|| {
            ///     sender.close(); // or it would wait for itself
            ///     receiver.iter().flatten().sum::<u64>()
            /// })?;
            /// (1..=4).try_for_each(|n| sender.send(n))?;
            /// drop(sender);
            /// assert_eq!(reader.join()?, 10);
            /// # Ok::<(), phalanx::Error>(())
            /// ```
            pub fn close(&self) {
                self.0.close();
            }

            /// The messages' end of the channel, for [`wait_any`](crate::wait::wait_any) and the like.
            ///
            /// ```
            /// use phalanx::prelude::*;
            /// use phalanx::wait::wait_any;
            ///
            /// let ((one, first), (_other, second)) = (channel::<u64>()?, channel::<String>()?);
            /// one.send(7)?;
            /// let ready = wait_any(&[first.raw().into(), second.raw().into()], &Patience::forever())?;
            /// assert_eq!(ready, [true, false]);
            /// assert!(one.raw().is_writable() && !one.raw().is_readable(), "the sender's is the other end");
            /// # Ok::<(), phalanx::Error>(())
            /// ```
            #[must_use]
            pub fn raw(&self) -> &End {
                self.0.end()
            }
        }

        impl<T, C> Clone for $side<T, C> {
            fn clone(&self) -> Self {
                Self(self.0.clone(), PhantomData)
            }
        }

        impl<T, C> fmt::Debug for $side<T, C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($side)).field(self.raw()).finish()
            }
        }

        impl<T, C> Serialize for $side<T, C> {
            /// Leaves a copy for whoever decodes the message; this process keeps it open until then.
            ///
            /// # Errors
            /// When the kernel refuses a descriptor or the thread that hands it out.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de, T, C> Deserialize<'de> for $side<T, C> {
            /// Fetches the copy from the process that sent it.
            ///
            /// # Errors
            /// When that has ended, or somebody has fetched it before.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Port::deserialize(deserializer).map(|port| Self(port, PhantomData))
            }
        }
    };
}
side!(Sender);
side!(Receiver);
