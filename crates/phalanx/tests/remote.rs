//! Typed connections between programs that are no relatives: friends, strangers and the dying.

mod pool_support;

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use phalanx::plain::{Plain, PlainFormat};
use phalanx::process::{ExitStatus, fork};
use phalanx::remote::{
    Address, Connection, Key, Listener, Peers, RemoteError, connect, connect_deadline, inet,
};
use phalanx::{Deadline, Patience};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Request {
    Add(Vec<i64>),
    Text { of: u32 },
}

fn key() -> Key {
    Key::new(b"a secret")
}

fn somewhere(name: &str) -> Address {
    Address::Abstract(format!("phalanx-remote-{name}-{}", std::process::id()).into_bytes())
}

/// Answers requests until the other side has had enough; the sum of what it was told to add.
fn serve(connection: &Connection<String, Request>) -> Result<i64, RemoteError> {
    let mut sum = 0;
    for request in connection.iter() {
        match request? {
            Request::Add(numbers) => {
                sum += numbers.iter().sum::<i64>();
                connection.send(&sum.to_string())?;
            }
            Request::Text { of } => connection.send(&"x".repeat(of as usize))?,
        }
    }
    Ok(sum)
}

fn talk(address: &Address) -> Result<(), RemoteError> {
    let connection = connect::<Request, String>(address, &key())?;
    connection.send(&Request::Add(vec![1, 2]))?;
    assert_eq!(connection.recv()?, "3");
    connection.send(&Request::Text { of: 3_000_000 })?;
    assert_eq!(connection.recv_timeout(Duration::from_secs(30))?.len(), 3_000_000);
    assert_eq!(connection.try_recv()?, None);
    connection.send(&Request::Add(vec![-5; 100_000]))?;
    assert_eq!(connection.recv()?, "-499997");
    Ok(())
}

#[test]
fn other_processes_talk_over_sockets_of_every_kind() {
    let _watchdog = pool_support::watchdog(60);
    let path = std::env::temp_dir().join(format!("phalanx-remote-{}", std::process::id()));
    let network = inet(Ipv4Addr::LOCALHOST.into(), 0, 0, 0);
    for address in [somewhere("kinds"), Address::Path(path.clone()), network] {
        let listener = Listener::<String, Request>::bind(&address, &key()).expect("a listener");
        let address = listener.address().expect("an address");
        let child = fork::run(|| i32::from(talk(&address).is_err())).expect("a child");
        let connection = listener.accept().expect("it comes");
        assert_eq!(serve(&connection).expect("it goes"), -499_997);
        assert_eq!(child.wait(Patience::forever()).expect("its end"), ExitStatus::Code(0));
    }
    assert!(!path.exists(), "the listener removes its socket");
}

#[test]
fn strangers_are_turned_away_and_keep_nobody_waiting() {
    let _watchdog = pool_support::watchdog(60);
    let path = std::env::temp_dir().join(format!("phalanx-strangers-{}", std::process::id()));
    let address = Address::Path(path.clone());
    let listener =
        Listener::<u8>::bind(&address, &key()).expect("a listener").with_peers(Peers::OwnUser);
    let mut silent = UnixStream::connect(&path).expect("a connection");
    let mut noisy = UnixStream::connect(&path).expect("a connection");
    noisy.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("written");
    let mut huge = UnixStream::connect(&path).expect("a connection");
    huge.write_all(&[0x7f, 0xff, 0xff, 0xff]).expect("written");
    drop(UnixStream::connect(&path));
    let visitors = std::thread::spawn(move || {
        let wrong = connect::<u8, u8>(&address, &Key::new(b"another secret"));
        assert!(matches!(wrong, Err(RemoteError::Handshake(_))), "{wrong:?}");
        let friend = connect::<u8, u8>(&address, &key()).expect("let in");
        friend.send(&7).expect("sent");
        friend.recv()
    });
    let connection = listener.accept().expect("the friend");
    assert_eq!(connection.recv().expect("a number"), 7);
    connection.send(&8).expect("sent");
    assert_eq!(visitors.join().expect("no panic").expect("a number"), 8);
    // The silent one is still there, has been challenged, and was told nothing of the key.
    let mut challenge = [0; 64];
    let len = silent.read(&mut challenge).expect("a challenge");
    assert!(!challenge[..len].windows(8).any(|part| part == b"a secret"));
    let nobody = listener.accept_timeout(Duration::from_millis(20)).map(drop);
    assert!(matches!(nobody, Err(RemoteError::TimedOut)), "{nobody:?}");
}

#[test]
fn nobody_listens_or_nobody_answers() {
    let _watchdog = pool_support::watchdog(60);
    let refused = connect::<u8, u8>(&somewhere("nobody"), &key()).map(drop);
    assert!(matches!(refused, Err(RemoteError::Io(_))), "{refused:?}");
    let listener = Listener::<u8>::bind(&somewhere("busy"), &key()).expect("a listener");
    let until = Deadline::after(Duration::from_millis(30));
    let begun = Instant::now();
    let late = connect_deadline::<u8, u8>(&somewhere("busy"), &key(), until).map(drop);
    assert!(matches!(late, Err(RemoteError::TimedOut)), "{late:?}");
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert!(Listener::<u8>::bind(&somewhere("busy"), &key()).is_err());
    drop(listener);
}

/// Two ends of a connection whose sides have introduced themselves.
fn ends<S, R>(name: &str) -> (Connection<S, R>, Connection<R, S>)
where
    S: 'static,
    R: 'static,
{
    let listener = Listener::<S, R>::bind(&somewhere(name), &key()).expect("a listener");
    let address = listener.address().expect("an address");
    let other = std::thread::spawn(move || connect::<R, S>(&address, &key()).expect("let in"));
    (listener.accept().expect("accepted"), other.join().expect("no panic"))
}

#[test]
fn messages_that_do_not_fit_are_refused_one_by_one() {
    let _watchdog = pool_support::watchdog(60);
    let (ours, theirs) = ends::<u64, String>("types");
    ours.send(&u64::MAX).expect("sent");
    // It expects another type.
    let theirs = Connection::<String, bool>::over(theirs.into_stream());
    match theirs.recv() {
        Err(RemoteError::Decode(error)) => assert!(!error.bytes().is_empty()),
        other => panic!("{other:?}"),
    }
    theirs.send(&"still there".to_owned()).expect("sent");
    assert_eq!(ours.recv().expect("a text"), "still there");
    let ours = ours.with_longest(1000);
    theirs.send(&"y".repeat(1001)).expect("sent");
    assert!(matches!(ours.recv(), Err(RemoteError::TooLong(len)) if len > 1000));
}

#[test]
fn a_wait_that_is_given_up_loses_nothing() {
    let _watchdog = pool_support::watchdog(60);
    let (ours, theirs) = ends::<(), Vec<u8>>("patience");
    let sender = std::thread::spawn(move || {
        theirs.send(&vec![5; 20_000_000]).expect("sent");
        theirs
    });
    let received = loop {
        match ours.recv_timeout(Duration::from_micros(50)) {
            Err(RemoteError::TimedOut) => {}
            result => break result.expect("a message"),
        }
    };
    assert_eq!(received, vec![5; 20_000_000]);
    drop(sender.join().expect("no panic"));
    assert!(matches!(ours.recv(), Err(RemoteError::Disconnected)));
}

#[test]
fn who_does_not_read_is_given_up() {
    let _watchdog = pool_support::watchdog(60);
    let (ours, theirs) = ends::<Vec<u8>, ()>("slow");
    let large = vec![1; 30_000_000];
    let late = ours.send_timeout(&large, Duration::from_millis(20));
    assert!(matches!(late, Err(RemoteError::TimedOut)), "{late:?}");
    assert!(matches!(ours.send(&vec![]), Err(RemoteError::CutShort)));
    drop(ours);
    assert!(matches!(theirs.recv(), Err(RemoteError::CutShort)));
}

#[test]
fn the_other_side_is_killed_in_the_middle() {
    let _watchdog = pool_support::watchdog(60);
    let listener =
        Listener::<u64, Vec<u8>>::bind(&somewhere("killed"), &key()).expect("a listener");
    let address = listener.address().expect("an address");
    let child = fork::run(|| {
        let connection = connect::<Vec<u8>, u64>(&address, &key()).expect("let in");
        connection.send(&vec![1; 10]).expect("sent");
        loop {
            let _ = connection.send(&vec![2; 50_000_000]);
        }
    });
    let child = child.expect("a child");
    let connection = listener.accept().expect("it comes");
    assert_eq!(connection.recv().expect("the first"), vec![1; 10]);
    assert!(connection.recv_timeout(Duration::from_micros(100)).is_err());
    child.kill().expect("killed");
    let end = loop {
        match connection.recv_timeout(Duration::from_secs(30)) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(end, RemoteError::CutShort | RemoteError::Disconnected), "{end:?}");
    child.wait(Patience::forever()).expect("its end");
}

#[test]
fn other_formats_can_be_spoken() {
    let _watchdog = pool_support::watchdog(60);
    let (ours, theirs) = ends::<Plain, (u8, String)>("plain");
    let (ours, theirs) = (ours.with_codec::<PlainFormat>(), theirs.with_codec::<PlainFormat>());
    theirs.send(&(1, "one".to_owned())).expect("sent");
    assert_eq!(ours.recv().expect("a pair"), (1, "one".to_owned()));
    let value = Plain::Tuple(vec![Plain::None, 1.5.into()]);
    ours.send(&value).expect("sent");
    assert_eq!(theirs.recv().expect("a value"), value);
}
