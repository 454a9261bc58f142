//! An end of a pipe as its typed handles share it, and as it travels.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use phalanx_os::release::release;
use phalanx_shm::family::Family;
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::SlotId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::{End, EndParts, SendError as Refused, one_way};
use crate::error::{CreateError, RecvError, SendError};
use crate::process::passing::{self, TICKET};
use crate::wire::error::because;
use crate::wire::transfer::{NotSent, receive, receive_short, send, send_short};
use crate::wire::{Codec, DecodeError, tickets};

/// Between so many messages to a receiver that keeps up, a sender asks whether it is still there.
const ASK_EVERY: u32 = 32;

/// How long the sender of an end may take to hand it out.
const COLLECTING: Duration = Duration::from_secs(10);

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
    pub(super) fn new(end: End) -> Self {
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
        let at_once = |frame: &[u8]| {
            let asks = self.0.sent.load(Ordering::Relaxed).is_multiple_of(ASK_EVERY);
            if asks || self.is_closed() {
                return None;
            }
            let sent = end.send_at_once(frame)?;
            // Who counts wrong because two threads count at once asks a little sooner or later.
            let count = self.0.sent.load(Ordering::Relaxed).wrapping_add(1);
            self.0.sent.store(if sent.is_ok() { count } else { 0 }, Ordering::Relaxed);
            Some(sent)
        };
        if let Some(sent) = send_short::<T, C, _>(&value, at_once) {
            return sent.map_err(|why| (value, NotSent::Refused(why)).into());
        }
        let sent = send::<T, C, _>(family, value, |message| {
            if self.is_closed() {
                return Err(Refused::Broken);
            }
            let sent = match self.0.sent.fetch_add(1, Ordering::Relaxed) % ASK_EVERY {
                0 => end.send(message, patience),
                _ => end.send_unasked(message, patience),
            };
            // Once nobody has been found at the other end, every further message asks.
            if matches!(sent, Err(Refused::Broken)) {
                self.0.sent.store(0, Ordering::Relaxed);
            }
            sent
        });
        sent.map_err(|(value, why): (T, NotSent<Refused>)| (value, why).into())
    }

    #[inline]
    pub(crate) fn recv<T, C: Codec<T>>(&self, patience: &Patience<'_>) -> Result<T, RecvError> {
        if let Some(received) = self.recv_short::<T, C>() {
            return received.map_err(RecvError::Decode);
        }
        let received = receive::<T, C, _>(|frame| match self.is_closed() {
            true => Err(super::RecvError::EndOfFile),
            false => self.0.end.recv(frame, patience).map(Some),
        });
        received?.ok_or(RecvError::Empty)
    }

    #[inline]
    fn recv_short<T, C: Codec<T>>(&self) -> Option<Result<T, DecodeError>> {
        receive_short::<T, C>(|frame| match self.is_closed() {
            true => None,
            false => self.0.end.recv_at_once(frame),
        })
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
        tickets::written(ticket);
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
