//! Every order of steps of a bell beside a queue of one word, with deaths of either side at every step.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Bell, RINGING, STATE, Wire};
use crate::failpoint::model::{dies_at, is_dying, step};
use crate::loom_tests::explore;
use crate::peers::{Peers, SlotId};
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Bytes in the wire; who sleeps on it wakes when there is one, or when the other end is closed.
#[derive(Default)]
struct Socket {
    bytes: Mutex<(u32, bool)>,
    changed: Condvar,
}

impl Socket {
    /// Sleeps until there is a byte, true, or the other end is closed.
    fn poll(&self) -> bool {
        let mut state = self.bytes.lock().expect("no panic");
        while *state == (0, false) {
            state = self.changed.wait(state).expect("no panic");
        }
        state.0 > 0
    }

    fn close(&self) {
        self.bytes.lock().expect("no panic").1 = true;
        self.changed.notify_all();
    }
}

impl Wire for Socket {
    type Failure = ();

    fn put(&self) -> Result<(), ()> {
        self.bytes.lock().expect("no panic").0 += 1;
        self.changed.notify_all();
        Ok(())
    }

    fn empty(&self) {
        self.bytes.lock().expect("no panic").0 = 0;
    }
}

/// A process that knows which others have died.
struct Process<'a>(u16, &'a [AtomicU32; 4]);

impl Peers for Process<'_> {
    fn me(&self) -> SlotId {
        SlotId::from_raw(self.0).expect("not 0")
    }
    fn pid(&self, slot: SlotId) -> u32 {
        u32::from(slot.raw())
    }
    fn check(&self, slot: SlotId) -> bool {
        self.1[slot.raw() as usize].load(Ordering::Acquire) == 0
    }
}

#[derive(Default)]
struct Pipe {
    put: AtomicU32,
    taken: AtomicU32,
    word: AtomicU64,
    socket: Socket,
    /// By slot: who has died.
    dead: [AtomicU32; 4],
}

impl Pipe {
    fn bell(&self) -> Bell<'_> {
        Bell::new(&self.word)
    }

    fn send(&self, me: u16) {
        self.put.fetch_add(1, Ordering::SeqCst);
        // As a ring's put ends.
        fence(Ordering::SeqCst);
        step();
        let _ = self.bell().ring(&Process(me, &self.dead), &self.socket);
    }

    fn is_empty(&self) -> bool {
        self.put.load(Ordering::Acquire) == self.taken.load(Ordering::Relaxed)
    }

    fn tidy(&self, me: u16) {
        if self.is_empty() {
            self.bell().settle(&Process(me, &self.dead), &self.socket);
        }
    }

    /// As `End::recv` does it. False: the other end is closed, and nothing was left.
    fn recv(&self, me: u16) -> bool {
        loop {
            let got = !self.is_empty();
            if got {
                self.taken.fetch_add(1, Ordering::Relaxed);
                step();
            }
            if !self.bell().is_at_rest() {
                self.tidy(me);
            }
            if got {
                return true;
            }
            self.bell().park();
            if !self.is_empty() {
                continue;
            }
            let rung = self.socket.poll();
            if !self.is_empty() {
                continue;
            }
            if !rung {
                return !self.is_empty() && self.recv(me);
            }
            self.bell().settle_stray(&Process(me, &self.dead), &self.socket);
            self.tidy(me);
        }
    }

    /// What must hold once nobody does anything any more and all has been received.
    fn close(&self, me: u16) {
        if !self.bell().is_at_rest() {
            self.tidy(me);
        }
        assert_ne!(self.word.load(Ordering::SeqCst) & STATE, RINGING, "somebody rings for ever");
        // A byte too many wakes somebody once, and then is gone.
        if self.socket.bytes.lock().expect("no panic").0 > 0 {
            self.bell().settle_stray(&Process(me, &self.dead), &self.socket);
        }
        assert_eq!(self.socket.bytes.lock().expect("no panic").0, 0, "a byte for ever");
    }
}

#[test]
fn loom_bell_wakes_a_receiver_for_each_of_two_senders() {
    explore(3, || {
        let pipe = Arc::new(Pipe::default());
        let senders: Vec<_> = (2..4)
            .map(|me| {
                let pipe = pipe.clone();
                thread::spawn(move || pipe.send(me))
            })
            .collect();
        assert!(pipe.recv(1) && pipe.recv(1));
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
        pipe.close(1);
    });
}

#[test]
fn loom_bell_wakes_a_receiver_that_sleeps_again() {
    explore(3, || {
        let pipe = Arc::new(Pipe::default());
        let sender = {
            let pipe = pipe.clone();
            thread::spawn(move || (0..3).for_each(|_| pipe.send(2)))
        };
        assert!((0..3).all(|_| pipe.recv(1)));
        sender.join().expect("no panic");
        pipe.close(1);
    });
}

/// Explores deaths at step 0, 1, ... until there is no such step.
fn for_each_step(least: u32, model: fn(u32) -> bool) {
    for nth in 0.. {
        let died = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = died.clone();
        explore(3, move || {
            seen.fetch_or(model(nth), std::sync::atomic::Ordering::SeqCst);
        });
        if !died.load(std::sync::atomic::Ordering::SeqCst) {
            assert!(nth >= least, "only {nth} steps");
            return;
        }
    }
}

#[test]
fn loom_bell_rings_for_the_next_sender_wherever_one_dies() {
    for_each_step(4, |nth| {
        let pipe = Arc::new(Pipe::default());
        let senders = {
            let pipe = pipe.clone();
            thread::spawn(move || {
                let died = dies_at(nth, || pipe.send(2));
                assert!(!is_dying());
                pipe.dead[2].store(u32::from(died), Ordering::Release);
                // Another sender goes on. That the dead one's message may wait for it is all that is left.
                pipe.send(3);
                died
            })
        };
        assert!(pipe.recv(1) && pipe.recv(1));
        let died = senders.join().expect("no panic");
        assert!(pipe.is_empty(), "a message is left");
        pipe.close(1);
        died
    });
}

#[test]
fn loom_bell_tells_the_next_receiver_wherever_one_dies() {
    for_each_step(2, |nth| {
        let pipe = Arc::new(Pipe::default());
        let sender = {
            let pipe = pipe.clone();
            thread::spawn(move || {
                (0..2).for_each(|_| pipe.send(2));
                pipe.socket.close();
            })
        };
        let died = dies_at(nth, || assert!(pipe.recv(1)));
        pipe.dead[1].store(u32::from(died), Ordering::Release);
        while pipe.recv(3) {}
        sender.join().expect("no panic");
        assert!(pipe.is_empty(), "a message is left");
        pipe.close(3);
        died
    });
}
