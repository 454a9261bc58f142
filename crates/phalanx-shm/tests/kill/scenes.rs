//! One scene for each step of `src/words`.

use std::sync::atomic::Ordering::SeqCst;

use phalanx_shm::failpoint;
use phalanx_shm::patience::Patience;
use phalanx_shm::words::barrier::NotPassed;
use phalanx_shm::words::{Acquired, End, Holder};

use crate::world::{Ended, TestPeers, fork, pause, slot_id, until};
use crate::{BYSTANDER, GHOST, Scene, VICTIM};

const FOREVER: Patience<'static> = Patience::forever();

fn lock(me: &TestPeers) -> Acquired {
    me.world.lock.acquire(me, &FOREVER).expect("nobody interrupts")
}

fn take_lock(me: &TestPeers) {
    let _ = lock(me);
}

fn unlock(me: &TestPeers) {
    me.world.lock.release(me).expect("held");
}

fn cue(me: &TestPeers, number: u32) {
    me.world.cue.store(number, SeqCst);
}

fn wait_for_cue(me: &TestPeers, number: u32) {
    until(|| me.world.cue.load(SeqCst) == number);
}

fn died(me: &TestPeers, slot: u16) -> Acquired {
    Acquired::OwnerDied { pid: me.world.pid(slot) }
}

/// Takes over the lock of the victim.
fn inherit_lock(me: &TestPeers) {
    until(|| {
        matches!(me.world.lock.holder(), Holder::Ended { .. })
            || me.world.lock.holder() == Holder::Process(slot_id(VICTIM))
    });
    assert_eq!(lock(me), died(me, VICTIM));
    unlock(me);
}

fn inherit_rlock(me: &TestPeers) {
    wait_for_cue(me, 1);
    let how = me.world.rlock.acquire(33, me, &FOREVER).expect("nobody interrupts");
    assert_eq!(how, died(me, VICTIM));
    assert_eq!(me.world.rlock.depth(), 1);
    me.world.rlock.release(33, me).expect("mine");
}

fn lock_is_free(me: &TestPeers) {
    assert_eq!(me.world.lock.holder(), Holder::Nobody);
    assert_eq!(lock(me), Acquired::Clean);
    unlock(me);
}

/// The ghost is given a pid, and dies holding the lock and a permit.
fn ghost_holds(me: &TestPeers) {
    let ghost = fork(me.world, GHOST, |ghost| {
        let _ = lock(ghost);
        let _ = ghost.world.permits().acquire(ghost, &FOREVER);
    });
    assert_eq!(ghost.wait(), Ended::Exited(0));
}

fn bury_ghost(me: &TestPeers) {
    me.world.bury(GHOST, End::Abnormal);
}

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

/// All scenes.
pub(crate) fn all() -> Vec<Scene> {
    let mut all = locks();
    all.extend(permits());
    all.extend(conditions());
    all.extend(events());
    all.extend(barriers());
    all
}

fn locks() -> Vec<Scene> {
    let rlock = |step| Scene {
        bystander: inherit_rlock,
        finally: |me| assert_eq!(me.world.rlock.holder(), Holder::Nobody),
        ..Scene::new(step, |me| {
            let rlock = &me.world.rlock;
            cue(me, 0);
            let _ = rlock.acquire(22, me, &FOREVER);
            let _ = rlock.release(22, me);
        })
    };
    // The cue cannot come from a victim that is dead: the director watches the lock instead.
    let watch = |me: &TestPeers| {
        until(|| me.world.rlock.holder() != Holder::Nobody);
        cue(me, 1);
    };
    vec![
        Scene {
            bystander: inherit_lock,
            finally: lock_is_free,
            ..Scene::new("lock.acquire.taken", take_lock)
        },
        Scene {
            before: take_lock,
            bystander: |me| {
                until(|| me.world.lock.has_waiters());
                unlock(me);
                inherit_lock(me);
            },
            finally: lock_is_free,
            ..Scene::new("lock.slow.taken", take_lock)
        },
        Scene {
            before: take_lock,
            bystander: |me| {
                assert_eq!(lock(me), Acquired::Clean);
                unlock(me);
            },
            after: unlock,
            finally: lock_is_free,
            ..Scene::new("lock.park.flagged", take_lock)
        },
        Scene {
            bystander: |me| {
                wait_for_cue(me, 1);
                assert_eq!(lock(me), Acquired::Clean);
                unlock(me);
            },
            finally: lock_is_free,
            ..Scene::new("lock.release.freed", |me| {
                let _ = lock(me);
                cue(me, 1);
                until(|| me.world.lock.has_waiters());
                unlock(me);
            })
        },
        Scene {
            before: ghost_holds,
            bystander: |me| {
                assert_eq!(lock(me), died(me, GHOST));
                unlock(me);
            },
            after: bury_ghost,
            finally: lock_is_free,
            ..Scene::new("lock.death.buried", bury_ghost)
        },
        Scene { during: watch, ..rlock("rlock.acquire.taken") },
        Scene { during: watch, ..rlock("rlock.acquire.counted") },
        Scene { during: watch, ..rlock("rlock.release.cleared") },
    ]
}

fn permits() -> Vec<Scene> {
    fn acquire(me: &TestPeers) -> Acquired {
        me.world.permits().acquire(me, &FOREVER).expect("nobody interrupts")
    }
    fn take_permit(me: &TestPeers) {
        let _ = acquire(me);
    }
    fn release(me: &TestPeers) {
        me.world.permits().release(me).expect("held");
    }
    fn one_left(me: &TestPeers) {
        assert_eq!(me.world.permits().value(), 1);
        assert_eq!(acquire(me), Acquired::Clean);
        release(me);
        assert!(me.world.permits().release(me).is_err(), "it is bounded");
    }
    vec![
        Scene {
            bystander: |me| {
                until(|| me.world.permits().value() == 0);
                assert_eq!(acquire(me), died(me, VICTIM));
                release(me);
            },
            finally: one_left,
            ..Scene::new("permits.acquire.taken", take_permit)
        },
        Scene {
            bystander: |me| {
                wait_for_cue(me, 1);
                cue(me, 2);
                assert_eq!(acquire(me), Acquired::Clean);
                release(me);
            },
            finally: one_left,
            ..Scene::new("permits.release.freed", |me| {
                let _ = acquire(me);
                cue(me, 1);
                wait_for_cue(me, 2);
                pause();
                release(me);
            })
        },
        Scene {
            before: take_permit,
            bystander: |me| {
                assert_eq!(acquire(me), Acquired::Clean);
                release(me);
            },
            after: release,
            finally: one_left,
            ..Scene::new("permits.park.registered", take_permit)
        },
        Scene {
            before: ghost_holds,
            bystander: |me| {
                assert_eq!(acquire(me), died(me, GHOST));
                release(me);
            },
            after: bury_ghost,
            finally: one_left,
            ..Scene::new("permits.death.buried", bury_ghost)
        },
        Scene {
            bystander: |me| {
                cue(me, 2);
                assert!(me.world.signals().acquire(me, &FOREVER).is_ok());
            },
            finally: |me| assert_eq!(me.world.signals().value(), 0),
            ..Scene::new("permits.surplus.added", |me| {
                wait_for_cue(me, 2);
                pause();
                let _ = me.world.signals().release(me);
            })
        },
        Scene {
            before: |me| me.world.signals().release(me).expect("not bounded"),
            finally: |me| {
                assert_eq!(me.world.signals().value(), 0, "a consumed signal does not return");
                me.world.signals().release(me).expect("not bounded");
                assert!(me.world.signals().try_acquire(me).is_some());
            },
            ..Scene::new("permits.surplus.taken", |me| {
                let _ = me.world.signals().acquire(me, &FOREVER);
            })
        },
    ]
}

fn conditions() -> Vec<Scene> {
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

fn events() -> Vec<Scene> {
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

fn barriers() -> Vec<Scene> {
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
