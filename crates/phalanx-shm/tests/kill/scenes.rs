//! One scene for each step of `src/words`: those of locks and semaphores, and what all share.

mod meetings;

use std::sync::atomic::Ordering::SeqCst;

use phalanx_shm::patience::Patience;
use phalanx_shm::words::{Acquired, End, Holder};

use crate::world::{Ended, TestPeers, fork, pause, slot_id, until};
use crate::{GHOST, Scene, VICTIM};

pub(crate) const FOREVER: Patience<'static> = Patience::forever();

pub(crate) fn lock(me: &TestPeers) -> Acquired {
    me.world.lock.acquire(me, &FOREVER).expect("nobody interrupts")
}

fn take_lock(me: &TestPeers) {
    let _ = lock(me);
}

pub(crate) fn unlock(me: &TestPeers) {
    me.world.lock.release(me).expect("held");
}

pub(crate) fn cue(me: &TestPeers, number: u32) {
    me.world.cue.store(number, SeqCst);
}

pub(crate) fn wait_for_cue(me: &TestPeers, number: u32) {
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

pub(crate) fn bury_ghost(me: &TestPeers) {
    me.world.bury(GHOST, End::Abnormal);
}

/// All scenes.
pub(crate) fn all() -> Vec<Scene> {
    let mut all = locks();
    all.extend(permits());
    all.extend(meetings::conditions());
    all.extend(meetings::events());
    all.extend(meetings::barriers());
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
