//! What all that send, or receive, have in common.

/// Generates what all that send have.
macro_rules! sends {
    ($type:ident) => {
        /// Sends a value, waiting while the receiver does not keep up: with more than 16384 messages or 4
        /// MiB on their way.
        ///
        /// # Errors
        /// [`SendError`], with the value, of which nothing has been sent.
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// let (sender, receiver) = channel::<u64>()?;
        /// sender.send(7)?;
        /// drop(receiver);
        /// while sender.send(8).is_ok() {} // soon noticed
        /// assert!(matches!(sender.send(9), Err(SendError::Disconnected(9))));
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn send(&self, value: $type) -> Result<(), SendError<$type>> {
            self.send_with(value, &Patience::forever())
        }

        /// Sends a value if there is room now.
        ///
        /// # Errors
        /// [`SendError::Full`], or as for `send`.
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// let (sender, receiver) = channel::<u64>()?;
        /// // Until nobody has taken any of them for some time:
        /// let sent = (0..).take_while(|n| sender.try_send(*n).is_ok()).count();
        /// assert!(sent >= 16_000);
        /// assert!(matches!(sender.try_send(5), Err(SendError::Full(5))));
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn try_send(&self, value: $type) -> Result<(), SendError<$type>> {
            self.send_with(value, &Patience::none())
        }

        /// Sends a value, waiting for room but not longer than `timeout`.
        ///
        /// # Errors
        /// [`SendError::Full`], or as for `send`.
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// use std::time::Duration;
        /// let (sender, receiver) = channel::<u64>()?;
        /// sender.send_timeout(7, Duration::from_millis(100))?;
        /// assert_eq!(receiver.recv()?, 7);
        /// # Ok::<(), phalanx::Error>(())
        /// ```
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
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// use std::time::{Duration, Instant};
        /// let (sender, receiver) = channel::<u64>()?;
        /// let deadline = Instant::now() + Duration::from_secs(1);
        /// for n in 0..3 {
        ///     sender.send_deadline(n, deadline)?; // all of them within the second
        /// }
        /// assert_eq!(receiver.recv()?, 0);
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        pub fn send_deadline(
            &self,
            value: $type,
            deadline: impl Into<Deadline>,
        ) -> Result<(), SendError<$type>> {
            self.send_with(value, &Patience::until(Some(deadline.into())))
        }

        /// Sends a value, waiting for room as long as `patience` allows.
        ///
        /// # Errors
        /// [`SendError::Full`], [`SendError::Interrupted`], or as for `send`.
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// let (sender, receiver) = channel::<u64>()?;
        /// sender.send_with(7, &Patience::forever())?;
        /// assert_eq!(receiver.recv_with(&Patience::forever())?, 7);
        /// # Ok::<(), phalanx::Error>(())
        /// ```
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
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// let (sender, receiver) = channel::<u64>()?;
        /// let child = Process::fork(|| sender.send(7).is_ok())?;
        /// drop(sender);
        /// assert_eq!(receiver.recv()?, 7);
        /// assert!(receiver.recv().is_err_and(|error| error.is_disconnected()));
        /// # child.join()?;
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn recv(&self) -> Result<$type, RecvError> {
            self.recv_with(&Patience::forever())
        }

        /// Receives the oldest value if there is one.
        ///
        /// # Errors
        /// As for `recv`.
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// let (sender, receiver) = channel::<u64>()?;
        /// assert_eq!(receiver.try_recv()?, None);
        /// sender.send(7)?;
        /// assert_eq!(receiver.try_recv()?, Some(7));
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn try_recv(&self) -> Result<Option<$type>, RecvError> {
            self.0.try_recv::<$type, C>()
        }

        /// Receives the oldest value, waiting for one but not longer than `timeout`.
        ///
        /// # Errors
        /// [`RecvError::Empty`], or as for `recv`.
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// use std::time::Duration;
        /// let (sender, receiver) = channel::<u64>()?;
        /// let nothing = receiver.recv_timeout(Duration::from_millis(1));
        /// assert!(matches!(nothing, Err(RecvError::Empty)));
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        pub fn recv_timeout(&self, timeout: Duration) -> Result<$type, RecvError> {
            self.recv_with(&Patience::timeout(Some(timeout)))
        }

        /// Receives the oldest value, waiting for one but not beyond `deadline`.
        ///
        /// # Errors
        /// [`RecvError::Empty`], or as for `recv`.
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// use std::time::{Duration, Instant};
        /// let (sender, receiver) = channel::<u64>()?;
        /// sender.send(7)?;
        /// let deadline = Instant::now() + Duration::from_secs(1);
        /// assert_eq!(receiver.recv_deadline(deadline)?, 7);
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        pub fn recv_deadline(&self, deadline: impl Into<Deadline>) -> Result<$type, RecvError> {
            self.recv_with(&Patience::until(Some(deadline.into())))
        }

        /// Receives the oldest value, waiting for one as long as `patience` allows.
        ///
        /// # Errors
        /// [`RecvError::Empty`], [`RecvError::Interrupted`], or as for `recv`.
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// let (sender, receiver) = channel::<u64>()?;
        /// let pressed = || true; // asked now and then: has the user pressed the button?
        /// let patience = Patience::forever().interruptible(&pressed);
        /// assert!(matches!(receiver.recv_with(&patience), Err(RecvError::Interrupted)));
        /// # drop(sender);
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        #[inline]
        pub fn recv_with(&self, patience: &Patience<'_>) -> Result<$type, RecvError> {
            self.0.recv::<$type, C>(patience)
        }

        /// An iterator that waits for each value and ends when the other side is closed.
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// let (sender, receiver) = channel::<u64>()?;
        /// (0..3).try_for_each(|n| sender.send(n))?;
        /// drop(sender);
        /// let mut all = Vec::new();
        /// for value in receiver.iter() {
        ///     all.push(value.expect("a number"));
        /// }
        /// assert_eq!(all, [0, 1, 2]);
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        pub const fn iter(&self) -> Messages<'_, $type, C> {
            Messages::new(&self.0)
        }

        /// A descriptor of this process that is readable while there is a message or the other side is
        /// closed, for `select` and the like; open as long as the result lives.
        ///
        /// # Errors
        /// When the kernel refuses the descriptors that it is made of.
        ///
        /// ```
        /// # use phalanx::prelude::*;
        /// use std::os::fd::AsFd;
        ///
        /// let (sender, receiver) = channel::<u64>()?;
        /// let bell = receiver.doorbell()?; // for `select`, `poll` and the event loops of other crates
        /// sender.send(7)?;
        /// phalanx::process::wait_readable(bell.as_fd(), Patience::forever()).expect("there is one");
        /// assert_eq!(receiver.try_recv()?, Some(7));
        /// # Ok::<(), phalanx::Error>(())
        /// ```
        pub fn doorbell(&self) -> std::io::Result<crate::wait::Doorbell> {
            self.0.end().doorbell().map(crate::wait::Doorbell::new)
        }
    };
}
pub(crate) use receives;
