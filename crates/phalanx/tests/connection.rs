//! Listeners and those who connect to them, friends and others.

use std::io::IoSlice;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use phalanx::Patience;
use phalanx::connection::{
    Address, ConnectError, HandshakeError, Key, Listener, Peers, Stream, connect, inet, introduce,
};

fn soon() -> Patience<'static> {
    Patience::timeout(Some(Duration::from_secs(60)))
}

fn somewhere() -> Listener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("phalanx-connection-test-{}-{number}", std::process::id());
    Listener::bind(&Address::Abstract(name.into_bytes()), 64).expect("the name is free")
}

fn call(listener: &Listener) -> Stream {
    connect(&listener.address().expect("it has one"), &soon()).expect("somebody listens")
}

/// Connects and proves to know the key, in a thread.
fn visit(listener: &Listener, key: &Key) -> std::thread::JoinHandle<Result<Stream, ConnectError>> {
    let (stream, key) = (call(listener), key.clone());
    std::thread::spawn(move || {
        introduce(&stream, &key, Peers::OwnUser, &soon())?;
        Ok(stream)
    })
}

#[test]
fn messages_go_both_ways_over_the_network() {
    let any_port = inet(std::net::Ipv4Addr::LOCALHOST.into(), 0, 0, 0);
    let listener = Listener::bind(&any_port, 1).expect("a port is free");
    let client = call(&listener);
    let guest = listener.accept(&soon()).expect("somebody has connected");
    assert_eq!(guest.from, phalanx_os::net::address_of(client.fd()).expect("it has one"));
    let mut got = Vec::new();
    client.send(b"ping", &soon()).expect("it is read");
    guest.stream.recv(&mut got, None, &soon()).expect("it was sent");
    guest.stream.send(b"pong", &soon()).expect("it is read");
    client.recv(&mut got, None, &soon()).expect("it was sent");
    assert_eq!(got, b"pingpong");
}

#[test]
fn who_stalls_at_any_step_keeps_nobody_else_waiting() {
    let (listener, key) = (somewhere(), Key::new(b"secret"));
    // Silent; half a header; half a message; a good first answer and then nothing.
    let silent = call(&listener);
    let half_header = call(&listener);
    phalanx_os::net::send_some(half_header.fd(), &[IoSlice::new(&[0, 0])]).expect("there is room");
    let half_message = call(&listener);
    let half = [0, 0, 0, 9, b'h'];
    phalanx_os::net::send_some(half_message.fd(), &[IoSlice::new(&half)]).expect("there is room");
    let visitor = visit(&listener, &key);
    let guest = listener.accept_known(&key, Peers::OwnUser, &soon()).expect("a friend has come");
    let friend = visitor.join().expect("no panic").expect("each believes the other");
    friend.send(b"hello", &soon()).expect("it is read");
    let mut got = Vec::new();
    guest.stream.recv(&mut got, None, &soon()).expect("it was sent");
    assert_eq!(got, b"hello");
    drop((silent, half_header, half_message));
}

#[test]
fn who_is_slow_is_heard_by_a_later_call() {
    let (listener, key) = (somewhere(), Key::new(b"secret"));
    let slow = call(&listener);
    let fast = visit(&listener, &key);
    listener.accept_known(&key, Peers::OwnUser, &soon()).expect("the fast one");
    drop(fast.join().expect("no panic").expect("each believes the other"));
    let answer = std::thread::spawn({
        let key = key.clone();
        move || introduce(&slow, &key, Peers::OwnUser, &soon()).map(|()| slow)
    });
    listener.accept_known(&key, Peers::OwnUser, &soon()).expect("the slow one");
    drop(answer.join().expect("no panic").expect("each believes the other"));
}

#[test]
fn who_has_the_wrong_key_is_told_so_and_the_listener_too() {
    let (listener, key) = (somewhere(), Key::new(b"secret"));
    let visitor = visit(&listener, &Key::new(b"guess"));
    let seen = listener.accept_known(&key, Peers::OwnUser, &soon());
    assert!(matches!(seen, Err(ConnectError::Handshake(HandshakeError::WrongProof))));
    let told = visitor.join().expect("no panic");
    assert!(matches!(told, Err(ConnectError::Handshake(HandshakeError::Rejected))));
}

#[test]
fn who_sends_a_message_of_any_length_is_refused_before_it_is_read() {
    let (listener, key) = (somewhere(), Key::new(b"secret"));
    for header in [&257i32.to_be_bytes()[..], &i32::MAX.to_be_bytes(), &[0xff; 12]] {
        let liar = call(&listener);
        phalanx_os::net::send_some(liar.fd(), &[IoSlice::new(header)]).expect("there is room");
        let seen = listener.accept_known(&key, Peers::OwnUser, &soon());
        assert!(matches!(seen, Err(ConnectError::Handshake(HandshakeError::Unexpected(_)))));
    }
}

#[test]
fn more_strangers_than_the_listener_cares_for_do_not_keep_a_friend_out() {
    let (listener, key) = (somewhere(), Key::new(b"secret"));
    // More than it hears at a time, and no more than it and the kernel's queue hold together.
    let strangers = std::thread::scope(|s| {
        let strangers = s.spawn(|| (0..180).map(|_| call(&listener)).collect::<Vec<_>>());
        let visitor = s.spawn(|| visit(&listener, &key));
        listener.accept_known(&key, Peers::OwnUser, &soon()).expect("a friend has come");
        let friend = visitor.join().expect("no panic").join().expect("no panic");
        drop(friend.expect("each believes the other"));
        // Comes when all strangers are in, so the listener hears them as long as one is at the door.
        let last = s.spawn(|| {
            let strangers = strangers.join().expect("no panic");
            loop {
                if let Ok(stream) = visit(&listener, &key).join().expect("no panic") {
                    break (strangers, stream);
                }
            }
        });
        listener.accept_known(&key, Peers::OwnUser, &soon()).expect("another friend has come");
        last.join().expect("no panic").0
    });
    drop(strangers);
}

#[test]
fn two_threads_that_accept_share_the_work() {
    let (listener, key) = (somewhere(), Key::new(b"secret"));
    std::thread::scope(|s| {
        let accept = || listener.accept_known(&key, Peers::OwnUser, &soon()).map(drop);
        let (one, other) = (s.spawn(accept), s.spawn(accept));
        for visitor in [visit(&listener, &key), visit(&listener, &key)] {
            drop(visitor.join().expect("no panic").expect("each believes the other"));
        }
        one.join().expect("no panic").expect("a friend has come");
        other.join().expect("no panic").expect("a friend has come");
    });
}

#[test]
fn a_closed_listener_ends_the_wait_of_others() {
    let listener = somewhere();
    std::thread::scope(|s| {
        let waits = s.spawn(|| listener.accept(&soon()).map(drop));
        listener.close();
        assert!(matches!(waits.join().expect("no panic"), Err(ConnectError::Io(_))));
    });
}
