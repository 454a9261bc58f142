//! Pipes between threads and processes: order, back-pressure, the end of file, and deaths.

mod support;

use std::time::Duration;

use phalanx::message::{Incoming, Outgoing, Parcel};
use phalanx::pipe::{self, End, RecvError, SendError};
use phalanx::wait::{Source, wait_any};
use phalanx::{GaveUp, Patience};
use phalanx_shm::family::Family;
use support::{FOREVER, alone, child, join, joined_well, shared, soon};

fn send(end: &End, bytes: &[u8]) -> Result<(), SendError> {
    let family = end.family().expect("a family");
    end.send(&mut Some(Outgoing::new(family, bytes).expect("memory")), &FOREVER)
}

fn recv_within(end: &End, patience: &Patience<'_>) -> Result<Vec<u8>, RecvError> {
    let mut frame = Vec::new();
    if let Incoming::Parcel(parcel) = end.recv(&mut frame, patience)? {
        parcel.read_frame(&mut frame).expect("an undamaged parcel");
    }
    Ok(frame)
}

fn recv(end: &End) -> Result<Vec<u8>, RecvError> {
    recv_within(end, &FOREVER)
}

/// A message that tells its number and is as long as the number says.
fn numbered(number: u32) -> Vec<u8> {
    let len = [4, 100, 20_000, 300_000][number as usize % 4];
    let mut bytes = vec![number as u8; len];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes
}

#[test]
fn messages_arrive_in_order_and_before_the_end_of_file() {
    let _alone = alone();
    let (receiver, sender) = pipe::one_way().expect("a pipe");
    for number in 0..10 {
        send(&sender, &numbered(number)).expect("room");
    }
    drop(sender);
    for number in 0..10 {
        assert_eq!(recv(&receiver), Ok(numbered(number)));
    }
    assert_eq!(recv(&receiver), Err(RecvError::EndOfFile));
    assert_eq!(receiver.is_ready(), Ok(true), "the end of file is something to receive");
}

#[test]
fn each_end_does_what_it_is_for() {
    let _alone = alone();
    let (receiver, sender) = pipe::one_way().expect("a pipe");
    assert_eq!(send(&receiver, b"no"), Err(SendError::ReceiveOnly));
    assert_eq!(recv(&sender), Err(RecvError::SendOnly));
    let (left, right) = pipe::duplex().expect("a pipe");
    send(&left, b"to the right").expect("room");
    send(&right, b"to the left").expect("room");
    assert_eq!(recv(&left).as_deref(), Ok(&b"to the left"[..]));
    assert_eq!(recv(&right).as_deref(), Ok(&b"to the right"[..]));
}

#[test]
fn nobody_to_receive_is_an_error() {
    let _alone = alone();
    let before = shared();
    let (receiver, sender) = pipe::one_way().expect("a pipe");
    send(&sender, &numbered(3)).expect("room");
    drop(receiver);
    assert_eq!(send(&sender, b"more"), Err(SendError::Broken));
    assert_eq!(send(&sender, &numbered(3)), Err(SendError::Broken));
    drop(sender);
    assert_eq!(shared(), before, "what was not received is freed");
}

#[test]
fn a_full_pipe_gives_up_in_time() {
    let _alone = alone();
    let (receiver, sender) = pipe::one_way().expect("a pipe");
    let family = Family::get().expect("a family");
    let mut sent = 0;
    loop {
        let parcel = Parcel::new(family, b"", &[1 << 20]).expect("memory");
        match sender.send(&mut Some(Outgoing::Parcel(parcel)), &soon()) {
            Ok(()) => sent += 1,
            Err(why) => {
                assert_eq!(why, SendError::GaveUp(GaveUp::TimedOut));
                break;
            }
        }
    }
    assert!((1..=8).contains(&sent), "{sent} MiB ahead of the receiver");
    for _ in 0..sent {
        recv(&receiver).expect("what was sent");
    }
    assert_eq!(recv_within(&receiver, &soon()), Err(RecvError::GaveUp(GaveUp::TimedOut)));
    send(&sender, b"room again").expect("room");
}

#[test]
fn a_message_larger_than_the_limit_passes() {
    let _alone = alone();
    let (receiver, sender) = pipe::one_way().expect("a pipe");
    let large = vec![7u8; 20 << 20];
    let receiving = std::thread::spawn(move || (recv(&receiver), recv(&receiver)));
    send(&sender, &large).expect("it goes when nothing else is on its way");
    send(&sender, &large).expect("and again");
    let (first, second) = receiving.join().expect("no panic");
    assert!(first.as_ref() == Ok(&large) && second.as_ref() == Ok(&large));
}

#[test]
fn many_senders_and_receivers_share_ends() {
    let _alone = alone();
    const EACH: u32 = 500;
    let (receiver, sender) = pipe::one_way().expect("a pipe");
    let (counts, counted) = pipe::one_way().expect("a pipe");
    let receivers: Vec<_> = (0..2)
        .map(|_| {
            child(|| {
                let mut sum = 0u64;
                while let Ok(bytes) = recv(&receiver) {
                    let number = bytes[..4].try_into().map_or(u32::MAX, u32::from_le_bytes);
                    if number == u32::MAX {
                        break;
                    }
                    assert_eq!(bytes, numbered(number));
                    sum += u64::from(number);
                }
                send(&counted, &sum.to_le_bytes()).expect("room");
            })
        })
        .collect();
    let senders: Vec<_> = (0..2)
        .map(|_| child(|| (0..EACH).for_each(|n| send(&sender, &numbered(n)).expect("room"))))
        .collect();
    senders.iter().for_each(joined_well);
    for _ in 0..2 {
        send(&sender, &[0xff; 4]).expect("room");
    }
    receivers.iter().for_each(joined_well);
    let sums = [recv(&counts), recv(&counts)]
        .map(|sum| u64::from_le_bytes(sum.expect("a sum").try_into().expect("eight bytes")));
    assert_eq!(sums.iter().sum::<u64>(), u64::from(EACH * (EACH - 1)));
}

#[test]
fn a_sender_killed_at_any_moment_has_sent_whole_messages() {
    let _alone = alone();
    let before = shared();
    for round in 0..40u64 {
        let (receiver, sender) = pipe::one_way().expect("a pipe");
        let sending = child(|| {
            for number in 0.. {
                send(&sender, &numbered(number)).expect("the receiver lives");
            }
        });
        drop(sender);
        let mut received = 0;
        let enough = round * 7 % 50;
        while received < enough as u32 {
            assert_eq!(recv(&receiver), Ok(numbered(received)));
            received += 1;
        }
        std::thread::sleep(Duration::from_micros(round * 37 % 1000));
        sending.kill().expect("it can be killed");
        // What it sent before it died is all there, and nothing else.
        loop {
            match recv(&receiver) {
                Ok(message) => assert_eq!(message, numbered(received)),
                Err(end) => break assert_eq!(end, RecvError::EndOfFile),
            }
            received += 1;
        }
        join(&sending);
        drop(receiver);
        assert_eq!(shared(), before, "round {round}: something was left behind");
    }
}

#[test]
fn a_receiver_killed_at_any_moment_leaves_the_sender_an_error() {
    let _alone = alone();
    let before = shared();
    for round in 0..40u64 {
        let (receiver, sender) = pipe::one_way().expect("a pipe");
        let receiving = child(|| while recv(&receiver).is_ok() {});
        drop(receiver);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round * 53 % 2000));
            receiving.kill().expect("it can be killed");
            join(&receiving);
        });
        let mut number = 0;
        let end = loop {
            match send(&sender, &numbered(number)) {
                Ok(()) => number += 1,
                Err(end) => break end,
            }
        };
        assert_eq!(end, SendError::Broken);
        killer.join().expect("no panic");
        drop(sender);
        assert_eq!(shared(), before, "round {round}: something was left behind");
    }
}

#[test]
fn a_sleeping_receiver_is_woken_and_hears_of_the_end() {
    let _alone = alone();
    let (receiver, sender) = pipe::one_way().expect("a pipe");
    let sending = child(|| {
        std::thread::sleep(Duration::from_millis(60));
        send(&sender, b"late").expect("room");
        std::thread::sleep(Duration::from_millis(60));
    });
    drop(sender);
    assert_eq!(recv(&receiver).as_deref(), Ok(&b"late"[..]));
    assert_eq!(recv(&receiver), Err(RecvError::EndOfFile));
    joined_well(&sending);
}

#[test]
fn the_descriptor_tells_whether_there_are_messages() {
    let _alone = alone();
    let (receiver, sender) = pipe::one_way().expect("a pipe");
    let readable = |end: &End| {
        use std::os::fd::AsRawFd;
        end.fileno().expect("a descriptor");
        assert_ne!(end.fileno().ok(), Some(end.socket().as_raw_fd()));
        end.has_message()
    };
    assert!(!readable(&receiver));
    for round in 0..3 {
        assert!(wait_any(&[Source::Pipe(&receiver)], &soon()).is_err());
        send(&sender, b"one").expect("room");
        send(&sender, b"two").expect("room");
        for _ in 0..2 {
            let ready = wait_any(&[Source::Pipe(&receiver)], &FOREVER).expect("a message");
            assert_eq!(ready, [true]);
            recv(&receiver).expect("a message");
        }
        assert!(!readable(&receiver), "round {round}");
    }
    drop(sender);
    assert_eq!(wait_any(&[Source::Pipe(&receiver)], &FOREVER).expect("the end"), [true]);
}

#[test]
fn an_interrupted_wait_ends() {
    let _alone = alone();
    let (receiver, _sender) = pipe::one_way().expect("a pipe");
    let give_up = || true;
    let patience = Patience::forever().interruptible(&give_up);
    let end = recv_within(&receiver, &patience);
    assert_eq!(end, Err(RecvError::GaveUp(GaveUp::Interrupted)));
}
