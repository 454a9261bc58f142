//! Producers and consumers that are killed at random, by a schedule that follows from a seed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use phalanx_shm::patience::Patience;

use crate::Scene;
use crate::ledger::Clerk;
use crate::stage::{Actor, Fate, actor, play};
use crate::work::{everything, puts_and_takes};

const KILLS: usize = 40;
const ROUNDS: u64 = 4;

/// Numbers that follow from a seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Plays all rounds; returns how many failed.
pub(crate) fn run() -> usize {
    let seed = std::env::var("PHALANX_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1);
    let mut failures = 0;
    for round in 0..ROUNDS {
        let seed = seed + round;
        if let Err(why) = play(Duration::from_secs(60), || one_round(seed)) {
            eprintln!("FAILED random killing, PHALANX_TEST_SEED={seed}: {why}");
            failures += 1;
        }
    }
    println!("random killing: {ROUNDS} rounds of {KILLS} kills, {failures} failures, seed {seed}");
    failures
}

fn one_round(seed: u64) -> i32 {
    let scene = Scene::set();
    let family = scene.family;
    let mut numbers = Numbers(seed | 1);
    // Actor 0 does everything there is, the others put and take.
    let start = |who: usize| {
        actor(family, || match who {
            0 => loop {
                everything(&scene, who);
                if scene.ledger.stop.load(Ordering::SeqCst) {
                    break;
                }
            },
            _ => puts_and_takes(&scene, who),
        })
    };
    let mut actors: Vec<(usize, Actor)> = (0..4).map(|who| (who, start(who))).collect();
    let (mut gone, mut lost_at_most) = (Vec::new(), 0);
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_micros(numbers.below(6000)));
        let at = numbers.below(actors.len() as u64) as usize;
        let (who, actor) = actors.swap_remove(at);
        actor.signal(libc::SIGKILL);
        if numbers.below(2) == 0 {
            // The others notice first.
            assert!(actor.await_kill_unreaped());
            std::thread::sleep(Duration::from_micros(numbers.below(3000)));
        }
        assert_eq!(actor.wait(), Fate::Killed(libc::SIGKILL), "an actor ended by itself");
        family.on_child_end(actor.place);
        lost_at_most += usize::from(scene.ledger.was_taking(who));
        gone.push(actor.place);
        actors.push((who, start(who)));
    }
    scene.ledger.stop.store(true, Ordering::SeqCst);
    for (_, actor) in actors {
        actor.finish(family);
    }
    // One more that waits for something: nobody is stuck.
    let mut clerk = Clerk::new(scene.ledger, 6, scene.rings.len());
    assert!(clerk.put(&scene.rings[0], family, 10, &Patience::forever()));
    gone.retain(|place| family.arena().table().life(*place) != phalanx_shm::table::Life::Alive);
    scene.ledger.allow(lost_at_most);
    let lost = scene.close(&gone, &[]);
    println!(
        "seed {seed}: {lost} records lost in the hands of killed consumers, at most {lost_at_most}"
    );
    0
}
