//! Passing descriptors to processes that run already.
//!
//! A child gets descriptors when it is started. Between processes that run, they can only travel
//! over a local socket, and a queue in shared memory is none. So the sender lays the descriptor
//! out at its *desk* and sends a ticket; whoever presents the ticket gets the descriptor, once.
//!
//! The desk is a thread of the sender, started at the first deposit, behind a socket with a random
//! name outside of the file system. It serves only processes of the same user that show the
//! ticket's secret, and the other side checks its user too. What is never collected stays until
//! the sender ends. If the sender has ended, collecting fails at once.
//!
//! ```
//! use std::io::{Read, Write};
//! use phalanx::Patience;
//! use phalanx::process::passing;
//!
//! let (reader, mut writer) = std::io::pipe()?;
//! let ticket = passing::deposit(reader.into(), |_slot| {})?;
//! // In whichever process the ticket has come to, once:
//! let mut reader = std::fs::File::from(passing::collect(&ticket, Patience::forever())?);
//! writer.write_all(b"hello")?;
//! drop(writer);
//! let mut text = String::new();
//! reader.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_os::per_process::PerProcess;
use phalanx_os::poll::{self, Interest};
use phalanx_os::signal::{self, SignalSet};
use phalanx_os::{death, socket};
use phalanx_shm::family::Family;
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::{Peers, SlotId};

use super::{WaitError, wait_readable};
use crate::trace::span;

/// The length of a ticket in bytes.
pub const TICKET: usize = NAME + SECRET + 8;

const NAME: usize = 16;
const SECRET: usize = 16;

/// How long a visitor may take to show its ticket, and a desk to answer.
const MANNERS: Duration = Duration::from_secs(10);
/// How many visitors may be silent at once; the longest silent one is sent away for the next.
const CROWD: usize = 128;

/// What is laid out: the descriptor, and what is to be done when it is known who gets it.
struct Deposit {
    fd: OwnedFd,
    granted: Box<dyn FnOnce(SlotId) + Send>,
}

struct Desk {
    name: [u8; NAME],
    secret: [u8; SECRET],
    shelf: Mutex<(u64, HashMap<u64, Deposit>)>,
}

static DESK: PerProcess<Mutex<Option<Arc<Desk>>>> = PerProcess::new();

/// Lays a descriptor out and returns the ticket for it. `granted` is called, in a thread of its
/// own, with the place of the process that comes for it, before that gets the descriptor.
///
/// # Errors
/// When the kernel refuses a socket, a thread, or randomness.
///
/// ```
/// use phalanx::prelude::*;
/// use phalanx::process::passing;
///
/// let (reader, _writer) = std::io::pipe()?;
/// let tickets = Queue::<Vec<u8>>::unbounded()?;
/// let ticket = passing::deposit(reader.into(), |_slot| println!("somebody has come for it"))?;
/// tickets.put(ticket.to_vec())?; // however the ticket travels
/// # let ticket: [u8; passing::TICKET] = tickets.take()?.try_into().map_err(|_| "no ticket")?;
/// # assert!(passing::collect(&ticket, Patience::forever()).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn deposit(
    fd: OwnedFd,
    granted: impl FnOnce(SlotId) + Send + 'static,
) -> io::Result<[u8; TICKET]> {
    let desk = open_desk()?;
    let number = {
        let mut shelf = desk.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.0 += 1;
        let number = shelf.0;
        shelf.1.insert(number, Deposit { fd, granted: Box::new(granted) });
        number
    };
    let mut ticket = [0; TICKET];
    ticket[..NAME].copy_from_slice(&desk.name);
    ticket[NAME..NAME + SECRET].copy_from_slice(&desk.secret);
    ticket[NAME + SECRET..].copy_from_slice(&number.to_le_bytes());
    Ok(ticket)
}

/// Closes everything that is laid out: its tickets are good for nothing from now on.
///
/// ```
/// use phalanx::{Patience, process::passing};
///
/// let (reader, _writer) = std::io::pipe()?;
/// let ticket = passing::deposit(reader.into(), |_slot| {})?;
/// passing::clear(); // the descriptor is closed
/// assert!(passing::collect(&ticket, Patience::forever()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn clear() {
    let place = DESK.get_or_make(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(desk) = place.as_ref() {
        let shelf =
            std::mem::take(&mut desk.shelf.lock().unwrap_or_else(PoisonError::into_inner).1);
        drop(shelf);
    }
}

/// Takes back what was laid out, unless it has been collected.
pub(crate) fn withdraw(ticket: &[u8; TICKET]) {
    let number = ticket.last_chunk().map(|n| u64::from_le_bytes(*n));
    let (Ok(desk), Some(number)) = (open_desk(), number) else { return };
    // Dropped after the lock is released: what is kept for it may take other locks.
    let _withdrawn = desk.shelf.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&number);
}

/// Gets the descriptor that a ticket is for.
///
/// # Errors
/// [`WaitError::GaveUp`] when the patience is at its end; `ConnectionRefused` or `NotFound` (as
/// [`WaitError::Io`]) when the sender has ended or the descriptor was collected before.
///
/// ```
/// use phalanx::prelude::*;
/// use phalanx::process::passing;
///
/// let (reader, _writer) = std::io::pipe()?;
/// let ticket = passing::deposit(reader.into(), |_slot| {})?;
/// let other = Process::fork(|| passing::collect(&ticket, Patience::forever()).is_ok())?;
/// assert!(other.join()?);
/// assert!(passing::collect(&ticket, Patience::forever()).is_err(), "a ticket is good for one");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn collect(ticket: &[u8; TICKET], patience: Patience<'_>) -> Result<OwnedFd, WaitError> {
    let _span = span!("collect");
    let (name, rest) = ticket.split_at(NAME);
    let line = socket::connect(name).map_err(|e| gone(&e)).map_err(WaitError::Io)?;
    let me = Family::get().map_err(WaitError::Io)?.me();
    let ask = || -> io::Result<()> {
        if socket::peer(&line)?.1 != own_user() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let me = me.raw().to_le_bytes();
        let parts = [IoSlice::new(rest), IoSlice::new(&me)];
        socket::send(&line, &parts, &[], true).map(drop)
    };
    ask().map_err(|e| gone(&e)).map_err(WaitError::Io)?;
    wait_readable(line.as_fd(), patience)?;
    let received = socket::receive(&line, &mut [0], false);
    let received = received.map_err(|e| gone(&e)).map_err(WaitError::Io)?;
    received.fds.into_iter().next().ok_or_else(|| {
        let text = "the descriptor is not there: it has been collected already";
        WaitError::Io(io::Error::new(io::ErrorKind::NotFound, text))
    })
}

/// The sender may have ended before or after we reached its desk: the same to the caller.
fn gone(error: &io::Error) -> io::Error {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            io::ErrorKind::ConnectionRefused
        }
        kind => kind,
    };
    let text = format!("the process that passed a descriptor cannot be reached: {error}");
    io::Error::new(kind, text)
}

fn own_user() -> u32 {
    phalanx_os::proc::effective_user()
}

fn open_desk() -> io::Result<Arc<Desk>> {
    let mut place = DESK.get_or_make(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(desk) = place.as_ref() {
        return Ok(Arc::clone(desk));
    }
    let mut random = [0; NAME + SECRET];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let mut desk = Desk { name: [0; NAME], secret: [0; SECRET], shelf: Mutex::default() };
    desk.name.copy_from_slice(&random[..NAME]);
    desk.secret.copy_from_slice(&random[NAME..]);
    let desk = Arc::new(desk);

    // A child that kept the listener open would keep the name, and visitors waiting.
    let listener = death::keep_private(socket::listen(&desk.name)?)
        .map_err(|_| io::Error::other("there is no place for another private descriptor"))?;
    let served = Arc::clone(&desk);
    // Signals are for the threads of the program.
    let mask = signal::block(&SignalSet::all());
    let thread = std::thread::Builder::new()
        .name("phalanx-desk".to_owned())
        .spawn(move || serve(&served, listener));
    signal::set_mask(&mask);
    thread?;
    *place = Some(Arc::clone(&desk));
    Ok(desk)
}

/// Somebody who has connected and shown no ticket yet, and until when that is waited for.
type Visitor = (OwnedFd, Deadline);

fn serve(desk: &Desk, listener: BorrowedFd<'static>) {
    let mut visitors = VecDeque::new();
    loop {
        let Ok(is_called) = see_to(desk, listener, &mut visitors) else { continue };
        let Some(line) = is_called.then(|| socket::accept(listener).ok()).flatten() else {
            continue;
        };
        if socket::peer(&line).is_ok_and(|(_, user)| user == own_user()) {
            visitors.push_back((line, Deadline::after(MANNERS)));
        }
        if visitors.len() > CROWD {
            visitors.pop_front();
        }
    }
}

/// Waits until something happens, and serves those visitors that have shown a ticket: who says nothing keeps
/// nobody else waiting. Returns whether somebody is at the door.
fn see_to(
    desk: &Desk,
    listener: BorrowedFd<'_>,
    visitors: &mut VecDeque<Visitor>,
) -> io::Result<bool> {
    let lines = visitors.iter().map(|(line, _)| Interest::read(line.as_fd()));
    let mut interests: Vec<_> = lines.chain([Interest::read(listener)]).collect();
    // The oldest is the first whose time is over.
    let deadline = visitors.front().map(|(_, deadline)| *deadline);
    poll::wait(&mut interests, deadline)?;
    let mut ready: Vec<_> = interests.iter().map(Interest::is_ready).collect();
    let is_called = ready.pop().unwrap_or(false);
    let mut ready = ready.into_iter();
    visitors.retain(|(line, deadline)| {
        if ready.next().unwrap_or(false) {
            // A visitor that misbehaves has failed for itself only.
            let _ = hand_out(desk, line);
            return false;
        }
        !deadline.has_passed()
    });
    Ok(is_called)
}

fn hand_out(desk: &Desk, line: &OwnedFd) -> io::Result<()> {
    let mut shown = [0; SECRET + 8 + 2];
    let message = socket::receive(line, &mut shown, false)?;
    let (secret, rest) = shown.split_at(SECRET);
    let number = rest.first_chunk().map(|n| u64::from_le_bytes(*n));
    let slot = rest.last_chunk().map(|s| u16::from_le_bytes(*s)).and_then(SlotId::from_raw);
    let (Some(number), Some(slot)) = (number, slot) else { return Ok(()) };
    // In a time that says nothing of how much of it is right.
    let difference = secret.iter().zip(&desk.secret).fold(0, |all, (a, b)| all | (a ^ b));
    if message.len != shown.len() || difference != 0 {
        return Ok(());
    }
    let deposit = {
        let mut shelf = desk.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.1.remove(&number)
    };
    if let Some(Deposit { fd, granted }) = deposit {
        granted(slot);
        socket::send(line, &[IoSlice::new(&[1])], &[fd.as_fd()], false)?;
    }
    Ok(())
}
