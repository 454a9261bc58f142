//! One end of a pipe.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use phalanx_os::poll::{self, Interest};
use phalanx_os::socket;
use phalanx_shm::family::Family;
use phalanx_shm::object::NotHeld;
use phalanx_shm::patience::{GaveUp, Patience, Slices};
use phalanx_shm::peers::SlotId;
use phalanx_shm::ring::Short;
use phalanx_shm::spin::Spin;

use super::error::{NewPipeError, RecvError, SendError};
use super::half::{Half, is_hung_up};
use super::watch::Place;
use crate::message::{Incoming, Outgoing};

static ARRIVAL: Spin = Spin::new();

/// One end of a pipe: sends, receives or both. Closed when dropped.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::message::Outgoing;
///
/// let (one, other) = phalanx::pipe::duplex()?;
/// one.send(&mut Some(Outgoing::Inline(b"a frame")), &Patience::forever())?;
/// let mut frame = Vec::new();
/// other.recv(&mut frame, &Patience::forever())?;
/// assert_eq!(frame, b"a frame");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct End {
    incoming: Option<Half>,
    outgoing: Option<Half>,
    socket: OwnedFd,
    watch: Place,
}

/// Where the parts of an end lie in shared memory: with a copy of its descriptor, all that another
/// process of the family needs to make the same end.
///
/// ```
/// let (one, _other) = phalanx::pipe::duplex()?;
/// let parts = one.parts();
/// assert!(parts.incoming.is_some() && parts.outgoing.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndParts {
    /// The incoming direction, if it has one.
    pub incoming: Option<[u64; 2]>,
    /// The outgoing direction, if it has one.
    pub outgoing: Option<[u64; 2]>,
}

/// A pipe both of whose ends send and receive.
///
/// # Errors
/// [`NewPipeError`].
///
/// ```
/// let (one, other) = phalanx::pipe::duplex()?;
/// assert!(one.is_readable() && one.is_writable() && other.is_readable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn duplex() -> Result<(End, End), NewPipeError> {
    let family = Family::get()?;
    let (one, other) = (Half::new(family)?, Half::new(family)?);
    let (a, b) = socket::seqpacket_pair()?;
    let here = End::new(Some(one.clone()), Some(other.clone()), a);
    Ok((here, End::new(Some(other), Some(one), b)))
}

/// A pipe whose first end receives and whose second end sends.
///
/// # Errors
/// [`NewPipeError`].
///
/// ```
/// let (receiver, sender) = phalanx::pipe::one_way()?;
/// assert!(receiver.is_readable() && !receiver.is_writable() && sender.is_writable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn one_way() -> Result<(End, End), NewPipeError> {
    let half = Half::new(Family::get()?)?;
    let (a, b) = socket::seqpacket_pair()?;
    Ok((End::new(Some(half.clone()), None, a), End::new(None, Some(half), b)))
}

impl End {
    fn new(incoming: Option<Half>, outgoing: Option<Half>, socket: OwnedFd) -> Self {
        Self { incoming, outgoing, socket, watch: Place::new() }
    }

    /// The end whose parts and descriptor another process passed to this one.
    ///
    /// # Errors
    /// [`NotHeld`] when this process was given no hold on the parts.
    #[doc(hidden)]
    pub fn from_parts(
        family: &'static Family,
        parts: EndParts,
        socket: OwnedFd,
    ) -> Result<Self, NotHeld> {
        let half = |at: Option<[u64; 2]>| at.map(|at| Half::from_offsets(family, at)).transpose();
        Ok(Self::new(half(parts.incoming)?, half(parts.outgoing)?, socket))
    }

    /// What [`End::from_parts`] needs beside a copy of the descriptor.
    #[doc(hidden)]
    #[must_use]
    pub fn parts(&self) -> EndParts {
        EndParts {
            incoming: self.incoming.as_ref().map(Half::offsets),
            outgoing: self.outgoing.as_ref().map(Half::offsets),
        }
    }

    /// Gives another process a hold on the parts, before they are sent to it.
    #[doc(hidden)]
    pub fn hold_for(&self, slot: SlotId) {
        for half in [&self.incoming, &self.outgoing].into_iter().flatten() {
            half.hold_for(slot);
        }
    }

    /// The family of processes that can share the end.
    ///
    /// ```
    /// use phalanx::message::Outgoing;
    ///
    /// let (one, _other) = phalanx::pipe::duplex()?;
    /// // Where the memory of a long message comes from:
    /// let family = one.family().ok_or("an end has a direction")?;
    /// assert!(matches!(Outgoing::new(family, &[7; 10_000])?, Outgoing::Parcel(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn family(&self) -> Option<&'static Family> {
        let half = self.incoming.as_ref().or(self.outgoing.as_ref());
        half.map(|half| half.ring.family())
    }

    /// Whether the end receives.
    ///
    /// ```
    /// let (receiver, sender) = phalanx::pipe::one_way()?;
    /// assert!(receiver.is_readable() && !sender.is_readable());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.incoming.is_some()
    }

    /// Whether the end sends.
    ///
    /// ```
    /// let (receiver, sender) = phalanx::pipe::one_way()?;
    /// assert!(sender.is_writable() && !receiver.is_writable());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Sends the message, waiting while the receiver does not keep up. On success `message` is
    /// `None` afterwards.
    ///
    /// # Errors
    /// [`SendError`]; the message is still the caller's, or gone if nobody will ever receive it
    /// ([`SendError::Broken`]).
    ///
    /// # Panics
    /// When `message` is `None`.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::message::Outgoing;
    /// use phalanx::pipe::{SendError, one_way};
    ///
    /// let (receiver, sender) = one_way()?;
    /// let mut message = Some(Outgoing::Inline(b"hello"));
    /// sender.send(&mut message, &Patience::forever())?;
    /// assert!(message.is_none(), "it has been sent");
    /// drop(receiver);
    /// let lost = sender.send(&mut Some(Outgoing::Inline(b"hello?")), &Patience::forever());
    /// assert_eq!(lost, Err(SendError::Broken));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send(
        &self,
        message: &mut Option<Outgoing<'_>>,
        patience: &Patience<'_>,
    ) -> Result<(), SendError> {
        let half = self.outgoing.as_ref().ok_or(SendError::ReceiveOnly)?;
        // A system call that ringing the bell, which is one too, makes needless.
        if !half.bell().would_ring() && is_hung_up(self.socket.as_fd()) {
            return Err(SendError::Broken);
        }
        half.send(self.socket.as_fd(), message, patience)
    }

    /// The same without asking first whether the other end is still there, which is a system call: that
    /// is noticed only where the sender has to wait, or to wake the receiver.
    pub(super) fn send_unasked(
        &self,
        message: &mut Option<Outgoing<'_>>,
        patience: &Patience<'_>,
    ) -> Result<(), SendError> {
        let half = self.outgoing.as_ref().ok_or(SendError::ReceiveOnly)?;
        half.send(self.socket.as_fd(), message, patience)
    }

    /// Sends a message that is nothing but a short frame, if that can be done at once; else `None`, which
    /// says nothing about why.
    #[inline]
    pub(super) fn send_at_once(&self, frame: &[u8]) -> Option<Result<(), SendError>> {
        self.outgoing.as_ref()?.send_at_once(self.socket.as_fd(), frame)
    }

    /// Receives the oldest message if it is a short one and that can be done at once; else `None`, which
    /// says nothing about why.
    #[inline]
    pub(super) fn recv_at_once(&self, frame: &mut Short) -> Option<usize> {
        let half = self.incoming.as_ref()?;
        let len = half.recv_at_once(frame)?;
        if !half.bell().is_at_rest() {
            self.tidy(half);
        }
        Some(len)
    }

    /// Receives the oldest message, waiting for one; the frame of a short one is appended to `frame`.
    ///
    /// # Errors
    /// [`RecvError`].
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::message::{Incoming, Outgoing};
    ///
    /// let (receiver, sender) = phalanx::pipe::one_way()?;
    /// sender.send(&mut Some(Outgoing::Inline(b"hello")), &Patience::forever())?;
    /// let mut frame = Vec::new();
    /// match receiver.recv(&mut frame, &Patience::forever())? {
    ///     Incoming::Inline => assert_eq!(frame, b"hello"),
    ///     Incoming::Parcel(long) => long.read_frame(&mut frame)?,
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv(
        &self,
        frame: &mut Vec<u8>,
        patience: &Patience<'_>,
    ) -> Result<Incoming, RecvError> {
        loop {
            if let Some(message) = self.try_recv(frame)? {
                return Ok(message);
            }
            if !self.wait_for_message(patience)? && self.half()?.is_empty() {
                return Err(RecvError::EndOfFile);
            }
        }
    }

    /// Receives the oldest message if there is one. Does not notice the end of file.
    ///
    /// # Errors
    /// [`RecvError::SendOnly`].
    ///
    /// ```
    /// let (receiver, sender) = phalanx::pipe::one_way()?;
    /// assert!(receiver.try_recv(&mut Vec::new())?.is_none());
    /// drop(sender);
    /// assert!(receiver.try_recv(&mut Vec::new())?.is_none(), "the end is for `recv` to notice");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_recv(&self, frame: &mut Vec<u8>) -> Result<Option<Incoming>, RecvError> {
        let half = self.half()?;
        let message = half.try_recv(frame);
        if !half.bell().is_at_rest() {
            self.tidy(half);
        }
        Ok(message)
    }

    fn half(&self) -> Result<&Half, RecvError> {
        self.incoming.as_ref().ok_or(RecvError::SendOnly)
    }

    /// Makes the descriptors tell the truth: readable exactly if there are messages.
    #[cold]
    fn tidy(&self, half: &Half) {
        let watch = self.watch.get();
        if half.is_empty() {
            half.bell().settle(self.socket.as_fd());
            if let Some(watch) = &watch {
                watch.silence();
            }
        }
        if let Some(watch) = watch
            && !half.is_empty()
        {
            watch.ring();
        }
    }

    /// Waits until there is a message, `true`, or the other end is closed, `false`.
    ///
    /// # Errors
    /// [`RecvError`], but not for the end of file.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::message::Outgoing;
    ///
    /// let (receiver, sender) = phalanx::pipe::one_way()?;
    /// sender.send(&mut Some(Outgoing::Inline(b"hello")), &Patience::forever())?;
    /// assert!(receiver.wait_for_message(&Patience::forever())?);
    /// receiver.try_recv(&mut Vec::new())?;
    /// drop(sender);
    /// assert!(!receiver.wait_for_message(&Patience::forever())?, "it is the end");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_message(&self, patience: &Patience<'_>) -> Result<bool, RecvError> {
        let half = self.half()?;
        let socket = self.socket.as_fd();
        let arrived = || (!half.is_empty()).then_some(());
        if arrived().is_some() {
            return Ok(true);
        }
        let at_once = patience.is_none();
        if !at_once && ARRIVAL.until_some(|| !half.is_still_empty(), || half.len()) {
            return Ok(true);
        }
        let mut slices = Slices::for_users();
        loop {
            let mut list = [Interest::read(socket)];
            let until = if at_once {
                patience.deadline()
            } else {
                half.bell().park();
                Some(slices.next_deadline(patience))
            };
            if arrived().is_some() {
                return Ok(true);
            }
            poll::wait(&mut list, until).map_err(|e| RecvError::Failed(e.kind()))?;
            if arrived().is_some() {
                return Ok(true);
            }
            if list[0].is_hung_up() {
                // What was sent before the end was closed is there by now.
                return Ok(!half.is_empty());
            }
            if list[0].is_ready() {
                self.hush();
            }
            patience.check()?;
        }
    }

    /// Whether a receive would not wait: there is a message, or the other end is closed.
    ///
    /// # Errors
    /// [`RecvError`].
    ///
    /// ```
    /// let (receiver, sender) = phalanx::pipe::one_way()?;
    /// assert!(!receiver.is_ready()?);
    /// drop(sender);
    /// assert!(receiver.is_ready()?, "who receives need not wait for the end");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_ready(&self) -> Result<bool, RecvError> {
        match self.wait_for_message(&Patience::none()) {
            Ok(_) => Ok(true),
            Err(RecvError::GaveUp(GaveUp::TimedOut)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Whether there is a message.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::message::Outgoing;
    ///
    /// let (receiver, sender) = phalanx::pipe::one_way()?;
    /// assert!(!receiver.has_message());
    /// sender.send(&mut Some(Outgoing::Inline(b"hello")), &Patience::forever())?;
    /// assert!(receiver.has_message());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn has_message(&self) -> bool {
        self.incoming.as_ref().is_some_and(|half| !half.is_empty())
    }

    /// Removes what makes the socket readable although there is no message.
    pub(crate) fn hush(&self) {
        if let Some(half) = &self.incoming {
            half.bell().settle_stray(self.socket.as_fd());
            self.tidy(half);
        }
    }

    /// Prepares for a sleep on [`End::socket`], which from then on becomes readable when a message
    /// comes. Returns whether there is one already.
    #[doc(hidden)]
    #[must_use]
    pub fn prepare_to_sleep(&self) -> bool {
        self.incoming.as_ref().is_some_and(|half| {
            half.bell().park();
            !half.is_empty()
        })
    }

    /// The socket, for waiting after [`End::prepare_to_sleep`] and for passing the end on. Reading or
    /// writing it is not for users.
    #[doc(hidden)]
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// A descriptor of this process for `select` and the like: readable while there is a message
    /// or the other end is closed. It is kept open as long as the result lives.
    ///
    /// # Errors
    /// When the kernel refuses the descriptors that it is made of.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// use phalanx::{Patience, process::wait_readable};
    ///
    /// let (receiver, sender) = phalanx::pipe::one_way()?;
    /// let bell = receiver.doorbell()?;
    /// assert!(wait_readable(bell.as_fd(), Patience::none()).is_err());
    /// drop(sender);
    /// wait_readable(bell.as_fd(), Patience::forever())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn doorbell(&self) -> io::Result<impl AsFd + Send + Sync + use<>> {
        let watch = self.watch.get_or_make(self.socket.as_fd())?;
        if let Some(half) = &self.incoming {
            half.bell().watch();
            self.tidy(half);
        }
        Ok(watch)
    }

    /// The number of the descriptor of [`End::doorbell`], which stays open as long as this end.
    ///
    /// # Errors
    /// As for [`End::doorbell`].
    ///
    /// ```
    /// let (receiver, _sender) = phalanx::pipe::one_way()?;
    /// let number = receiver.fileno()?; // for what takes numbers, as C libraries do
    /// assert!(number > 2);
    /// assert_eq!(receiver.fileno()?, number);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fileno(&self) -> io::Result<RawFd> {
        Ok(self.doorbell()?.as_fd().as_raw_fd())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(half) = &self.incoming {
            half.wake_senders();
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("socket", &self.socket).field("parts", &self.parts()).finish()
    }
}
