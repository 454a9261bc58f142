//! The stage of the kill matrix: a region with one of each word, slots for a few
//! processes, children that cannot outlive a watchdog.

#![allow(unsafe_code, reason = "tests fork, and lay structures over shared memory themselves")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use phalanx_os::memory::SharedRegion;
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::words::barrier::{Barrier, BarrierHead};
use phalanx_shm::words::condition::{Condition, ConditionHead, WaiterCell};
use phalanx_shm::words::event::EventWord;
use phalanx_shm::words::lock::LockWord;
use phalanx_shm::words::permits::{Permits, PermitsHead};
use phalanx_shm::words::rlock::RLockWord;
use phalanx_shm::words::{End, Policy};

/// How many slots the small process table of the tests has.
pub(crate) const SLOTS: usize = 8;

/// Ends the test program if the test has not ended after a minute.
#[allow(dead_code, reason = "dropping it is what ends the watch")]
pub(crate) struct Watchdog(std::sync::mpsc::Sender<()>);

/// Starts a watchdog, which sleeps when its handle is dropped.
#[must_use]
pub(crate) fn watchdog(seconds: u64) -> Watchdog {
    let (alive, ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        use std::sync::mpsc::RecvTimeoutError::Timeout;
        if ended.recv_timeout(Duration::from_secs(seconds)) == Err(Timeout) {
            eprintln!("watchdog: a test has hung for {seconds} s");
            std::process::abort();
        }
    });
    Watchdog(alive)
}

/// One of each word, all zero at first.
#[repr(C)]
pub(crate) struct World {
    pids: [AtomicU32; SLOTS],
    /// For the players of a scene to give each other cues.
    pub(crate) cue: AtomicU32,
    /// What the users of the condition wait for.
    pub(crate) ready: AtomicU32,
    pub(crate) lock: LockWord,
    pub(crate) rlock: RLockWord,
    pub(crate) event: EventWord,
    permits: PermitsHead,
    permit_cells: [AtomicU32; 2],
    signals: PermitsHead,
    condition: ConditionHead,
    waiter_cells: [WaiterCell; 4],
    barrier: BarrierHead,
    party_cells: [AtomicU64; 4],
}

impl World {
    /// A new world in memory that children share. It is never given back.
    #[must_use]
    pub(crate) fn create() -> &'static Self {
        let region = SharedRegion::create("phalanx-test", 2 << 20).expect("memory for a test");
        let region = Box::leak(Box::new(region));
        // SAFETY: large enough, aligned, of atomics only, for all of which zero is valid; never
        // unmapped. Any process may die at any time: that is what is tested.
        let world = unsafe { &*region.base().cast::<Self>() };
        world.permits.init(1, true, Policy::Raise);
        world.signals.init(0, false, Policy::Raise);
        world.barrier.init(2);
        world.pids[1].store(std::process::id(), Ordering::SeqCst);
        world
    }

    /// Gives the barrier another number of parties, before it is used.
    pub(crate) fn set_parties(&self, parties: u32) {
        self.barrier.init(parties);
    }

    /// A bounded semaphore with one permit.
    pub(crate) fn permits(&self) -> Permits<'_> {
        Permits::new(&self.permits, &self.permit_cells[..1])
    }

    /// A semaphore that starts at zero.
    pub(crate) fn signals(&self) -> Permits<'_> {
        Permits::new(&self.signals, &[])
    }

    /// The condition.
    pub(crate) fn condition(&self) -> Condition<'_> {
        Condition::new(&self.condition, &self.waiter_cells)
    }

    /// The barrier, of two parties unless told otherwise.
    pub(crate) fn barrier(&self) -> Barrier<'_> {
        let parties = self.barrier.parties() as usize;
        Barrier::new(&self.barrier, &self.party_cells[..parties])
    }

    /// The process that was given `slot`.
    pub(crate) fn pid(&self, slot: u16) -> u32 {
        self.pids[usize::from(slot)].load(Ordering::SeqCst)
    }

    /// Repairs every word after the death of `slot`.
    pub(crate) fn bury(&self, slot: u16, end: End) {
        let (id, pid) = (slot_id(slot), self.pid(slot));
        self.lock.on_death(id, pid, end);
        self.rlock.on_death(id, pid, end);
        self.permits().on_death(id, pid, end);
        self.signals().on_death(id, pid, end);
        self.condition().on_death(id, pid, end);
        self.barrier().on_death(id, pid, end);
        self.event.on_death();
    }

    /// The words of the world, as they are now.
    pub(crate) fn snapshot(&self) -> Vec<u32> {
        let first = std::ptr::from_ref(self).cast::<AtomicU32>();
        let count = size_of::<Self>() / size_of::<u32>();
        // SAFETY: the world is made of atomics, each of one or two such words.
        let words = unsafe { std::slice::from_raw_parts(first, count) };
        words.iter().map(|word| word.load(Ordering::SeqCst)).collect()
    }
}

/// A slot by its number.
#[must_use]
pub(crate) fn slot_id(slot: u16) -> SlotId {
    SlotId::from_raw(slot).expect("slots begin at 1")
}

/// The processes of a world, as one of them sees them.
pub(crate) struct TestPeers {
    pub(crate) world: &'static World,
    pub(crate) slot: u16,
}

impl Peers for TestPeers {
    fn me(&self) -> SlotId {
        slot_id(self.slot)
    }

    fn pid(&self, slot: SlotId) -> u32 {
        self.world.pid(slot.raw())
    }

    fn check(&self, slot: SlotId) -> bool {
        let alive = is_alive(self.world.pid(slot.raw()));
        if !alive {
            self.world.bury(slot.raw(), End::Abnormal);
        }
        alive
    }
}

/// Whether there is such a process that has not ended.
#[must_use]
pub(crate) fn is_alive(pid: u32) -> bool {
    phalanx_os::pidfd::open(pid).is_ok_and(|fd| !phalanx_os::pidfd::has_ended(&fd))
}

/// A child process of a test.
pub(crate) struct Child {
    pub(crate) pid: u32,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i32),
    Killed(i32),
    Stopped,
}

/// Runs `play` in a forked child that holds `slot`; it exits with 0 if `play` returns.
pub(crate) fn fork(world: &'static World, slot: u16, play: impl FnOnce(&TestPeers)) -> Child {
    // SAFETY: the child runs the test's closure and ends by `_exit`, without returning here. If
    // it dies anywhere, the parent sees that.
    match unsafe { libc::fork() } {
        -1 => panic!("fork failed: {}", std::io::Error::last_os_error()),
        0 => {
            world.pids[usize::from(slot)].store(std::process::id(), Ordering::SeqCst);
            // SAFETY: no child outlives half a minute, nor its parent.
            unsafe {
                libc::alarm(30);
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            }
            let peers = TestPeers { world, slot };
            let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(&peers)));
            // SAFETY: ends the process without running the parent's exit handlers.
            unsafe { libc::_exit(i32::from(played.is_err())) }
        }
        pid => {
            let pid = pid.unsigned_abs();
            // The parent too: it may look for the child before that has run.
            world.pids[usize::from(slot)].store(pid, Ordering::SeqCst);
            Child { pid }
        }
    }
}

impl Child {
    /// Waits for the end of the child, or for a stop by SIGSTOP.
    pub(crate) fn wait(&self) -> Ended {
        let mut status = 0;
        // SAFETY: waits for a child of this process.
        let pid = unsafe { libc::waitpid(self.pid as i32, &raw mut status, libc::WUNTRACED) };
        assert_eq!(pid, self.pid as i32, "waitpid: {}", std::io::Error::last_os_error());
        if libc::WIFSTOPPED(status) {
            Ended::Stopped
        } else if libc::WIFSIGNALED(status) {
            Ended::Killed(libc::WTERMSIG(status))
        } else {
            Ended::Exited(libc::WEXITSTATUS(status))
        }
    }

    /// Sends the child a signal.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the pid is that of a child which has not been waited for.
        unsafe { libc::kill(self.pid as i32, signal) };
    }
}

/// Waits until `true` comes; the watchdog ends what never comes.
pub(crate) fn until(mut ready: impl FnMut() -> bool) {
    while !ready() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Long enough for another process to fall asleep, as far as nothing depends on it.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(3));
}
