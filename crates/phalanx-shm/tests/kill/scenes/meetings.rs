//! The scenes of conditions, events and barriers.

use std::sync::atomic::Ordering::SeqCst;

use phalanx_shm::failpoint;
use phalanx_shm::patience::Patience;
use phalanx_shm::words::Holder;
use phalanx_shm::words::barrier::NotPassed;

use super::{FOREVER, bury_ghost, cue, lock, unlock, wait_for_cue};
use crate::world::{Ended, TestPeers, fork, pause, slot_id, until};
use crate::{BYSTANDER, GHOST, Scene, VICTIM};

/// Waits by the condition until `ready`.
fn wait_until_ready(me: &TestPeers) {
    let _ = lock(me);
    while me.world.ready.load(SeqCst) == 0 {
        let _ = me.world.condition().wait(me, &FOREVER, || unlock(me), || lock(me));
    }
    unlock(me);
}

fn make_ready(me: &TestPeers) {
    let _ = lock(me);
    me.world.ready.store(1, SeqCst);
    me.world.condition().notify(1);
    unlock(me);
}

fn nobody_waits(me: &TestPeers) {
    assert_eq!(me.world.condition().waiting(), 0);
    assert!(!me.world.condition().names(slot_id(GHOST)));
    assert!(!me.world.condition().names(slot_id(BYSTANDER)));
}

fn three_parties(me: &TestPeers) {
    me.world.set_parties(3);
}

fn arrive(me: &TestPeers) {
    let _ = me.world.barrier().wait(me, &FOREVER, None);
}

fn finds_it_broken(me: &TestPeers) {
    let end = me.world.barrier().wait(me, &FOREVER, None);
    assert_eq!(end, Err(NotPassed::Broken));
}

fn bystander_waits(me: &TestPeers) {
    until(|| me.world.barrier().waiting() == 1);
    pause();
}

fn barrier_can_be_mended(me: &TestPeers) {
    assert!(me.world.barrier().is_broken());
    me.world.barrier().reset();
    barrier_is_whole(me);
}

fn barrier_is_whole(me: &TestPeers) {
    assert!(!me.world.barrier().is_broken());
    assert_eq!(me.world.barrier().waiting(), 0);
}

pub(crate) fn conditions() -> Vec<Scene> {
    /// Waits behind the victim.
    fn second(me: &TestPeers) {
        let ready = || me.world.ready.load(SeqCst) == 1;
        until(|| me.world.condition().names(slot_id(VICTIM)) || ready());
        wait_until_ready(me);
    }
    fn behind_the_dead(me: &TestPeers) {
        let ready = || me.world.ready.load(SeqCst) == 1;
        until(|| me.world.lock.holder() != Holder::Nobody || ready());
        wait_until_ready(me);
    }
    vec![
        Scene {
            bystander: behind_the_dead,
            after: make_ready,
            finally: nobody_waits,
            ..Scene::new("condition.enlist.claimed", wait_until_ready)
        },
        Scene {
            bystander: behind_the_dead,
            after: make_ready,
            finally: nobody_waits,
            ..Scene::new("condition.enlist.waiting", wait_until_ready)
        },
        Scene {
            bystander: second,
            after: make_ready,
            finally: nobody_waits,
            ..Scene::new("condition.park.flagged", wait_until_ready)
        },
        Scene {
            bystander: second,
            during: |me| {
                until(|| me.world.condition().waiting() == 2);
                make_ready(me);
            },
            finally: nobody_waits,
            ..Scene::new("condition.wait.notified", wait_until_ready)
        },
        Scene {
            bystander: wait_until_ready,
            finally: nobody_waits,
            ..Scene::new("condition.notify.marked", |me| {
                until(|| me.world.condition().waiting() == 1);
                pause();
                make_ready(me);
            })
        },
        Scene {
            before: |me| {
                let ghost = fork(me.world, GHOST, |ghost| {
                    failpoint::arm("condition.wait.notified", libc::SIGKILL, 0);
                    wait_until_ready(ghost);
                });
                until(|| me.world.condition().waiting() == 1);
                let _ = lock(me);
                me.world.condition().notify(1);
                unlock(me);
                assert_eq!(ghost.wait(), Ended::Killed(libc::SIGKILL));
            },
            bystander: wait_until_ready,
            after: bury_ghost,
            finally: nobody_waits,
            ..Scene::new("condition.death.passed", |me| {
                until(|| me.world.condition().waiting() == 1);
                pause();
                me.world.ready.store(1, SeqCst);
                bury_ghost(me);
            })
        },
    ]
}

pub(crate) fn events() -> Vec<Scene> {
    fn wait(me: &TestPeers) {
        cue(me, 1);
        assert!(me.world.event.wait(&FOREVER).is_ok());
    }
    vec![
        Scene {
            bystander: wait,
            finally: |me| assert!(me.world.event.is_set()),
            ..Scene::new("event.set.marked", |me| {
                wait_for_cue(me, 1);
                pause();
                me.world.event.set();
            })
        },
        Scene {
            bystander: wait,
            after: |me| me.world.event.set(),
            ..Scene::new("event.wait.flagged", wait)
        },
    ]
}

pub(crate) fn barriers() -> Vec<Scene> {
    vec![
        Scene {
            before: three_parties,
            bystander: finds_it_broken,
            finally: barrier_can_be_mended,
            ..Scene::new("barrier.arrive.claimed", arrive)
        },
        Scene {
            before: three_parties,
            bystander: finds_it_broken,
            finally: barrier_can_be_mended,
            ..Scene::new("barrier.arrive.counted", arrive)
        },
        Scene {
            bystander: |me| assert_eq!(me.world.barrier().wait(me, &FOREVER, None), Ok(0)),
            finally: barrier_is_whole,
            ..Scene::new("barrier.trip.done", |me| {
                bystander_waits(me);
                arrive(me);
            })
        },
        Scene {
            bystander: finds_it_broken,
            finally: barrier_can_be_mended,
            ..Scene::new("barrier.action.begun", |me| {
                bystander_waits(me);
                let _ = me.world.barrier().wait(me, &FOREVER, Some(&mut || true));
            })
        },
        Scene {
            bystander: finds_it_broken,
            finally: barrier_can_be_mended,
            ..Scene::new("barrier.break.marked", |me| {
                bystander_waits(me);
                me.world.barrier().abort();
            })
        },
        Scene {
            bystander: finds_it_broken,
            finally: barrier_is_whole,
            ..Scene::new("barrier.reset.done", |me| {
                bystander_waits(me);
                me.world.barrier().reset();
            })
        },
        Scene {
            before: |me| {
                three_parties(me);
                let ghost = fork(me.world, GHOST, |ghost| {
                    failpoint::arm("barrier.arrive.counted", libc::SIGKILL, 0);
                    arrive(ghost);
                });
                assert_eq!(ghost.wait(), Ended::Killed(libc::SIGKILL));
            },
            bystander: finds_it_broken,
            after: bury_ghost,
            finally: barrier_can_be_mended,
            ..Scene::new("barrier.death.broken", |me| {
                until(|| me.world.barrier().waiting() == 2);
                bury_ghost(me);
            })
        },
        Scene {
            before: three_parties,
            bystander: finds_it_broken,
            finally: barrier_can_be_mended,
            ..Scene::new("barrier.leave.uncounted", |me| {
                bystander_waits(me);
                let give_up = || true;
                let patience = Patience::forever().interruptible(&give_up);
                let _ = me.world.barrier().wait(me, &patience, None);
            })
        },
    ]
}
