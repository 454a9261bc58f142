//! Arbitrary messages to the server of a manager, from a client that does not follow its protocol: the
//! server answers or hangs up, and goes on serving others.

use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::OnceLock;
use std::time::Duration;

use phalanx::manager::Manager;

use crate::Bytes;

/// A client's first message: version 1, no place in the family.
const HELLO: [u8; 2] = [1, 0];

fn server() -> &'static Manager {
    static SERVER: OnceLock<Manager> = OnceLock::new();
    SERVER.get_or_init(|| Manager::start().expect("a manager"))
}

/// Takes the bytes for: whether the client introduces itself, and messages, or bytes that are none.
pub fn run(data: &[u8]) {
    let manager = server();
    let mut bytes = Bytes(data);
    let name = SocketAddr::from_abstract_name(manager.address().as_bytes()).expect("a name");
    let mut socket = UnixStream::connect_addr(&name).expect("the manager has ended");
    let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
    let mut out = Vec::new();
    let mut message = |body: &[u8]| {
        out.extend_from_slice(&(body.len() as u32).to_be_bytes());
        out.extend_from_slice(body);
    };
    if bytes.byte() % 4 != 0 {
        message(&HELLO);
    }
    let is_framed = bytes.byte() % 4 != 0;
    let mut raw = Vec::new();
    while !bytes.is_empty() {
        let len = usize::from(bytes.byte() % 64).min(bytes.0.len());
        let (body, rest) = bytes.0.split_at(len);
        bytes.0 = rest;
        // The last request of the protocol ends the server, as it should for a client of its user.
        if is_framed && body.first().is_some_and(|kind| *kind < 5) {
            message(body);
        } else if !is_framed {
            raw.extend_from_slice(body);
        }
    }
    out.extend_from_slice(&raw);
    // It may hang up in the middle.
    let _ = socket.write_all(&out);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut answers = Vec::new();
    let _ = socket.take(1 << 16).read_to_end(&mut answers);
    manager.names().expect("the manager goes on");
}
