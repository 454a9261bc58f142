//! The event loop with clients that behave and clients that do not.

use std::io::{Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use phalanx::Patience;
use phalanx::serve::{Limits, Next, Server, Service, Stopper, Stream, StreamError};

/// Knows a client by its first message; sends everything after that back, twice as long.
struct Doubling;

impl Service for Doubling {
    type Client = bool;

    fn connected(&mut self, _: BorrowedFd<'_>) -> Option<(bool, Option<Vec<u8>>)> {
        Some((false, Some(b"who?".to_vec())))
    }

    fn is_known(&self, known: &bool) -> bool {
        *known
    }

    fn limit(&self, known: &bool) -> usize {
        if *known { 10_000_000 } else { 8 }
    }

    fn message(&mut self, known: &mut bool, message: &[u8]) -> Next {
        match message {
            b"me" if !*known => {
                *known = true;
                Next::Send(b"hello".to_vec())
            }
            _ if !*known => Next::Close(Some(b"no".to_vec())),
            b"leave" => Next::Detach,
            body => Next::Send([body, body].concat()),
        }
    }

    fn detached(&mut self, _: bool, mut stream: Stream, message: Vec<u8>) {
        std::thread::spawn(move || {
            let _ = stream.send(&message, &Patience::forever());
            while let Ok(body) = stream.receive(100, &Patience::forever()) {
                let body = [b"detached ", body].concat();
                let _ = stream.send(&body, &Patience::forever());
            }
        });
    }
}

struct Running {
    name: String,
    stopper: Stopper,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn new(name: &str, limits: Limits) -> Self {
        let name = format!("phalanx-serve-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("a listener");
        listener.set_nonblocking(true).expect("not to block");
        let mut server = Server::new(OwnedFd::from(listener), Doubling, limits).expect("a server");
        let stopper = server.stopper();
        let thread = std::thread::spawn(move || {
            server.run(&Patience::forever()).expect("to wait").expect("not to give up");
        });
        Self { name, stopper, thread: Some(thread) }
    }

    fn socket(&self) -> UnixStream {
        let address = SocketAddr::from_abstract_name(&self.name).expect("a name");
        let socket = UnixStream::connect_addr(&address).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        socket
    }

    fn stranger(&self) -> Stream {
        Stream::new(self.socket().into())
    }

    fn client(&self) -> Stream {
        let mut stream = self.stranger();
        assert_eq!(receive(&mut stream).expect("a greeting"), b"who?");
        assert_eq!(ask(&mut stream, b"me"), b"hello");
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the loop not to panic");
        }
    }
}

fn watchdog() -> Patience<'static> {
    Patience::timeout(Some(Duration::from_secs(30)))
}

fn receive(stream: &mut Stream) -> Result<Vec<u8>, StreamError> {
    stream.receive(usize::MAX, &watchdog()).map(<[u8]>::to_vec)
}

fn ask(stream: &mut Stream, body: &[u8]) -> Vec<u8> {
    stream.send(body, &watchdog()).expect("to send");
    receive(stream).expect("an answer")
}

#[test]
fn clients_are_answered_in_order() {
    let server = Running::new("order", Limits::default());
    let (mut one, mut two) = (server.client(), server.client());
    assert_eq!(ask(&mut one, b"a"), b"aa");
    two.send(b"x", &watchdog()).expect("to send");
    two.send(b"y", &watchdog()).expect("to send");
    assert_eq!(receive(&mut two).expect("the first"), b"xx");
    assert_eq!(receive(&mut two).expect("the second"), b"yy");
    assert_eq!(ask(&mut one, &vec![7; 3_000_000]).len(), 6_000_000);
}

#[test]
fn a_detached_client_is_served_by_a_thread_of_its_own() {
    let server = Running::new("detached", Limits::default());
    let mut one = server.client();
    assert_eq!(ask(&mut one, b"leave"), b"leave");
    assert_eq!(ask(&mut one, b"x"), b"detached x");
    assert_eq!(ask(&mut server.client(), b"x"), b"xx");
}

#[test]
fn who_does_not_say_who_it_is_is_closed_in_time_and_delays_nobody() {
    let limits = Limits { handshake: Duration::from_millis(100), ..Limits::default() };
    let server = Running::new("stall", limits);
    let mut silent = server.socket();
    let mut half = server.socket();
    half.write_all(&[0, 0]).expect("to send half a length");
    let mut one = server.client();
    let mut greeting = [0; 8];
    for stalled in [&mut silent, &mut half] {
        stalled.read_exact(&mut greeting).expect("the greeting");
        assert_eq!(stalled.read(&mut greeting).expect("the end"), 0);
    }
    assert_eq!(ask(&mut one, b"still here"), b"still herestill here");
}

#[test]
fn too_long_and_wrong_messages_close_the_connection() {
    let server = Running::new("wrong", Limits::default());
    let mut greeting = [0; 8];
    let mut oversized = server.socket();
    oversized.write_all(&[0x7f, 0xff, 0xff, 0xff]).expect("to send");
    oversized.read_exact(&mut greeting).expect("the greeting");
    assert_eq!(oversized.read(&mut greeting).expect("the end"), 0);
    let mut wrong = server.stranger();
    receive(&mut wrong).expect("the greeting");
    assert_eq!(ask(&mut wrong, b"you"), b"no");
    assert!(matches!(receive(&mut wrong), Err(StreamError::Closed)));
}

#[test]
fn the_oldest_stranger_makes_room() {
    let limits = Limits { unknown: 2, ..Limits::default() };
    let server = Running::new("crowd", limits);
    let known = server.client();
    let mut strangers: Vec<Stream> = (0..3).map(|_| server.stranger()).collect();
    for stranger in &mut strangers {
        // The first may be closed already, but its greeting was sent.
        receive(stranger).expect("the greeting");
    }
    assert!(matches!(receive(&mut strangers[0]), Err(StreamError::Closed)));
    assert_eq!(ask(&mut strangers[2], b"me"), b"hello");
    let mut known = known;
    assert_eq!(ask(&mut known, b"a"), b"aa");
}

#[test]
fn who_does_not_read_its_answers_is_read_from_no_more_and_delays_nobody() {
    let limits = Limits { unsent: 100_000, ..Limits::default() };
    let server = Running::new("deaf", limits);
    let deaf = server.client();
    let body = vec![1; 50_000];
    let mut taken = 0;
    let soon = || Patience::timeout(Some(Duration::from_millis(200)));
    while deaf.send(&body, &soon()).is_ok() {
        taken += 1;
        assert!(taken < 1000, "the server goes on reading without limit");
    }
    assert_eq!(ask(&mut server.client(), b"a"), b"aa");
}
