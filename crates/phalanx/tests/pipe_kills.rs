//! Kills a process at each step of sending through a pipe and receiving from it.
//!
//! Another process uses the same end afterwards. It must find whole messages in order, none twice and
//! none lost but the one in the hands of a dead receiver; a descriptor that tells the truth; room for
//! further messages; and nothing left in shared memory at the end.

mod support;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use phalanx::message::{Incoming, Outgoing};
use phalanx::pipe::{self, End};
use phalanx::process::ExitStatus;
use phalanx_os::clock::Deadline;
use phalanx_os::poll::{self, Interest};
use phalanx_shm::failpoint;
use support::{FOREVER, alone, child, join, shared};

const SIGKILL: i32 = 9;
const SENDER: [&str; 5] =
    ["pipe.send.put", "pipe.send.counted", "pipe.bell.claimed", "pipe.bell.sent", "pipe.bell.rung"];
const RECEIVER: [&str; 6] = [
    "pipe.park.announced",
    "pipe.recv.taken",
    "pipe.recv.counted",
    "pipe.settle.claimed",
    "pipe.settle.idle",
    "pipe.settle.removed",
];

fn numbered(number: u32) -> Vec<u8> {
    let mut bytes = vec![number as u8; [400, 20_000, 4000][number as usize % 3]];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn send(end: &End, bytes: &[u8]) {
    let family = end.family().expect("a family");
    let message = Outgoing::new(family, bytes).expect("memory");
    end.send(&mut Some(message), &FOREVER).expect("room");
}

fn recv(end: &End) -> Vec<u8> {
    let mut frame = Vec::new();
    if let Incoming::Parcel(parcel) = end.recv(&mut frame, &FOREVER).expect("a message") {
        parcel.read_frame(&mut frame).expect("an undamaged parcel");
    }
    frame
}

fn is_readable(end: &End, within: Duration) -> bool {
    let bell = end.doorbell().expect("a descriptor");
    let mut list = [Interest::read(bell.as_fd())];
    poll::wait(&mut list, Some(Deadline::after(within))).expect("it can be polled");
    list[0].is_ready()
}

/// Receives messages, each of which the descriptor has announced, up to and with the number `last`.
fn drain(receiver: &End, last: u32) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last) {
        assert!(is_readable(receiver, Duration::from_secs(60)), "a message that is not announced");
        let message = recv(receiver);
        let number = message[..4].try_into().map_or(0, u32::from_le_bytes);
        assert_eq!(message, numbered(number), "half a message");
        numbers.push(number);
    }
    // A death may leave one announcement too many, which a look at the pipe takes back.
    assert_eq!(receiver.is_ready(), Ok(false));
    assert!(!is_readable(receiver, Duration::ZERO), "announced, but there is none");
    numbers
}

/// The pipe still carries more than its limit, message by message.
fn still_works(receiver: &End, sender: &End) {
    let large = vec![1; 1 << 20];
    for _ in 0..6 {
        send(sender, &large);
        assert_eq!(recv(receiver).len(), large.len());
    }
}

#[test]
fn senders() {
    let _alone = alone();
    for (step, nth) in SENDER.iter().flat_map(|step| (0..3).map(move |nth| (step, nth))) {
        let before = shared();
        let (receiver, sender) = pipe::one_way().expect("a pipe");
        assert!(!is_readable(&receiver, Duration::ZERO));
        let (told, tell) = pipe::one_way().expect("a pipe");
        let victim = child(|| {
            failpoint::arm(step, SIGKILL, nth);
            for number in 0..30 {
                send(&sender, &numbered(number));
                // Emptied in between, so that the bell is rung more than once.
                if number % 4 == 3 {
                    recv(&told);
                }
            }
        });
        let mut next = 0;
        loop {
            let announced = is_readable(&receiver, Duration::from_millis(5));
            if announced && receiver.is_ready() == Ok(true) {
                assert_eq!(recv(&receiver), numbered(next), "{step} {nth}");
                next += 1;
                if next.is_multiple_of(4) {
                    send(&tell, b"go on");
                }
            } else if victim.try_status().expect("a status").is_some() {
                break;
            }
        }
        assert_eq!(join(&victim), ExitStatus::Signal(9), "{step} {nth} was not reached");
        // Some may be there although nobody announced them: the next message does.
        send(&sender, &numbered(1000));
        let rest = drain(&receiver, 1000);
        let expected: Vec<u32> = (next..next + rest.len() as u32 - 1).chain([1000]).collect();
        assert_eq!(rest, expected, "{step} {nth}");
        still_works(&receiver, &sender);
        drop((receiver, sender, told, tell));
        assert_eq!(shared(), before, "{step} {nth}: something was left behind");
    }
}

#[test]
fn receivers() {
    let _alone = alone();
    for (step, nth) in RECEIVER.iter().flat_map(|step| (0..3).map(move |nth| (step, nth))) {
        let before = shared();
        let (receiver, sender) = pipe::one_way().expect("a pipe");
        let (told, tell) = pipe::one_way().expect("a pipe");
        let victim = child(|| {
            failpoint::arm(step, SIGKILL, nth);
            loop {
                let message = recv(&receiver);
                send(&tell, &message[..4]);
            }
        });
        // Slowly, so that the receiver sleeps now and then.
        let mut sent = 0;
        while victim.try_status().expect("a status").is_none() {
            send(&sender, &numbered(sent));
            sent += 1;
            // More slowly with time: on a busy machine it may not have come to sleep often enough.
            std::thread::sleep(Duration::from_millis(u64::from(sent % 3 + sent / 100)));
        }
        assert_eq!(join(&victim), ExitStatus::Signal(9), "{step} {nth} was not reached");
        let mut received = 0u32;
        while told.has_message() {
            assert_eq!(recv(&told), received.to_le_bytes(), "{step} {nth}");
            received += 1;
        }
        send(&sender, &numbered(1000));
        let rest = drain(&receiver, 1000);
        let first = rest[0].min(sent);
        assert!((received..=received + 1).contains(&first), "{step} {nth}: more than one lost");
        let expected: Vec<u32> = (first..sent).chain([1000]).collect();
        assert_eq!(rest, expected, "{step} {nth}");
        still_works(&receiver, &sender);
        drop((receiver, sender, told, tell));
        assert_eq!(shared(), before, "{step} {nth}: something was left behind");
    }
}

#[test]
fn every_step_is_in_the_matrix() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = ["phalanx/src/pipe", "phalanx-shm/src/bell"].map(|folder| crates.join(folder));
    for file in folders.iter().flat_map(|folder| folder.read_dir().expect("the sources")) {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("a source file");
        for rest in text.split("failpoint!(\"").skip(1) {
            let name = rest.split('"').next().unwrap_or_default();
            assert!(SENDER.contains(&name) || RECEIVER.contains(&name), "{name} is not tested");
        }
    }
}
