//! The kill matrix of the words: SIGKILL between any two writes to shared memory.
//!
//! For each step a scene is played by processes: a *victim* that dies at the step, often a
//! *bystander* that waits for something which the victim had, and the *director* (the test itself)
//! that repairs. Afterwards nothing may name the dead, the bystander must have ended, and a second
//! repair must change nothing. Each scene is played twice: in the second play the victim is
//! stopped at the step first, and nobody may take it for dead.

mod scenes;
mod world;

use std::collections::BTreeSet;

use phalanx_shm::failpoint;
use phalanx_shm::peers::Peers;
use phalanx_shm::words::{End, Holder};
use world::{Ended, TestPeers, World, fork, slot_id, watchdog};

pub(crate) const DIRECTOR: u16 = 1;
pub(crate) const VICTIM: u16 = 2;
pub(crate) const BYSTANDER: u16 = 3;
/// A process that is dead before the scene begins.
pub(crate) const GHOST: u16 = 4;

type Play = fn(&TestPeers);

/// What happens around one step.
pub(crate) struct Scene {
    /// The step at which the victim dies.
    pub(crate) step: &'static str,
    /// By the director, before anybody else is there.
    pub(crate) before: Play,
    /// By the victim; it reaches the step.
    pub(crate) victim: Play,
    /// By the bystander, from the beginning; it has to come to its end.
    pub(crate) bystander: Play,
    /// By the director, while the others play.
    pub(crate) during: Play,
    /// By the director, after the repair and before it waits for the bystander.
    pub(crate) after: Play,
    /// By the director, at the end.
    pub(crate) finally: Play,
}

fn nothing(_: &TestPeers) {}

impl Scene {
    const fn new(step: &'static str, victim: Play) -> Self {
        Self {
            step,
            before: nothing,
            victim,
            bystander: nothing,
            during: nothing,
            after: nothing,
            finally: nothing,
        }
    }
}

fn play(scene: &Scene, stop_first: bool) {
    let _watchdog = watchdog(40);
    let world = World::create();
    let director = TestPeers { world, slot: DIRECTOR };
    (scene.before)(&director);
    let bystander = fork(world, BYSTANDER, |me| (scene.bystander)(me));
    let victim = fork(world, VICTIM, |me| {
        let signal = if stop_first { libc::SIGSTOP } else { libc::SIGKILL };
        failpoint::arm(scene.step, signal, 0);
        (scene.victim)(me);
    });
    (scene.during)(&director);
    if stop_first {
        assert_eq!(victim.wait(), Ended::Stopped, "{}: the step was not reached", scene.step);
        assert!(director.check(slot_id(VICTIM)), "{}: a stopped process is alive", scene.step);
        victim.signal(libc::SIGKILL);
    }
    let killed = Ended::Killed(libc::SIGKILL);
    assert_eq!(victim.wait(), killed, "{}: the step was not reached", scene.step);
    world.bury(VICTIM, End::Abnormal);
    (scene.after)(&director);
    assert_eq!(bystander.wait(), Ended::Exited(0), "{}: the bystander", scene.step);
    assert_names_nobody(world, scene.step);
    let once = meaning(world);
    world.bury(VICTIM, End::Abnormal);
    assert_eq!(once, meaning(world), "{}: a second repair changed something", scene.step);
    // The second may have taken away a mark that the bystander left when it had slept.
    let twice = world.snapshot();
    world.bury(VICTIM, End::Abnormal);
    assert_eq!(twice, world.snapshot(), "{}: a third repair changed a bit", scene.step);
    (scene.finally)(&director);
}

/// What users can see of the words.
fn meaning(world: &World) -> impl PartialEq + std::fmt::Debug {
    (
        (world.lock.holder(), world.rlock.holder(), world.rlock.depth()),
        (world.permits().value(), world.signals().value()),
        (world.condition().waiting(), world.event.is_set()),
        (world.barrier().is_broken(), world.barrier().waiting()),
    )
}

fn assert_names_nobody(world: &World, step: &str) {
    let dead = slot_id(VICTIM);
    assert_ne!(world.lock.holder(), Holder::Process(dead), "{step}: the lock");
    assert_ne!(world.rlock.holder(), Holder::Process(dead), "{step}: the re-entrant lock");
    assert_eq!(world.permits().held(dead), 0, "{step}: the semaphore");
    assert!(!world.condition().names(dead), "{step}: the condition");
    assert!(!world.barrier().names(dead), "{step}: the barrier");
}

#[test]
fn killed_at_each_step() {
    let all = scenes::all();
    for scene in &all {
        play(scene, false);
    }
    println!("kill matrix of the words: {} steps, {} runs, 0 failures", all.len(), all.len());
}

#[test]
fn stopped_at_each_step_then_killed() {
    for scene in &scenes::all() {
        play(scene, true);
    }
}

#[test]
fn each_step_has_a_scene() {
    let mut steps = BTreeSet::new();
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src/words");
    for entry in std::fs::read_dir(sources).expect("the sources are there") {
        let text = std::fs::read_to_string(entry.expect("readable").path()).expect("readable");
        for call in text.split("failpoint!(\"").skip(1) {
            steps.insert(call.split('"').next().expect("a name").to_owned());
        }
    }
    let played: BTreeSet<_> = scenes::all().iter().map(|scene| scene.step.to_owned()).collect();
    assert!(steps.len() > 20, "the sources were not found");
    assert_eq!(steps, played, "each step of the sources is played, and no other");
}
