//! The requesters' side: one connection a process, made at its first request.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx_os::parcel::Parcel;
use phalanx_os::per_process::PerProcess;
use phalanx_os::{death, inherit, socket};

use phalanx_os::wait::ExitStatus;
use phalanx_shm::patience::Patience;

use super::connection::Connection;
use super::wire::{INLINE, Request};
use crate::process::handover::Handover;
use crate::process::spawn::{Program, execute};
use crate::process::{Child, Reservation};
use crate::trace::{event, span};

/// How to start a zygote if the family has none.
pub struct Launch<'a> {
    /// The program to execute, which accepts its handover and calls [`serve`](super::serve).
    pub program: Program<'a>,
    /// What to hand over to it.
    pub payload: &'a dyn Fn() -> io::Result<Vec<u8>>,
}

impl std::fmt::Debug for Launch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch").field("program", &self.program).finish_non_exhaustive()
    }
}

/// What a process knows of the zygote.
struct Known {
    /// The zygote, if this process started it.
    zygote: Option<Child>,
    door: Option<OwnedFd>,
    connection: Option<Arc<Connection>>,
}

/// How long to wait for a zygote that should be about to end.
const LINGERING: Duration = Duration::from_millis(500);

static KNOWN: PerProcess<Mutex<Known>> = PerProcess::new();

/// The number of the door: all that a forked child takes over from its parent's knowledge, whose
/// lock another thread may have held.
static DOOR: AtomicI32 = AtomicI32::new(-1);

fn known() -> MutexGuard<'static, Known> {
    let inherited = || {
        let door = inherit::take(DOOR.load(Ordering::Acquire)).ok();
        Mutex::new(Known { zygote: None, door, connection: None })
    };
    KNOWN.get_or_make(inherited).lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    fn set_door(&mut self, door: Option<OwnedFd>) {
        DOOR.store(door.as_ref().map_or(-1, AsRawFd::as_raw_fd), Ordering::Release);
        self.door = door;
    }

    /// The connection to a zygote that is alive as far as we know; starts one if need be.
    fn connect(&mut self, launch: &Launch<'_>) -> io::Result<Arc<Connection>> {
        if let Some(connection) = &self.connection
            && !connection.is_closed()
        {
            return Ok(Arc::clone(connection));
        }
        let connection = match self.knock() {
            Ok(connection) => connection,
            Err(e) if nobody_there(&e) => {
                self.launch(launch)?;
                self.knock()?
            }
            Err(e) => return Err(e),
        };
        self.connection = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Sends one end of a new pair through the door.
    fn knock(&self) -> io::Result<Arc<Connection>> {
        let door = self.door.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let (near, far) = socket::seqpacket_pair()?;
        socket::send(door, &[IoSlice::new(&[0])], &[far.as_fd()], true)?;
        Ok(Arc::new(Connection::new(near)))
    }

    fn launch(&mut self, launch: &Launch<'_>) -> io::Result<()> {
        let payload = (launch.payload)()?;
        let reservation = Reservation::new()?;
        let slot = reservation.slot()?;
        let (near, far) = socket::seqpacket_pair()?;
        let handover = Handover::pack(slot, Some(far.as_fd()), true, &payload)?;
        let pid = execute(&launch.program, &handover, &[])?;
        self.zygote = Some(Child::started(pid, reservation)?);
        self.set_door(Some(near));
        Ok(())
    }
}

/// Starts a child as a copy of the family's zygote, which is launched if there is none. The child
/// gets `payload`, and duplicates of `fds` in the same order.
///
/// # Errors
/// `InvalidInput` for more descriptors than a message can carry; when no zygote can be started,
/// the zygote ends before it answers (it says why on standard error), or the kernel refuses
/// another process, memory or a descriptor.
pub fn start(
    launch: &Launch<'_>,
    reservation: Reservation,
    payload: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<Child> {
    let _span = span!("zygote");
    let slot = reservation.slot()?;
    let inline = payload.len() <= INLINE;
    let parcel = if inline { None } else { Some(Parcel::pack("phalanx-payload", &[payload])?) };
    let lifeline = death::lifeline()?;
    let pidfd = death::own_pidfd()?;
    let body = if inline { payload } else { &[] };

    // Twice: a zygote that was dead, or died without reading the request, is replaced.
    for _ in 0..2 {
        let (connection, door) = {
            let mut known = known();
            let connection = known.connect(launch)?;
            let door = known.door.as_ref().ok_or(io::ErrorKind::NotConnected)?.try_clone()?;
            (connection, door)
        };
        let mut all = vec![lifeline, pidfd, door.as_fd()];
        all.extend(parcel.as_ref().map(Parcel::fd));
        all.extend(fds);
        if all.len() > socket::MAX_FDS {
            let text = format!(
                "too many descriptors for one process: {} of at most {}",
                fds.len(),
                socket::MAX_FDS - 4
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let id = connection.next_id();
        let head = Request { id, slot, inline }.encode();
        let parts = [IoSlice::new(&head), IoSlice::new(body)];
        let started = connection.request(&parts, &all).and_then(|()| connection.started(id));
        let (pid, sentinel) = match started {
            // One that ended by itself could not start, and would not the next time either.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => match exit_status() {
                Some(ExitStatus::Code(_)) => return Err(gone()),
                _ => continue,
            },
            started => started?,
        };
        event!(DEBUG, "process started", pid = pid, method = "zygote");
        let slot = reservation.hand_over()?;
        return Ok(Child::of_zygote(pid, sentinel, slot, connection, id));
    }
    Err(gone())
}

pub(super) fn gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "the forkserver ended before it answered; if it could not start, its message on standard \
         error says why",
    )
}

fn nobody_there(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
    )
}

/// The process id of the zygote, if the calling process started one that is still running.
#[must_use]
pub fn pid() -> Option<u32> {
    let known = known();
    let zygote = known.zygote.as_ref()?;
    matches!(zygote.try_status(), Ok(None)).then(|| zygote.pid())
}

/// How the zygote that the calling process started last has ended: waits a moment for its end,
/// since its connections close a little earlier. `None` while it runs, or if there was none.
#[must_use]
pub fn exit_status() -> Option<ExitStatus> {
    let patience = Patience::timeout(Some(LINGERING));
    known().zygote.as_ref()?.wait(patience).ok()
}

/// Launches a zygote now if the calling process knows of none, so that the first start is quick.
///
/// # Errors
/// As for [`start`], as far as they can be seen without waiting for the zygote.
pub fn ensure_running(launch: &Launch<'_>) -> io::Result<()> {
    known().connect(launch).map(drop)
}

/// Lets go of the zygote: it ends once no other process knows it either. If the calling process
/// started it and nobody else holds it, waits for its end.
pub fn stop() {
    let zygote = {
        let mut known = known();
        known.connection = None;
        known.set_door(None);
        known.zygote.take()
    };
    if let Some(zygote) = zygote {
        let _ = zygote.wait(Patience::timeout(Some(LINGERING)));
    }
}

/// A duplicate of the door, to be handed to a fresh process.
pub(in crate::process) fn door() -> Option<OwnedFd> {
    known().door.as_ref().and_then(|door| door.try_clone().ok())
}

/// In a new process: the door that its parent handed over.
pub(in crate::process) fn know_door(door: OwnedFd) {
    known().set_door(Some(door));
}
