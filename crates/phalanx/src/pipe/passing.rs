//! Passing a descriptor to a process that already runs.
//!
//! Who packs a connection into a message does not know who will unpack it, so the descriptor waits
//! where it was packed: a thread of that process answers on a local socket without a name in the file
//! system, and whoever unpacks the message fetches it there. What is in shared memory is held for the
//! fetching process before the answer. Only processes of the same user that know the number in the
//! message are answered.
//!
//! An offer that nobody fetches stays until its process ends. If that ends first, fetching fails.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx_os::per_process::PerProcess;
use phalanx_os::signal::{self, SignalSet};
use phalanx_os::socket;
use phalanx_shm::family::Family;
use phalanx_shm::peers::{Peers, SlotId};

/// How long either side waits for the other's next step.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a descriptor waits, and the number under which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The name of the socket, in the abstract name space.
    pub place: String,
    /// The number of the offer.
    pub number: u64,
}

type Hold = Box<dyn Fn(SlotId) + Send>;

/// What waits to be fetched, and where.
#[derive(Default)]
struct Offers {
    place: Option<String>,
    waiting: HashMap<u64, (OwnedFd, Hold)>,
}

#[derive(Default)]
struct Office(Mutex<Offers>);

static OFFICE: PerProcess<Office> = PerProcess::new();

/// Offers a descriptor to whoever presents the ticket, once. `hold` is told the process that fetches
/// it, before it gets it, and is kept until then.
///
/// # Errors
/// When the kernel refuses the socket or the thread.
pub fn offer(fd: OwnedFd, hold: impl Fn(SlotId) + Send + 'static) -> io::Result<Ticket> {
    let office = OFFICE.get_or_make(Office::default);
    let mut offers = office.offers();
    let place = match &offers.place {
        Some(place) => place.clone(),
        None => {
            let place = office.open()?;
            offers.place = Some(place.clone());
            place
        }
    };
    let number = random();
    offers.waiting.insert(number, (fd, Box::new(hold)));
    Ok(Ticket { place, number })
}

/// Fetches what was offered under the ticket.
///
/// # Errors
/// When the process that offered it has ended, or it has been fetched already.
pub fn fetch(ticket: &Ticket) -> io::Result<OwnedFd> {
    let address = SocketAddr::from_abstract_name(&ticket.place)?;
    let mut stream = UnixStream::connect_addr(&address).map_err(|e| {
        let text = "cannot fetch a connection: the process that sent it has ended";
        io::Error::new(e.kind(), text)
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = ticket.number.to_le_bytes().to_vec();
    request.extend_from_slice(&Family::get()?.me().raw().to_le_bytes());
    stream.write_all(&request)?;
    let answer = socket::receive(&stream, &mut [0u8; 1], true)?;
    answer.fds.into_iter().next().ok_or_else(|| {
        let text = "cannot fetch a connection: it has been fetched already";
        io::Error::new(ErrorKind::NotFound, text)
    })
}

/// A number that cannot be guessed.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

impl Office {
    fn offers(&self) -> MutexGuard<'_, Offers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&'static self) -> io::Result<String> {
        let place = format!("phalanx-{}-{:016x}", std::process::id(), random());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&place)?)?;
        let before = signal::block(&SignalSet::of(&(1..=31).collect::<Vec<_>>()));
        let thread = std::thread::Builder::new().name("phalanx-passing".into());
        let started = thread.stack_size(256 << 10).spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    // Whoever did not ask properly gets no answer.
                    Ok(stream) => drop(self.answer(stream)),
                    // No descriptors left: somebody may close one.
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        });
        signal::set_mask(&before);
        started.map(|_| place)
    }

    fn answer(&self, mut stream: UnixStream) -> io::Result<()> {
        if !socket::is_same_user(&stream)? {
            return Err(ErrorKind::PermissionDenied.into());
        }
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut request = [0u8; 10];
        stream.read_exact(&mut request)?;
        let (number, slot) = request.split_at(8);
        let number = u64::from_le_bytes(number.try_into().map_err(io::Error::other)?);
        let slot = u16::from_le_bytes(slot.try_into().map_err(io::Error::other)?);
        let slot = SlotId::from_raw(slot).ok_or(ErrorKind::InvalidData)?;
        let offered = self.offers().waiting.remove(&number);
        let Some((fd, hold)) = offered else { return Err(ErrorKind::NotFound.into()) };
        hold(slot);
        socket::send(&stream, &[IoSlice::new(b"!")], &[fd.as_fd()], true)?;
        // Our own hold lasts until the other side has what it asked for: it closes the stream.
        let _ = stream.read(&mut [0u8; 1]);
        Ok(())
    }
}
