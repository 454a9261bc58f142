//! The manager's server: names, the objects that have them, and operations for those who cannot reach
//! into shared memory.

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_os::{proc, socket};
use phalanx_shm::patience::Patience;

use super::AccessError;
use super::operation::Answer;
use super::protocol::{HELLO_MAX, Hello, Kind, REQUEST_MAX, Reply, Request, VERSION};
use super::raw::{RawDict, RawList};
use crate::process::while_sharing_with;
use crate::serve::{Limits, Next, Server, Service, Stopper};

/// How long an operation may wait for an object that somebody has locked: the lock finds out in less
/// whether its holder has died.
const TURN: Duration = Duration::from_millis(1);
/// Who holds an object for longer has been stopped. For so long the others do not wait with whoever
/// asks for it: that one is told to ask again.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until a client of the own family asks it to stop.
pub(super) fn serve(listener: OwnedFd) -> std::io::Result<()> {
    let service = Objects { named: BTreeMap::new(), stopper: None, hurried_until: None };
    let mut server = Server::new(listener, service, Limits::default())?;
    let stopper = server.stopper();
    server.service().stopper = Some(stopper);
    let _ = server.run(&Patience::forever())?;
    Ok(())
}

enum Object {
    Dict(RawDict),
    List(RawList),
}

struct Objects {
    named: BTreeMap<String, Object>,
    stopper: Option<Stopper>,
    hurried_until: Option<Deadline>,
}

/// What is known of a client.
struct Peer {
    pid: u32,
    /// Its place in this family, if it has one.
    slot: Option<u16>,
    is_known: bool,
}

impl Service for Objects {
    type Client = Peer;

    fn connected(&mut self, fd: BorrowedFd<'_>) -> Option<(Peer, Option<Vec<u8>>)> {
        let (pid, user) = socket::peer(fd).ok()?;
        (user == proc::effective_user())
            .then_some((Peer { pid, slot: None, is_known: false }, None))
    }

    fn is_known(&self, peer: &Peer) -> bool {
        peer.is_known
    }

    fn limit(&self, peer: &Peer) -> usize {
        if peer.is_known { REQUEST_MAX } else { HELLO_MAX }
    }

    fn message(&mut self, peer: &mut Peer, message: &[u8]) -> Next {
        if !peer.is_known {
            let hello = postcard::from_bytes::<Hello>(message).ok();
            let Some(hello) = hello.filter(|hello| hello.version == VERSION) else {
                let text = format!("the manager speaks version {VERSION} of its protocol");
                return Next::Close(Some(encoded(&Reply::Failed(text))));
            };
            // Only who really is that process of the family is told where objects lie.
            peer.slot = while_sharing_with(hello.slot, peer.pid, || hello.slot);
            peer.is_known = true;
            return Next::Send(encoded(&Reply::Welcome));
        }
        match postcard::from_bytes::<Request<'_>>(message) {
            Ok(Request::Stop) if peer.slot.is_some() => {
                if let Some(stopper) = &self.stopper {
                    stopper.stop();
                }
                Next::Close(None)
            }
            Ok(request) => Next::Send(encoded(&self.answer(peer, request))),
            Err(_) => {
                let text = "the request is none that the manager knows".to_owned();
                Next::Close(Some(encoded(&Reply::Failed(text))))
            }
        }
    }
}

impl Objects {
    fn answer(&mut self, peer: &Peer, request: Request<'_>) -> Reply {
        let is_hurried = self.hurried_until.is_some_and(|until| !until.has_passed());
        let patience = if is_hurried { Patience::none() } else { Patience::timeout(Some(TURN)) };
        let reply = self.answer_within(peer, request, &patience);
        if !is_hurried && matches!(reply, Reply::Busy) {
            self.hurried_until = Some(Deadline::after(PAUSE));
        }
        reply
    }

    fn answer_within(&mut self, peer: &Peer, request: Request<'_>, p: &Patience<'_>) -> Reply {
        match request {
            Request::Open(name, kind) => self.open(peer, name, kind),
            Request::Dict(name, operation) => match self.named.get(name) {
                Some(Object::Dict(dict)) => outcome(operation.run(dict, p)),
                other => wrong_name(name, other),
            },
            Request::List(name, operation) => match self.named.get(name) {
                Some(Object::List(list)) => outcome(operation.run(list, p)),
                other => wrong_name(name, other),
            },
            Request::Forget(name) => Reply::Answer(Answer::Flag(self.named.remove(name).is_some())),
            Request::Names => Reply::Names(self.named.keys().cloned().collect()),
            Request::Stop => Reply::Failed("only its own family may stop a manager".to_owned()),
        }
    }

    fn open(&mut self, peer: &Peer, name: &str, kind: Kind) -> Reply {
        if !self.named.contains_key(name) {
            let made = match kind {
                Kind::Dict => RawDict::new().map(Object::Dict),
                Kind::List => RawList::new().map(Object::List),
            };
            match made {
                Ok(object) => self.named.insert(name.to_owned(), object),
                Err(why) => return Reply::Failed(why.to_string()),
            };
        }
        let share = |share: &dyn Fn() -> u64| {
            // Its place may be somebody else's by now.
            let here = peer.slot.and_then(|slot| while_sharing_with(slot, peer.pid, share));
            here.map_or(Reply::Served, Reply::Here)
        };
        match (self.named.get(name), kind) {
            (Some(Object::Dict(dict)), Kind::Dict) => share(&|| dict.share()),
            (Some(Object::List(list)), Kind::List) => share(&|| list.share()),
            (other, _) => wrong_name(name, other),
        }
    }
}

fn outcome(result: Result<Answer, AccessError>) -> Reply {
    match result {
        Ok(answer) => Reply::Answer(answer),
        Err(AccessError::GaveUp(_)) => Reply::Busy,
        Err(why) => Reply::Failed(why.to_string()),
    }
}

fn wrong_name(name: &str, found: Option<&Object>) -> Reply {
    Reply::WrongName(match found {
        None => format!("the manager has no object named {name:?} any more"),
        Some(Object::Dict(_)) => format!("the manager's object {name:?} is a dictionary"),
        Some(Object::List(_)) => format!("the manager's object {name:?} is a list"),
    })
}

fn encoded(reply: &Reply) -> Vec<u8> {
    // Nothing in a reply can refuse; an empty message is one that the client does not understand.
    postcard::to_allocvec(reply).unwrap_or_default()
}
