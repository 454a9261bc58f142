//! Pipes and channels of typed values between processes, and deaths of those at their ends.

mod support;

use std::os::fd::AsFd;
use std::time::Duration;

use phalanx::message::Outgoing;
use phalanx::pipe::pair;
use phalanx::prelude::*;
use phalanx::process::wait_readable;
use support::{FOREVER, alone, child, join, joined_well, shared};

const SHORT: Duration = Duration::from_millis(20);

#[test]
fn each_way_its_own_type() {
    let _alone = alone();
    let before = shared();
    let (asking, answering) = pair::<(u64, u64), Option<u64>>().expect("a pipe");
    let calculator = child(|| {
        asking.close();
        for question in &mut answering.iter() {
            let (a, b) = question.expect("two numbers");
            answering.send(a.checked_div(b)).expect("it is waited for");
        }
    });
    answering.close();
    for (a, b) in [(42, 6), (1, 0), (u64::MAX, 1)] {
        asking.send((a, b)).expect("room");
        assert_eq!(asking.recv().expect("an answer"), a.checked_div(b));
    }
    drop((asking, answering));
    joined_well(&calculator);
    assert_eq!(shared(), before);
}

#[test]
fn deadlines_and_ends() {
    let _alone = alone();
    let (here, there) = pipe::<String>().expect("a pipe");
    assert!(matches!(here.try_recv(), Ok(None)));
    assert!(matches!(here.recv_timeout(SHORT), Err(RecvError::Empty)));
    let large = "x".repeat(1 << 20);
    let full = loop {
        match here.try_send(large.clone()) {
            Ok(()) => {}
            Err(e) => break e,
        }
    };
    assert!(full.is_full());
    assert_eq!(full.into_inner().len(), large.len(), "it is given back");
    assert!(here.send_timeout(large.clone(), SHORT).is_err_and(|e| e.is_full()));
    assert_eq!(there.recv().expect("a long one").len(), large.len());
    here.send("the last".to_owned()).expect("room again");
    drop(here);
    let left: Vec<String> = there.iter().map(|text| text.expect("a string")).collect();
    assert_eq!(left.last().map(String::as_str), Some("the last"));
    assert!(matches!(there.try_recv(), Err(RecvError::Disconnected)));
    match there.send("nobody".to_owned()) {
        Err(SendError::Disconnected(text)) => assert_eq!(text, "nobody"),
        other => panic!("{other:?}"),
    }
    for text in ["short".to_owned(), large] {
        let again = there.send(text).expect_err("once it is known, nothing more is lost");
        assert!(matches!(again, SendError::Disconnected(_)));
    }
}

#[test]
fn what_does_not_decode_comes_back_as_bytes() {
    let _alone = alone();
    let (sender, receiver) = channel::<bool>().expect("a channel");
    sender.raw().send(&mut Some(Outgoing::Inline(&[7])), &FOREVER).expect("room");
    sender.send(true).expect("room");
    match receiver.recv() {
        Err(RecvError::Decode(e)) => assert_eq!(e.into_bytes(), [7]),
        other => panic!("{other:?}"),
    }
    assert!(receiver.recv().expect("the next is a truth value"));
}

#[test]
fn a_channel_ends_when_the_last_sender_has_gone_however_it_went() {
    let _alone = alone();
    let before = shared();
    let (sender, receiver) = channel::<u32>().expect("a channel");
    let senders: Vec<_> = (0..3)
        .map(|n| {
            child(|| {
                for k in 0..1000 {
                    sender.send(n * 1000 + k).expect("somebody listens");
                }
                if n == 1 {
                    // Not another instruction, least of all to close anything.
                    phalanx_os::proc::kill(std::process::id(), 9);
                }
            })
        })
        .collect();
    drop(sender);
    let mut received: Vec<u32> = receiver.iter().map(|n| n.expect("a number")).collect();
    received.sort_unstable();
    assert!(received.into_iter().eq(0..3000));
    assert!(matches!(receiver.recv(), Err(RecvError::Disconnected)));
    for sender in &senders {
        join(sender);
    }
    drop(receiver);
    assert_eq!(shared(), before);
}

#[test]
fn senders_learn_that_nobody_listens() {
    let _alone = alone();
    let (sender, receiver) = channel::<u64>().expect("a channel");
    let listener = child(|| {
        sender.close();
        assert!(matches!(sender.send(1), Err(SendError::Disconnected(1))), "closed here");
        assert_eq!(receiver.recv().expect("a number"), 7);
    });
    receiver.close();
    sender.send(7).expect("it listens");
    joined_well(&listener);
    let sent = (0..1000).take_while(|n| sender.send(*n).is_ok()).count();
    assert!(sent <= 32, "{sent} values were sent to nobody");
    let blocked = channel::<Vec<u8>>().expect("a channel");
    let stuck = child(|| {
        blocked.0.close();
        std::thread::sleep(Duration::from_secs(60));
    });
    blocked.1.close();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| while blocked.0.send(vec![0; 1 << 20]).is_ok() {});
        std::thread::sleep(SHORT);
        stuck.kill().expect("it can be killed");
        sending.join().expect("its wait has ended");
    });
    join(&stuck);
}

#[test]
fn several_receivers_share_what_comes() {
    let _alone = alone();
    let (sender, receiver) = channel::<u64>().expect("a channel");
    let (sums, total) = channel::<u64>().expect("a channel");
    let adders: Vec<_> = (0..3)
        .map(|_| {
            child(|| {
                sender.close();
                sums.send(receiver.iter().map(|n| n.expect("a number")).sum()).expect("room");
            })
        })
        .collect();
    (1..=10_000).for_each(|n| sender.send(n).expect("room"));
    drop((sender, sums));
    assert_eq!(total.iter().map(|n| n.expect("a number")).sum::<u64>(), 10_000 * 10_001 / 2);
    adders.iter().for_each(joined_well);
}

#[test]
fn ends_travel_inside_messages() {
    let _alone = alone();
    let before = shared();
    let requests = Queue::<(String, Sender<String>)>::unbounded().expect("a queue");
    let server = child(|| {
        for request in requests.iter().take(3) {
            let (name, reply) = request.expect("a request");
            reply.send(format!("hello, {name}")).expect("it is waited for");
        }
    });
    for name in ["a", "b", "c"] {
        let (reply, answer) = channel().expect("a channel");
        requests.put((name.to_owned(), reply)).expect("room");
        let greeting = format!("hello, {name}");
        assert_eq!(answer.recv().expect("an answer"), greeting);
        assert!(answer.recv().expect_err("no other copy is left").is_disconnected());
    }
    joined_well(&server);
    drop(requests);
    assert_eq!(shared(), before);
}

#[test]
fn an_end_whose_process_has_gone_cannot_be_fetched() {
    let _alone = alone();
    let mailbox = Queue::<Receiver<u8>>::unbounded().expect("a queue");
    joined_well(&child(|| {
        let (_sender, receiver) = channel().expect("a channel");
        mailbox.put(receiver).expect("room");
    }));
    let error = mailbox.take().expect_err("its process has ended");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    let closed = channel::<u8>().expect("a channel").1;
    closed.close();
    assert!(matches!(mailbox.put(closed), Err(SendError::Encode(..))));
}

#[test]
fn the_descriptor_is_readable_while_there_is_something() {
    let _alone = alone();
    let (sender, receiver) = channel::<u8>().expect("a channel");
    let bell = receiver.doorbell().expect("a descriptor");
    let soon = || Patience::timeout(Some(SHORT));
    assert!(wait_readable(bell.as_fd(), soon()).is_err());
    sender.send(1).expect("room");
    wait_readable(bell.as_fd(), FOREVER).expect("a message");
    assert_eq!(receiver.recv().expect("it is there"), 1);
    assert!(wait_readable(bell.as_fd(), soon()).is_err());
    drop(sender);
    wait_readable(bell.as_fd(), FOREVER).expect("the end");
}

#[test]
fn an_end_that_was_not_sent_is_not_kept_for_anybody() {
    let _alone = alone();
    let before = shared();
    let full = Queue::<(Sender<u8>, String)>::bounded(1).expect("a queue");
    let (kept, keeper) = channel().expect("a channel");
    full.put((kept, "first".to_owned())).expect("room");
    let (sender, receiver) = channel::<u8>().expect("a channel");
    let (sender, _) = full.try_put((sender, "second".to_owned())).expect_err("full").into_inner();
    sender.send(7).expect("it has come back");
    drop(sender);
    assert_eq!(receiver.recv().expect("a number"), 7);
    assert!(receiver.recv().expect_err("no copy is left").is_disconnected());
    drop(full.take().expect("the first"));
    assert!(keeper.recv().expect_err("no copy is left").is_disconnected());
    drop((full, keeper, receiver));
    assert_eq!(shared(), before);
}

#[test]
fn ends_and_large_bytes_travel_together() {
    let _alone = alone();
    let both = Queue::<(SharedBytes, Sender<usize>)>::unbounded().expect("a queue");
    let (sender, receiver) = channel().expect("a channel");
    both.put((SharedBytes::copy_from(&[1; 10_000]).expect("memory"), sender)).expect("memory");
    let (bytes, sender) = both.take().expect("both");
    sender.send(bytes.len()).expect("somebody listens");
    assert_eq!(receiver.recv().expect("a length"), 10_000);
    // One by one from a batch, too.
    let ends = Queue::<Sender<usize>>::unbounded().expect("a queue");
    ends.put_many([sender.clone(), sender]).expect("memory");
    for (n, end) in ends.take_many(2).into_iter().enumerate() {
        end.expect("an end").send(n).expect("somebody listens");
    }
    assert_eq!(receiver.iter().map(|n| n.expect("a number")).sum::<usize>(), 1);
}
