//! What the actors of a run do: everything that the structures can do.

use std::time::Duration;

use phalanx_shm::family::Family;
use phalanx_shm::frozen::Draft;
use phalanx_shm::object::{Bytes, Shared};
use phalanx_shm::patience::Patience;
use phalanx_shm::ring::{Record, Ring, Taken};

use crate::Scene;
use crate::boxes::Boxes;
use crate::ledger::{Clerk, Ledger};
use crate::stage::actor;

/// Limits of the rings that the actors share.
pub(crate) const LIMITS: [u32; 3] = [0, 0, 20];

pub(crate) type Rings = Vec<Shared<Ring>>;

pub(crate) fn new_ring(family: &'static Family, limit: u32) -> Shared<Ring> {
    let ring = Shared::<Ring>::new(family, |_| {}).expect("memory");
    ring.prepare(family, limit).expect("memory");
    ring
}

pub(crate) fn soon(ms: u64) -> Patience<'static> {
    Patience::timeout(Some(Duration::from_millis(ms)))
}

/// Uses every operation, several times over; each step of the sources is reached by this.
pub(crate) fn everything(scene: &Scene, who: usize) {
    let (family, rings, ledger) = (scene.family, &scene.rings, scene.ledger);
    let mut clerk = Clerk::new(ledger, who, rings.len());
    let mut kept = Vec::new();
    for round in 0..10 {
        let which = round % rings.len();
        let ring = &rings[which];
        for k in 0..30 {
            let len = [40, 700, 20_000, 1500, 90_000][k % 5];
            clerk.put(ring, family, len, &soon(1));
        }
        for _ in 0..30 {
            if clerk.take(which, ring, family, &soon(1)) {
                ring.task_done(family);
            }
        }
        a_ring_of_its_own(family, round);
        scene.boxes.work(family, round, &soon(1));
        Boxes::on_its_own(family);
        let object = Shared::<Bytes>::with_tail(family, 3000, |_| {}).expect("memory");
        drop(object.clone());
        drop(object);
        frozen_and_thawed(family);
        kept.extend((0..70).map(|_| family.alloc(2600).expect("memory")));
        if round % 3 == 0 {
            let large: Vec<_> = (0..6).map(|_| family.alloc(600_000).expect("memory")).collect();
            large.into_iter().for_each(|chunk| family.free(chunk));
            family.give_back();
        }
        actor(family, || {}).finish(family);
    }
    kept.into_iter().for_each(|chunk| family.free(chunk));
}

/// Bytes that are written, frozen, and made this process's own again.
fn frozen_and_thawed(family: &'static Family) {
    let mut draft = Draft::new(family, 5000).expect("memory");
    draft.fill(3);
    let frozen = draft.freeze(4000);
    assert!(frozen.iter().all(|byte| *byte == 3));
    // Not while a stopped process is in the middle of a sweep.
    if let Ok(chunk) = frozen.thaw() {
        family.free(chunk);
    }
}

/// Makes a ring, lets it grow and shrink, and drops it while there is something in it.
fn a_ring_of_its_own(family: &'static Family, round: usize) {
    let ring = new_ring(family, 0);
    let mut out = Vec::new();
    for k in 0..30 {
        if k % 8 == 3 {
            let chunk = family.alloc(20_000).expect("memory").offset();
            let record = Record::Payload { chunk, len: 20_000 };
            ring.put(family, record, &Patience::forever()).expect("room");
        }
        ring.put(family, Record::Inline(&[7; 600]), &Patience::forever()).expect("room");
    }
    let bounds = [0, 100, 500, 600];
    ring.put_several(family, &[9; 600], &bounds, &Patience::forever()).expect("no limit");
    ring.take_several(family, &mut out, 4, &Patience::forever(), |taken, _| free(family, taken))
        .expect("nobody else takes");
    for _ in 0..20 + round % 3 {
        if let Ok(taken) = ring.take(family, &mut out, &Patience::none()) {
            free(family, taken);
        }
    }
    ring.close(family, &Patience::forever()).expect("nobody else puts");
    assert!(ring.put(family, Record::Inline(&[7; 9]), &Patience::none()).is_err());
}

fn free(family: &Family, taken: Taken) {
    if let Taken::Payload { chunk, .. } = taken {
        family.free(family.arena().chunk_at(chunk).expect("a chunk"));
    }
}

/// Puts and takes until told to stop.
pub(crate) fn puts_and_takes(scene: &Scene, who: usize) {
    let (family, rings, ledger) = (scene.family, &scene.rings, scene.ledger);
    let mut clerk = Clerk::new(ledger, who, rings.len());
    let mut n = 0;
    while !ledger.stop.load(std::sync::atomic::Ordering::SeqCst) {
        for (which, ring) in rings.iter().enumerate() {
            let len = [24, 900, 300, 12_000][n % 4];
            n += 1;
            clerk.put(ring, family, len, &soon(2));
            clerk.take(which, ring, family, &soon(2));
        }
        scene.boxes.work(family, n, &soon(20));
    }
}

/// Takes everything that is left. Where something is said to be, it can be taken: there is nobody who puts.
pub(crate) fn drain(family: &Family, rings: &Rings, clerk: &mut Clerk) {
    for (which, ring) in rings.iter().enumerate() {
        while !ring.is_empty(family) {
            assert!(
                clerk.take(which, ring, family, &soon(5000)),
                "a ring is not empty, and has nothing"
            );
        }
        assert_eq!(ring.len(family), 0);
    }
}

/// Two producers and two consumers who have to come to their ends.
pub(crate) fn is_usable(family: &'static Family, rings: &Rings, ledger: &'static Ledger) {
    let forever = Patience::forever();
    let each = 40;
    let producers = [8, 9].map(|who| {
        actor(family, || {
            let mut clerk = Clerk::new(ledger, who, rings.len());
            for n in 0..each {
                for ring in rings {
                    assert!(clerk.put(ring, family, 30 + n * 100, &forever));
                }
            }
        })
    });
    let consumers = [10, 11].map(|who| {
        actor(family, || {
            let mut clerk = Clerk::new(ledger, who, rings.len());
            for _ in 0..each {
                for (which, ring) in rings.iter().enumerate() {
                    assert!(clerk.take(which, ring, family, &forever));
                }
            }
        })
    });
    producers.into_iter().chain(consumers).for_each(|actor| actor.finish(family));
}
