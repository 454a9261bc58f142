//! What a fresh process gets from the one that started it: descriptors and a payload.
//!
//! The handover is anonymous memory that the parent has filled before the child exists, so
//! neither waits for the other however large the payload is. It begins with a head of fixed
//! size that names the numbers of the other descriptors.
//!
//! ```no_run
//! // In a fresh process that was told the number of its handover:
//! let accepted = phalanx::process::handover::accept(5, false)?;
//! println!("{} bytes", accepted.payload.len());
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use phalanx_os::parcel::Parcel;
use phalanx_os::signal::{self, SIGINT, SignalSet};
use phalanx_os::{death, inherit};
use phalanx_shm::peers::SlotId;

use super::{table, zygote};

const MAGIC: u32 = u32::from_ne_bytes(*b"phx1");
const HEAD: usize = 28;

/// A handover that is ready to be inherited by a child.
#[derive(Debug)]
pub(super) struct Handover {
    parcel: Parcel,
    fds: Vec<RawFd>,
}

impl Handover {
    /// Packs what every fresh process needs and `payload`. `door` is the zygote's own end of its
    /// door when the child is to be a zygote, and otherwise the end that others knock at.
    pub(super) fn pack(
        slot: SlotId,
        door: Option<BorrowedFd<'_>>,
        orphan: bool,
        payload: &[u8],
    ) -> io::Result<Self> {
        let arena = table::arena_fd()?.as_raw_fd();
        let (lifeline, parent) = if orphan {
            (-1, -1)
        } else {
            (death::lifeline()?.as_raw_fd(), death::own_pidfd()?.as_raw_fd())
        };
        let door = door.map_or(-1, |d| d.as_raw_fd());
        let deaf = i32::from(signal::mask().contains(SIGINT));
        let mut head = [0u8; HEAD];
        let fds = [arena, lifeline, parent, door];
        let words = [MAGIC.cast_signed(), i32::from(slot.raw()), deaf];
        let words = words.into_iter().chain(fds);
        for (place, word) in head.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        let parcel = Parcel::pack("phalanx-handover", &[&head, payload])?;
        let mut fds: Vec<RawFd> = fds.into_iter().filter(|&fd| fd >= 0).collect();
        fds.push(parcel.fd().as_raw_fd());
        Ok(Self { parcel, fds })
    }

    /// The number of the descriptor that the child has to be told.
    pub(super) fn number(&self) -> RawFd {
        self.parcel.fd().as_raw_fd()
    }

    /// All descriptors that the child has to inherit.
    pub(super) fn fds(&self) -> &[RawFd] {
        &self.fds
    }
}

/// What [`accept`] found.
#[derive(Debug)]
pub struct Accepted {
    /// The bytes that the parent packed.
    pub payload: Vec<u8>,
    /// For a zygote: its own end of its door.
    pub door: Option<OwnedFd>,
}

/// In a fresh process: takes the handover behind the descriptor `number`, joins the parent's
/// family, and binds this process's life to its parent's. From then on Ctrl-C is heard.
///
/// To be called once, before anything else of phalanx.
///
/// # Errors
/// `InvalidInput` when the descriptor is no handover, or the kernel's refusal.
pub fn accept(number: RawFd, as_zygote: bool) -> io::Result<Accepted> {
    let bad = |what: &str| {
        let text = format!(
            "descriptor {number} holds no handover ({what}): was this process \
                            started by phalanx?"
        );
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let fd = inherit::take(number).map_err(|e| bad(&e.to_string()))?;
    let mut payload = Parcel::open(fd)?.unpack()?;
    if payload.len() < HEAD {
        return Err(bad("too short"));
    }
    let mut words = [0i32; HEAD / 4];
    for (word, place) in words.iter_mut().zip(payload.chunks_exact(4)) {
        *word = place.try_into().map_or(0, i32::from_ne_bytes);
    }
    let [magic, slot, deaf, arena, lifeline, parent, door] = words;
    let slot = u16::try_from(slot).ok().and_then(SlotId::from_raw);
    let Some(slot) = slot.filter(|_| magic.cast_unsigned() == MAGIC) else {
        return Err(bad("other content"));
    };
    payload.drain(..HEAD);

    table::attach(inherit::take(arena)?, slot)?;
    let take = |fd: RawFd| if fd < 0 { Ok(None) } else { inherit::take(fd).map(Some) };
    let (lifeline, parent, mut door) = (take(lifeline)?, take(parent)?, take(door)?);
    if let Some(parent) = parent {
        death::adopt_parent(parent);
    }
    if let Some(lifeline) = lifeline {
        death::hang_on(lifeline)?;
    }
    if !as_zygote && let Some(door) = door.take() {
        zygote::know_door(door);
    }
    // Blocked by the parent, so that Ctrl-C does not meet a program that is about to start.
    if !as_zygote && deaf == 0 {
        signal::unblock(&SignalSet::of(&[SIGINT]));
    }
    Ok(Accepted { payload, door })
}
