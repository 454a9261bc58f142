//! What the death of a worker costs, told exactly, for each step at which it may die.
//!
//! A worker leases a batch of three tasks and dies at a step. Nobody corrects what the crew says.

mod pool_support;

use phalanx::Patience;
use phalanx::message::Outgoing;
use phalanx::pool::{Bench, Crew, Ended, Span};
use phalanx::process::{ExitStatus, fork};
use phalanx_shm::failpoint;
use phalanx_shm::family::Family;
use pool_support::watchdog;

const JOB: u64 = 5;
const FIRST: u64 = 40;

/// How the worker goes about its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    /// Each result is published when its task has run.
    Singly,
    /// All results are published together.
    Together,
    /// The batch cannot be read, which answers all of it at once.
    Refusing,
    /// The function cannot be had, which answers each task, none of which begins.
    Failing,
}

fn work(bench: &Bench, style: Style) {
    let (mut batch, mut scratch) = (Vec::new(), Vec::new());
    let leased = bench.lease(&mut batch, &Patience::forever(), &|| false);
    let leased = leased.expect("no limit").expect("a batch");
    let mut publish = |settles: u32| {
        let body = Outgoing::Inline(b"result");
        bench.publish(settles, &[settles as u8], body, &mut scratch).expect("memory");
    };
    for task in 0..leased.span.count {
        match style {
            Style::Refusing => {}
            Style::Failing => publish(task + 1),
            Style::Singly | Style::Together => {
                bench.begin();
                if style == Style::Singly {
                    publish(task + 1);
                }
                bench.finish();
            }
        }
    }
    if matches!(style, Style::Together | Style::Refusing) {
        publish(leased.span.count);
    }
    bench.done(1, u64::from(leased.span.count));
}

/// The worker of a batch of three dies at the step, reached for the n-th time: what that cost, and
/// how many records had been published.
fn play(style: Style, step: &'static str, nth: u32) -> (Ended, usize) {
    let family = Family::get().expect("a family");
    let crew = Crew::new(family, 1).expect("memory");
    let bench = crew.bench(0).expect("memory");
    let mut scratch = Vec::new();
    let span = Span { job: JOB, first: FIRST, count: 3 };
    crew.submit(span, [0; 2], Outgoing::Inline(b"tasks"), &mut scratch).expect("memory");
    let child = fork::run(|| {
        failpoint::arm(step, 9, nth);
        work(&bench, style);
        0
    });
    let status = child.expect("a child").wait(Patience::forever()).expect("its end");
    assert_eq!(status, ExitStatus::Signal(9), "{style:?}: {step} was not reached {nth} times");
    let mut published = 0;
    let ended = crew.bury(0, &mut scratch, &mut |_| published += 1);
    assert_eq!(crew.queued(), usize::from(step == "pool.lease.signed"), "{style:?}: {step}");
    (ended, published)
}

/// Tasks of the batch.
fn part(tasks: std::ops::Range<u32>) -> Option<Span> {
    let count = tasks.end - tasks.start;
    (count > 0).then(|| Span { job: JOB, first: FIRST + u64::from(tasks.start), count })
}

/// How far the worker came: of its three tasks so many answered, run, and begun.
#[derive(Debug)]
struct Expect(u32, u32, u32);

#[test]
fn what_a_death_costs() {
    let _watchdog = watchdog(60);
    use Style::{Failing, Refusing, Singly, Together};
    let scenes = [
        (Singly, "pool.lease.taken", 0, Expect(0, 0, 0)),
        (Singly, "pool.task.begun", 0, Expect(0, 0, 1)),
        (Singly, "pool.task.ran", 1, Expect(1, 1, 2)),
        (Singly, "pool.result.promised", 1, Expect(1, 1, 2)),
        (Singly, "ring.put.written", 1, Expect(1, 1, 2)),
        (Singly, "ring.put.published", 1, Expect(2, 1, 2)),
        (Singly, "pool.result.published", 0, Expect(1, 0, 1)),
        (Singly, "pool.result.published", 2, Expect(3, 2, 3)),
        (Singly, "pool.result.settled", 1, Expect(2, 1, 2)),
        (Singly, "pool.result.flagged", 1, Expect(2, 1, 2)),
        (Singly, "pool.task.finished", 1, Expect(2, 2, 2)),
        (Singly, "pool.batch.done", 0, Expect(3, 3, 3)),
        (Together, "pool.task.begun", 1, Expect(0, 1, 2)),
        (Together, "pool.task.finished", 1, Expect(0, 2, 2)),
        (Together, "pool.task.ran", 0, Expect(0, 3, 3)),
        (Together, "pool.result.promised", 0, Expect(0, 3, 3)),
        (Together, "ring.put.published", 0, Expect(3, 3, 3)),
        (Together, "pool.result.published", 0, Expect(3, 3, 3)),
        (Together, "pool.batch.done", 0, Expect(3, 3, 3)),
        (Refusing, "pool.result.promised", 0, Expect(0, 0, 0)),
        (Refusing, "pool.result.published", 0, Expect(3, 0, 0)),
        (Failing, "pool.result.promised", 2, Expect(2, 0, 0)),
        (Failing, "pool.result.published", 0, Expect(1, 0, 0)),
        (Failing, "pool.result.settled", 1, Expect(2, 0, 0)),
    ];
    for (style, step, nth, expect) in scenes {
        let Expect(answered, run, begun) = expect;
        let expected = Ended {
            lost: part(run.max(answered)..begun.max(answered).max(run)),
            again: part(begun.max(answered)..3),
            unpublished: part(answered..run.max(answered)),
            staged: None,
            begun: begun > 0,
            left: false,
        };
        let (ended, published) = play(style, step, nth);
        assert_eq!(ended, expected, "{style:?}: {step}, {nth}");
        let records = match style {
            Together | Refusing => answered / 3,
            Singly | Failing => answered,
        };
        assert_eq!(published, records as usize, "{style:?}: {step}, {nth}");
    }
}

#[test]
fn a_lease_on_what_was_not_taken_counts_for_nothing() {
    let _watchdog = watchdog(60);
    let (lost, again, unpublished, staged) = (None, None, None, None);
    let nothing = Ended { lost, again, unpublished, staged, begun: false, left: false };
    assert_eq!(play(Style::Singly, "pool.lease.signed", 0), (nothing.clone(), 0));
    assert_eq!(play(Style::Singly, "pool.batch.cleared", 0).0, nothing);

    // Neither if somebody else has taken it since.
    let family = Family::get().expect("a family");
    let crew = Crew::new(family, 2).expect("memory");
    let benches = [0, 1].map(|seat| crew.bench(seat).expect("memory"));
    let mut scratch = Vec::new();
    let span = Span { job: JOB, first: FIRST, count: 3 };
    crew.submit(span, [0; 2], Outgoing::Inline(b"tasks"), &mut scratch).expect("memory");
    let steps = ["ring.take.read", "pool.task.begun"];
    for (bench, step) in benches.iter().zip(steps) {
        let child = fork::run(|| {
            failpoint::arm(step, 9, 0);
            work(bench, Style::Singly);
            0
        });
        let status = child.expect("a child").wait(Patience::forever()).expect("its end");
        assert_eq!(status, ExitStatus::Signal(9));
    }
    assert_eq!(crew.bury(0, &mut scratch, &mut |_| ()), nothing);
    let second = crew.bury(1, &mut scratch, &mut |_| ());
    assert_eq!((second.lost, second.again), (part(0..1), part(1..3)));
}
