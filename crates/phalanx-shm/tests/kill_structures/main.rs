//! The kill matrix of arena, table, objects, rings and the sweep: for every named step of the
//! sources a process dies (or is stopped) there, and the others repair and go on.

#![allow(unsafe_code, reason = "tests fork, kill and wait")]
#![allow(clippy::print_stdout, reason = "its counts are part of its report")]

mod boxes;
mod ledger;
mod random;
mod stage;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use phalanx_shm::family::Family;
use phalanx_shm::peers::Peers;
use phalanx_shm::table::Life;
use phalanx_shm::{failpoint, table};

use boxes::Boxes;
use ledger::{Clerk, Ledger};
use stage::{Actor, Fate, Outcome, actor, play};
use work::{LIMITS, Rings, drain, everything, is_usable, new_ring, puts_and_takes, soon};

const LIMIT: Duration = Duration::from_secs(30);
const REACHED: i32 = 0;
const NOT_REACHED: i32 = 1;

/// Who notices the death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The parent, which reaps the process and sweeps.
    Reaped,
    /// Processes that wait for what the dead one had; nobody reaps it until they have gone on.
    Unreaped,
    /// Nobody: it is only stopped, and goes on later.
    Stopped,
}

/// What every run begins with.
pub(crate) struct Scene {
    pub(crate) family: &'static Family,
    pub(crate) ledger: &'static Ledger,
    pub(crate) rings: Rings,
    pub(crate) boxes: Boxes,
}

impl Scene {
    pub(crate) fn set() -> Self {
        let family = Family::get().expect("an arena");
        let rings = LIMITS.map(|limit| new_ring(family, limit)).into();
        Self { family, ledger: Ledger::create(), rings, boxes: Boxes::new(family) }
    }

    fn victim(&self, step: &str, signal: i32, nth: u32) -> Actor {
        actor(self.family, || {
            failpoint::arm(step, signal, nth);
            everything(self, 1);
        })
    }

    /// The stopped one must be left alone, and nobody may wait longer than asked.
    fn goes_on_beside(&self, stopped: &Actor) {
        let mut clerk = Clerk::new(self.ledger, 0, self.rings.len());
        for (which, ring) in self.rings.iter().enumerate() {
            clerk.put(ring, self.family, 50, &soon(2));
            clerk.take(which, ring, self.family, &soon(2));
        }
        self.boxes.work(self.family, 1, &soon(2));
        assert!(self.family.check(stopped.place), "a stopped process is alive");
        assert_eq!(self.family.arena().table().life(stopped.place), Life::Alive);
    }

    fn snapshot(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let arena = self.family.arena();
        let lens: Vec<_> = self.rings.iter().map(|ring| ring.len(self.family)).collect();
        let boxes = self.boxes.state(self.family);
        (arena.census(), arena.committed_bytes(), arena.counted_bytes(), lens, boxes)
    }

    /// What must hold at the end of every run. `gone` are the places of those who died, `dead` the
    /// numbers of the killed producers and consumers.
    pub(crate) fn close(self, gone: &[phalanx_shm::peers::SlotId], dead: &[usize]) -> usize {
        let family = self.family;
        self.boxes.check(family);
        let once = self.snapshot();
        for place in gone {
            assert!(!family.check(*place), "nobody lives at the place of a dead process");
            family.on_child_end(*place);
        }
        assert_eq!(once, self.snapshot(), "a second sweep changed something");
        is_usable(family, &self.rings, self.ledger);
        let mut clerk = Clerk::new(self.ledger, 7, self.rings.len());
        drain(family, &self.rings, &mut clerk);
        let lost = self.ledger.settle(dead);
        drop(self.rings);
        self.boxes.check(family);
        drop(self.boxes);
        // Places whose processes never came, for their parent died.
        table::set_nascent_limit(Duration::ZERO);
        family.sweep_all();
        family.give_back();
        let arena = family.arena();
        assert_eq!(arena.census(), Default::default(), "chunks were leaked");
        assert_eq!(arena.committed_bytes(), arena.counted_bytes(), "the accounts are wrong");
        let living = arena.table().ids().filter(|id| arena.table().life(*id) != Life::Vacant);
        assert_eq!(living.count(), 1, "places were leaked");
        // Header, table and chunk words are not counted; a leak of a large chunk is larger.
        let backed = blocks(family) * 512;
        assert!(backed < arena.committed_bytes() + (400 << 10), "{backed} bytes are still backed");
        lost
    }
}

fn blocks(family: &Family) -> u64 {
    // SAFETY: all zero is a valid value of this plain struct.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor and a place for the answer.
    let done = unsafe { libc::fstat(family.arena_fd().as_raw_fd(), &raw mut stat) };
    assert_eq!(done, 0);
    stat.st_blocks as u64
}

/// A process dies in the midst of its work.
fn victim_run(step: &str, nth: u32, mode: Mode) -> Outcome {
    play(LIMIT, || {
        let scene = Scene::set();
        let family = scene.family;
        let signal = if mode == Mode::Stopped { libc::SIGSTOP } else { libc::SIGKILL };
        let mate = (mode == Mode::Unreaped).then(|| actor(family, || puts_and_takes(&scene, 2)));
        let victim = scene.victim(step, signal, nth);
        let dead: &[usize] = match mode {
            Mode::Stopped => {
                if victim.wait() != Fate::Stopped {
                    return NOT_REACHED;
                }
                scene.goes_on_beside(&victim);
                victim.signal(libc::SIGCONT);
                assert_eq!(victim.wait(), Fate::Exited(0), "after SIGCONT");
                &[]
            }
            Mode::Reaped => match victim.wait() {
                Fate::Killed(_) => &[1],
                Fate::Exited(0) => return NOT_REACHED,
                other => panic!("the victim: {other:?}"),
            },
            Mode::Unreaped => {
                if !victim.await_kill_unreaped() {
                    assert_eq!(victim.wait(), Fate::Exited(0), "the victim");
                    return NOT_REACHED;
                }
                let before = scene.ledger.ops(2);
                while scene.ledger.ops(2) < before + 60 {
                    std::thread::sleep(Duration::from_micros(200));
                }
                victim.wait();
                &[1]
            }
        };
        family.on_child_end(victim.place);
        scene.ledger.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        mate.into_iter().for_each(|mate| mate.finish(family));
        scene.close(&[victim.place], dead);
        REACHED
    })
}

/// A process dies while it sweeps another, which died at the step `ghost`.
fn sweeper_run(step: &str, ghost: (&str, u32), mode: Mode) -> Outcome {
    play(LIMIT, || {
        let scene = Scene::set();
        let family = scene.family;
        let ghost = scene.victim(ghost.0, libc::SIGKILL, ghost.1);
        assert!(ghost.await_kill_unreaped(), "the ghost's step was not reached");
        let signal = if mode == Mode::Stopped { libc::SIGSTOP } else { libc::SIGKILL };
        let sweeper = actor(family, || {
            failpoint::arm(step, signal, 0);
            family.check(ghost.place);
        });
        match mode {
            Mode::Stopped => {
                if sweeper.wait() != Fate::Stopped {
                    return NOT_REACHED;
                }
                scene.goes_on_beside(&sweeper);
                sweeper.signal(libc::SIGCONT);
                assert_eq!(sweeper.wait(), Fate::Exited(0), "after SIGCONT");
            }
            Mode::Reaped => {
                if sweeper.wait() == Fate::Exited(0) {
                    return NOT_REACHED;
                }
                family.on_child_end(sweeper.place);
            }
            Mode::Unreaped => {
                if !sweeper.await_kill_unreaped() {
                    return NOT_REACHED;
                }
                actor(family, || {
                    let mut clerk = Clerk::new(scene.ledger, 3, scene.rings.len());
                    for (which, ring) in scene.rings.iter().enumerate().take(2) {
                        assert!(clerk.put(
                            ring,
                            family,
                            50,
                            &phalanx_shm::patience::Patience::forever()
                        ));
                        assert!(clerk.take(
                            which,
                            ring,
                            family,
                            &phalanx_shm::patience::Patience::forever()
                        ));
                    }
                    scene.boxes.work(family, 2, &phalanx_shm::patience::Patience::forever());
                })
                .finish(family);
                sweeper.wait();
            }
        }
        ghost.wait();
        family.on_child_end(ghost.place);
        family.on_child_end(sweeper.place);
        scene.close(&[ghost.place, sweeper.place], &[1]);
        REACHED
    })
}

/// A producer dies or is stopped while it lets a ring grow; consumers go past the place where it
/// stands, and what it stands on is used for something else.
fn overtaking_run(step: &str, mode: Mode) -> Outcome {
    play(LIMIT, || {
        let scene = Scene::set();
        let family = scene.family;
        let signal = if mode == Mode::Stopped { libc::SIGSTOP } else { libc::SIGKILL };
        let victim = scene.victim(step, signal, 0);
        match (mode, victim.wait()) {
            (Mode::Stopped, Fate::Stopped) | (Mode::Reaped, Fate::Killed(_)) => {}
            _ => return NOT_REACHED,
        }
        let mut clerk = Clerk::new(scene.ledger, 0, scene.rings.len());
        while clerk.take(0, &scene.rings[0], family, &soon(0)) {}
        let reused: Vec<_> = (0..80)
            .map(|_| {
                let chunk = family.alloc(2300).expect("memory");
                family.arena().write(chunk, 0, &[0xab; 2300]);
                chunk
            })
            .collect();
        assert_eq!(scene.rings[0].len(family), 0, "nothing is left in the ring");
        if mode == Mode::Stopped {
            victim.signal(libc::SIGCONT);
            assert_eq!(victim.wait(), Fate::Exited(0), "after SIGCONT");
        }
        family.on_child_end(victim.place);
        reused.into_iter().for_each(|chunk| family.free(chunk));
        scene.close(&[victim.place], &[1]);
        REACHED
    })
}

/// A child dies or is stopped before it has a name of its own in the table.
fn nascent_run(step: &str, _nth: u32, mode: Mode) -> Outcome {
    play(LIMIT, || {
        let scene = Scene::set();
        let family = scene.family;
        let signal = if mode == Mode::Stopped { libc::SIGSTOP } else { libc::SIGKILL };
        failpoint::arm(step, signal, 0);
        // SAFETY: this process has one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) };
        }
        failpoint::disarm();
        let child = Actor { pid, place: family.last_forked().expect("a place") };
        match (mode, child.wait()) {
            (Mode::Stopped, Fate::Stopped) => {
                scene.goes_on_beside(&child);
                child.signal(libc::SIGCONT);
                assert_eq!(child.wait(), Fate::Exited(0), "after SIGCONT");
            }
            (Mode::Unreaped, Fate::Killed(_)) => family.name_child(child.place, pid as u32),
            (Mode::Reaped, Fate::Killed(_)) => {}
            _ => return NOT_REACHED,
        }
        family.on_child_end(child.place);
        scene.close(&[child.place], &[]);
        REACHED
    })
}

/// Steps that are reached by sweeping; and what the swept process had been doing.
const SWEEPS: [&str; 5] =
    ["sweep.", "ring.repair.", "containers.repair.", "arena.settle.", "table.vacate."];
const GHOSTS: [(&str, u32); 12] = [
    ("ring.put.attached", 1),
    ("ring.take.moved", 1),
    ("ring.grow.attached", 1),
    ("ring.grow.linked", 1),
    // In a ring of its own, with records in it.
    ("ring.grow.moved", 4),
    ("ring.prepare.put", 0),
    ("ring.move.moved", 1),
    ("arena.back.populated", 1),
    ("object.create.published", 1),
    ("containers.run.attached", 1),
    ("containers.table.record_attached", 1),
    ("containers.table.record_detached", 1),
];
/// Steps that are reached by sweeping, and otherwise too.
const DESTROYS: [&str; 3] = ["ring.destroy.", "containers.destroy.", "object.destroy."];
const NASCENT: [&str; 2] = ["family.fork.nameless", "table.adopt.named"];

/// All steps that the sources name.
fn steps() -> BTreeSet<String> {
    fn collect(folder: &Path, steps: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("readable").path();
            // The words, the pool's leases, the pipe's bell and handles in messages have matrices of their
            // own; the macro's own page names a step as an example.
            let others = ["words", "leases", "bell", "passage.rs", "failpoint.rs"];
            let other = others.iter().any(|name| path.ends_with(name));
            if path.is_dir() && !other {
                collect(&path, steps);
            } else if !other {
                let text = std::fs::read_to_string(path).expect("readable");
                for call in text.split("failpoint!(\"").skip(1) {
                    steps.insert(call.split('"').next().expect("a name").to_owned());
                }
            }
        }
    }
    let mut steps = BTreeSet::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut steps);
    // What messages named, which nothing here does.
    steps.remove("sweep.collected");
    assert!(steps.len() > 40, "the sources were not found");
    // Of passages too.
    steps.remove("sweep.collected");
    steps
}

#[derive(Default)]
struct Tally {
    runs: usize,
    reached: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Tally {
    fn note(&mut self, step: &str, what: String, outcome: Outcome) {
        match outcome {
            Ok(REACHED) => {
                self.runs += 1;
                *self.reached.entry(step.to_owned()).or_default() += 1;
            }
            Ok(_) => {}
            Err(why) => {
                self.runs += 1;
                eprintln!("FAILED {what}: {why}");
                self.failures.push(what);
            }
        }
    }
}

/// The name under which test runners know the whole matrix.
const NAME: &str = "every_step_of_every_structure";

fn main() {
    // As much of the usual harness's interface as test runners need.
    if std::env::args().any(|argument| argument == "--list") {
        if !std::env::args().any(|argument| argument == "--ignored") {
            println!("{NAME}: test");
        }
        return;
    }
    let only = std::env::args()
        .nth(1)
        .filter(|arg| !arg.starts_with('-') && arg != NAME)
        .unwrap_or_default();
    let start = Instant::now();
    let steps = steps();
    let mut tally = Tally::default();
    for step in steps.iter().filter(|step| step.contains(&only)) {
        for mode in [Mode::Reaped, Mode::Unreaped, Mode::Stopped] {
            if NASCENT.contains(&step.as_str()) {
                let outcome = nascent_run(step, 0, mode);
                tally.note(step, format!("{step} {mode:?}"), outcome);
                continue;
            }
            let starts = |prefixes: &[&str]| prefixes.iter().any(|p| step.starts_with(p));
            if starts(&SWEEPS) || starts(&DESTROYS) {
                for ghost in GHOSTS {
                    let outcome = sweeper_run(step, ghost, mode);
                    tally.note(step, format!("{step} {mode:?} after {ghost:?}"), outcome);
                }
            }
            if !starts(&SWEEPS) {
                for nth in [0, 5] {
                    let outcome = victim_run(step, nth, mode);
                    tally.note(step, format!("{step} {mode:?} {nth}"), outcome);
                }
            }
        }
    }
    for step in steps.iter().filter(|s| s.starts_with("ring.grow.") && s.contains(&only)) {
        for mode in [Mode::Reaped, Mode::Stopped] {
            let outcome = overtaking_run(step, mode);
            tally.note(step, format!("{step} {mode:?}, overtaken"), outcome);
        }
    }
    let never: Vec<_> =
        steps.iter().filter(|s| s.contains(&only) && !tally.reached.contains_key(*s)).collect();
    println!(
        "kill matrix of the structures: {} steps, {} runs, {} failures, {} steps never reached, {:.1?}",
        tally.reached.len(),
        tally.runs,
        tally.failures.len(),
        never.len(),
        start.elapsed()
    );
    let random = if only.is_empty() || only == "random" { random::run() } else { 0 };
    assert!(never.is_empty(), "steps that no run reached: {never:?}");
    assert!(tally.failures.is_empty() && random == 0, "{:#?}", tally.failures);
}
