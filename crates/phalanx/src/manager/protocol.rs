//! What clients and the server of a manager say to each other: postcard's form of these.

use serde::{Deserialize, Serialize};

use super::operation::{Answer, DictOperation, ListOperation};

/// Of the messages' form. A client of another version is turned away.
pub(super) const VERSION: u32 = 1;
/// A request has at most so many bytes.
pub(super) const REQUEST_MAX: usize = 64 << 20;
/// An answer has at most so many bytes.
pub(super) const ANSWER_MAX: usize = 1 << 30;
/// The first message of a client.
pub(super) const HELLO_MAX: usize = 64;

/// What sort of object has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Dict,
    List,
}

/// The first message of a client: whether it belongs to the server's family is checked by the place
/// that it says it has there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: u32,
    pub(super) slot: u16,
}

/// What a client wants.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request<'a> {
    /// The object of that name, which is made if there is none.
    Open(&'a str, Kind),
    Dict(&'a str, #[serde(borrow)] DictOperation<'a>),
    List(&'a str, #[serde(borrow)] ListOperation<'a>),
    /// The manager forgets the object. Handles in its family go on.
    Forget(&'a str),
    Names,
    Stop,
}

/// What the server answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The client's handshake was understood.
    Welcome,
    /// The object lies there, and the client holds it.
    Here(u64),
    /// The object is not for the client's own hands: it has to ask for each operation.
    Served,
    Answer(Answer),
    Names(Vec<String>),
    /// Somebody holds the object for longer than the server waits: ask again.
    Busy,
    /// The name belongs to an object of another kind, or to none.
    WrongName(String),
    Failed(String),
}
