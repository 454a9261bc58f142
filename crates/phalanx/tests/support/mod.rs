//! What the tests of the engine share.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx::Patience;
use phalanx::process::{Child, ExitStatus, fork};
use phalanx_shm::arena::Census;
use phalanx_shm::family::Family;

pub(crate) const FOREVER: Patience<'static> = Patience::forever();

static ALONE: Mutex<()> = Mutex::new(());

/// One test at a time, and not longer than a minute: a child that another test forks would inherit
/// this test's descriptors, and the count of chunks is that of the whole family.
pub(crate) struct Alone(
    #[expect(dead_code)] MutexGuard<'static, ()>,
    #[expect(dead_code)] Sender<()>,
);

#[must_use]
pub(crate) fn alone() -> Alone {
    let turn = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (alive, ended) = channel::<()>();
    std::thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("watchdog: the test has hung");
            std::process::abort();
        }
    });
    Alone(turn, alive)
}

/// Runs `body` in a child; a panic there is exit code 1.
pub(crate) fn child(body: impl FnOnce()) -> Child {
    fork::run(|| {
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        i32::from(end.is_err())
    })
    .expect("a child")
}

pub(crate) fn join(child: &Child) -> ExitStatus {
    child.wait(FOREVER).expect("it can be waited for")
}

pub(crate) fn joined_well(child: &Child) {
    assert_eq!(join(child), ExitStatus::Code(0));
}

/// The family's objects and their parts; chunks that this process keeps for later do not count.
pub(crate) fn shared() -> (usize, usize) {
    let family = Family::get().expect("a family");
    let Census { parts, objects, .. } = family.arena().census();
    (parts, objects)
}

pub(crate) fn soon() -> Patience<'static> {
    Patience::timeout(Some(Duration::from_millis(20)))
}
