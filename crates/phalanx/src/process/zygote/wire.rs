//! The messages between a zygote and the processes that ask it for children.
//!
//! All travel over socket pairs that keep the bounds of messages. A *door* message carries one
//! end of a new pair, over which the sender will make its requests. Numbers are little-endian.

use phalanx_os::wait::{Ended, ExitStatus};
use phalanx_shm::peers::SlotId;

/// Longer payloads travel in a parcel of their own, since a message has to fit into the socket.
pub(super) const INLINE: usize = 32 * 1024;
/// No message is longer.
pub(super) const LONGEST: usize = REQUEST + INLINE;

const REQUEST: usize = 16;
const REPLY: usize = 24;

/// Asks for a child. Descriptors: lifeline, the parent's pidfd, the door, the parcel if the
/// payload is not inline, and then what the child inherits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The requester's name for the child, unique on its connection.
    pub(super) id: u64,
    pub(super) slot: SlotId,
    /// Whether the payload follows in the message.
    pub(super) inline: bool,
}

impl Request {
    pub(super) fn encode(self) -> [u8; REQUEST] {
        let mut bytes = [0; REQUEST];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.slot.raw().to_le_bytes());
        bytes[10] = u8::from(self.inline);
        bytes
    }

    /// The request, and what follows it in the message.
    pub(super) fn decode(message: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = message.split_first_chunk::<REQUEST>()?;
        let id = u64::from_le_bytes(*head.first_chunk()?);
        let slot = SlotId::from_raw(u16::from_le_bytes([head[8], head[9]]))?;
        Some((Self { id, slot, inline: head[10] != 0 }, rest))
    }
}

/// What a zygote says of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// It runs; its pidfd comes along.
    Started { id: u64, pid: u32 },
    /// It could not be started, with the kernel's reason.
    Refused { id: u64, errno: i32 },
    /// It has ended.
    Ended { id: u64, how: Ended },
}

impl Reply {
    pub(super) fn encode(self) -> [u8; REPLY] {
        let (kind, id, value, memory) = match self {
            Self::Started { id, pid } => (1u32, id, pid.cast_signed(), 0),
            Self::Refused { id, errno } => (2, id, errno, 0),
            Self::Ended { id, how } => (3, id, how.status.as_raw(), how.peak_memory.unwrap_or(0)),
        };
        let mut bytes = [0; REPLY];
        bytes[..8].copy_from_slice(&id.to_le_bytes());
        bytes[8..12].copy_from_slice(&kind.to_le_bytes());
        bytes[12..16].copy_from_slice(&value.to_le_bytes());
        bytes[16..].copy_from_slice(&memory.to_le_bytes());
        bytes
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let head: &[u8; REPLY] = message.try_into().ok()?;
        let id = u64::from_le_bytes(*head.first_chunk()?);
        let value = i32::from_le_bytes([head[12], head[13], head[14], head[15]]);
        match u32::from_le_bytes([head[8], head[9], head[10], head[11]]) {
            1 => Some(Self::Started { id, pid: value.cast_unsigned() }),
            2 => Some(Self::Refused { id, errno: value }),
            3 => {
                let peak_memory = Some(u64::from_le_bytes(*head.last_chunk()?)).filter(|&n| n > 0);
                let how = Ended { status: ExitStatus::from_raw(value), peak_memory };
                Some(Self::Ended { id, how })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_way() {
        for slot in [1, u16::MAX].into_iter().filter_map(SlotId::from_raw) {
            let request = Request { id: u64::MAX - 1, slot, inline: true };
            let mut bytes = request.encode().to_vec();
            bytes.extend(b"payload");
            assert_eq!(Request::decode(&bytes), Some((request, &b"payload"[..])));
        }
        for reply in [
            Reply::Started { id: 1, pid: 77 },
            Reply::Refused { id: 2, errno: 11 },
            Reply::Ended {
                id: 3,
                how: Ended { status: ExitStatus::Signal(9), peak_memory: Some(1 << 40) },
            },
            Reply::Ended { id: 4, how: Ended { status: ExitStatus::Code(9), peak_memory: None } },
        ] {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        assert_eq!(Reply::decode(b"short"), None);
        assert_eq!(Request::decode(b"short"), None);
        assert_eq!(Reply::decode(&[9; REPLY]), None);
    }
}
