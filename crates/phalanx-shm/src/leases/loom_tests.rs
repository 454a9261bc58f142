//! Every order of steps of the lease board, in small cases, with a death at every step.
//!
//! The ring of tasks is the real one; a mailbox is a count of the records put into it. What becomes of
//! each task is written down by who ends it, and must have been written down once.

use std::sync::atomic::{AtomicBool, AtomicU32 as PlainU32, Ordering as PlainOrdering};

use loom::sync::Arc;
use loom::thread;

use super::flags::Flags;
use super::signing::Signing;
use super::{Lease, Seat, Span};
use crate::event_count::EventCount;
use crate::failpoint::model::{dies_at, step};
use crate::loom_tests::{Me, explore};
use crate::patience::Patience;
use crate::peers::SlotId;
use crate::ring::loom_tests::{Heap, new_ring};
use crate::ring::{Record, Ring};
use crate::sync::{AtomicU32, Ordering};

/// Tasks in each batch.
const COUNT: u32 = 2;
const OWNER: u16 = 1;

struct Pool {
    tasks: Arc<Ring>,
    signing: Signing,
    seats: [Seat; 3],
    /// Records ever put into each seat's mailbox.
    mailboxes: [AtomicU32; 3],
    /// How often each task has come to an end.
    ends: Vec<PlainU32>,
}

fn slot(seat: usize) -> u16 {
    seat as u16 + 2
}

impl Pool {
    fn new(batches: u64) -> Arc<Self> {
        let pool = Arc::new(Self {
            tasks: new_ring(0),
            signing: Signing::default(),
            seats: Default::default(),
            mailboxes: Default::default(),
            ends: (0..batches * u64::from(COUNT)).map(|_| PlainU32::new(0)).collect(),
        });
        for batch in 0..batches {
            pool.send(Span { job: 1, first: batch * u64::from(COUNT), count: COUNT });
        }
        pool
    }

    fn send(&self, span: Span) {
        let bytes = (span.first << 32 | u64::from(span.count)).to_le_bytes();
        let heap = Heap(Me(OWNER));
        self.tasks.put(&heap, Record::Inline(&bytes), &Patience::forever()).expect("room");
    }

    fn end(&self, span: Span) {
        for task in span.first..span.first + u64::from(span.count) {
            self.ends[task as usize].fetch_add(1, PlainOrdering::SeqCst);
        }
    }

    /// Takes a batch, runs it, answers it. Nothing in here may be dropped that loom sees.
    fn work(&self, number: usize) {
        let span_of = |bytes: &[u8]| {
            let word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            Span { job: 1, first: word >> 32, count: word as u32 }
        };
        let mut bytes = Vec::new();
        let note = &mut |noted: crate::ring::Noted<'_>| {
            let seat = |number: usize| self.seats.get(number);
            self.signing.sign(seat, number, noted.ordinal, span_of(noted.bytes));
        };
        let heap = Heap(Me(slot(number)));
        let taken = self.tasks.take_noting(&heap, &mut bytes, &Patience::forever(), note);
        assert!(taken.is_ok());
        step();
        let seat = &self.seats[number];
        let span = span_of(&bytes);
        for _ in 0..span.count {
            seat.begin();
            step();
            seat.finish();
            step();
        }
        let mailbox = &self.mailboxes[number];
        seat.promise(span.count, mailbox.load(Ordering::Relaxed));
        step();
        mailbox.fetch_add(1, Ordering::Release);
        self.end(span);
        step();
        seat.settle(span.count);
        step();
        seat.clear(0, 1);
        step();
    }

    /// What the owner does about a worker that has died and been swept.
    fn bury(&self, number: usize) {
        let heap = Heap(Me(OWNER));
        let dead = SlotId::from_raw(slot(number)).expect("not 0");
        self.tasks.repair(&heap, dead);
        let seat = &self.seats[number];
        let lease = seat.lease_that_counts(|ordinal| self.tasks.is_taken(&heap, ordinal));
        seat.vacate();
        let Some(lease) = lease else { return };
        let put = self.mailboxes[number].load(Ordering::Acquire);
        let cost = lease.cost(lease.settled_by(|ordinal| put > ordinal));
        [cost.unpublished, cost.lost].into_iter().flatten().for_each(|span| self.end(span));
        cost.again.into_iter().for_each(|span| self.send(span));
    }

    /// Does what is left, and looks whether every task has ended once.
    fn close(&self, number: usize) {
        while self.tasks.len(&Heap(Me(OWNER))) > 0 {
            self.work(number);
        }
        assert!(self.seats.iter().all(|seat| seat.lease().is_none()), "leased for ever");
        let ends: Vec<_> = self.ends.iter().map(|ends| ends.load(PlainOrdering::SeqCst)).collect();
        assert!(ends.iter().all(|times| *times == 1), "tasks have ended so often: {ends:?}");
    }
}

/// Runs `model` with deaths at step 0, 1, ... until there is no such step; it says whether it died.
fn for_each_step(least: u32, model: impl Fn(u32) -> bool) {
    let steps = (0..).find(|nth| !model(*nth)).expect("there is a last step");
    assert!(steps >= least, "only {steps} steps");
}

/// Explores a model with a death at step `nth`; whether any order of steps led to it.
fn explore_death(nth: u32, preemptions: usize, model: fn(u32) -> bool) -> bool {
    let died = std::sync::Arc::new(AtomicBool::new(false));
    let seen = died.clone();
    explore(preemptions, move || {
        if model(nth) {
            seen.store(true, PlainOrdering::SeqCst);
        }
    });
    died.load(PlainOrdering::SeqCst)
}

#[test]
fn loom_every_lease_ends_once_wherever_its_worker_dies() {
    for_each_step(12, |nth| {
        explore_death(nth, 2, |nth| {
            let pool = Pool::new(2);
            let victim = {
                let pool = pool.clone();
                thread::spawn(move || dies_at(nth, || pool.work(0)))
            };
            let survivor = {
                let pool = pool.clone();
                thread::spawn(move || pool.work(1))
            };
            let died = victim.join().expect("no panic");
            if died {
                pool.bury(0);
            }
            survivor.join().expect("no panic");
            pool.close(2);
            died
        })
    });
}

#[test]
fn loom_a_record_whose_takers_die_one_after_another_is_leased_once() {
    for first in 0..6 {
        for_each_step(12, |nth| {
            let died = std::sync::Arc::new(AtomicBool::new(false));
            let seen = died.clone();
            explore(2, move || {
                let pool = Pool::new(1);
                assert!(dies_at(first, || pool.work(0)));
                // The lock is free again, but the owner has not buried the first one yet.
                pool.tasks.repair(&Heap(Me(OWNER)), SlotId::from_raw(slot(0)).expect("not 0"));
                if pool.tasks.len(&Heap(Me(OWNER))) == 0 {
                    pool.bury(0);
                    if pool.tasks.len(&Heap(Me(OWNER))) == 0 {
                        return pool.close(2);
                    }
                }
                let second = {
                    let pool = pool.clone();
                    thread::spawn(move || dies_at(nth, || pool.work(1)))
                };
                pool.bury(0);
                if second.join().expect("no panic") {
                    seen.store(true, PlainOrdering::SeqCst);
                    pool.bury(1);
                }
                pool.close(2);
            });
            died.load(PlainOrdering::SeqCst)
        });
    }
}

/// Runs one task of a batch under a limit; false if it was condemned and the process is killed.
fn runs_in_time(seat: &Seat, is_killed: &AtomicU32) -> bool {
    seat.begin();
    while !seat.finish_in_time() {
        if is_killed.load(Ordering::Acquire) != 0 {
            return false;
        }
        thread::yield_now();
    }
    true
}

#[test]
fn loom_a_condemned_task_is_the_one_that_was_meant_and_does_not_finish() {
    explore(3, || {
        let shared = Arc::new((Seat::default(), AtomicU32::new(0)));
        let batch = |ordinal: u32| Span { job: 1, first: u64::from(ordinal), count: 1 };
        shared.0.sign(0, batch(0));
        let worker = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (seat, is_killed) = &*shared;
                for ordinal in 0..2 {
                    if !runs_in_time(seat, is_killed) {
                        return Some(ordinal);
                    }
                    seat.clear(0, 1);
                    if ordinal == 0 {
                        seat.sign(1, batch(1));
                    }
                }
                None
            })
        };
        let (seat, is_killed) = &*shared;
        let meant = seat.lease().filter(|lease: &Lease| seat.condemn(lease));
        if meant.is_some() {
            is_killed.store(1, Ordering::Release);
        }
        let stopped = worker.join().expect("no panic");
        assert_eq!(meant.map(|lease| lease.ordinal), stopped);
    });
}

#[test]
fn loom_no_flag_is_overlooked() {
    explore(3, || {
        let shared = Arc::new((Flags::default(), EventCount::new(), [0, 0].map(AtomicU32::new)));
        let workers: Vec<_> = (0..2)
            .map(|seat| {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (flags, ready, mailboxes) = &*shared;
                    for _ in 0..2 - seat {
                        mailboxes[seat].fetch_add(1, Ordering::Release);
                        flags.raise(seat);
                        ready.notify_one();
                    }
                })
            })
            .collect();
        let (flags, ready, mailboxes) = &*shared;
        let mut seen = [0; 2];
        while seen != [2, 1] {
            flags.take().for_each(|seat| seen[seat] = mailboxes[seat].load(Ordering::Acquire));
            let ticket = ready.register();
            if seen != [2, 1] && !flags.any() {
                let _ = ready.sleep(ticket, None);
            }
        }
        workers.into_iter().for_each(|worker| worker.join().expect("no panic"));
    });
}
