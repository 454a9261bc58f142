//! What each process writes down of its puts and takes, so that others can check it after its death.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use phalanx_os::memory::SharedRegion;
use phalanx_shm::family::Family;
use phalanx_shm::patience::Patience;
use phalanx_shm::ring::{Record, Ring, Taken};

/// Producers in a run.
pub(crate) const PRODUCERS: usize = 12;
/// Records of one producer in a run.
pub(crate) const RECORDS: usize = 40_000;

const BEGUN: u8 = 1;
const DONE: u8 = 2;
const REFUSED: u8 = 3;

/// Lies in memory of its own, which no repair touches. All zero at first.
#[repr(C)]
pub(crate) struct Ledger {
    puts: [[AtomicU8; RECORDS]; PRODUCERS],
    seen: [[AtomicU8; RECORDS]; PRODUCERS],
    taking: [AtomicBool; PRODUCERS],
    ops: [AtomicU32; PRODUCERS],
    allowed: AtomicU32,
    pub(crate) stop: AtomicBool,
}

impl Ledger {
    pub(crate) fn create() -> &'static Self {
        let region = SharedRegion::create("phalanx-test", 4 << 20).expect("memory for a test");
        let region = Box::leak(Box::new(region));
        assert!(std::mem::size_of::<Self>() <= region.len());
        // SAFETY: large enough, aligned, of atomics only, for all of which zero is valid; never
        // unmapped. Whoever dies leaves some valid value.
        unsafe { &*region.base().cast::<Self>() }
    }

    /// How much a process has done so far.
    pub(crate) fn ops(&self, who: usize) -> u32 {
        self.ops[who].load(Ordering::SeqCst)
    }

    /// Whether a process was in the midst of a take, so that a record may have been in its hands.
    pub(crate) fn was_taking(&self, who: usize) -> bool {
        self.taking[who].load(Ordering::SeqCst)
    }

    /// So many records may be lost, for they were in hands of processes killed earlier.
    pub(crate) fn allow(&self, lost: usize) {
        self.allowed.store(lost as u32, Ordering::SeqCst);
    }

    /// Compares what was put with what was seen, once the rings are empty. Returns how many
    /// records were in the hands of killed consumers.
    pub(crate) fn settle(&self, dead: &[usize]) -> usize {
        let in_hand = dead.iter().filter(|who| self.was_taking(**who)).count()
            + self.allowed.load(Ordering::SeqCst) as usize;
        let mut lost = 0;
        for who in 0..PRODUCERS {
            for n in 0..RECORDS {
                let put = self.puts[who][n].load(Ordering::SeqCst);
                let seen = self.seen[who][n].load(Ordering::SeqCst);
                assert!(seen <= 1, "record {n} of producer {who} was taken {seen} times");
                assert!(seen == 0 || put != 0, "record {n} of {who} was never put");
                assert!(seen == 0 || put != REFUSED, "record {n} of {who} was refused and taken");
                lost += usize::from(put == DONE && seen == 0);
            }
        }
        assert!(lost <= in_hand, "{lost} published records were lost, {in_hand} were in hand");
        lost
    }
}

/// One process's view of the ledger.
pub(crate) struct Clerk {
    pub(crate) who: usize,
    next: usize,
    last: Vec<[u32; PRODUCERS]>,
    ledger: &'static Ledger,
}

/// What a record looks like: who put it, its number, and the number's low byte to the end.
fn compose(who: usize, n: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![n as u8; len.max(8)];
    bytes[..4].copy_from_slice(&(who as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&(n as u32).to_le_bytes());
    bytes
}

impl Clerk {
    pub(crate) fn new(ledger: &'static Ledger, who: usize, rings: usize) -> Self {
        let next = (0..RECORDS)
            .find(|n| ledger.puts[who][*n].load(Ordering::SeqCst) == 0)
            .unwrap_or(RECORDS);
        ledger.taking[who].store(false, Ordering::SeqCst);
        Self { who, next, last: vec![[0; PRODUCERS]; rings], ledger }
    }

    /// Puts one record of `len` bytes; beyond what fits inline, as a payload. False if refused, or
    /// if the ledger is full.
    pub(crate) fn put(
        &mut self,
        ring: &Ring,
        family: &Family,
        len: usize,
        p: &Patience<'_>,
    ) -> bool {
        let n = self.next;
        if n == RECORDS {
            return false;
        }
        self.next += 1;
        let put = &self.ledger.puts[self.who][n];
        put.store(BEGUN, Ordering::SeqCst);
        let bytes = compose(self.who, n, len);
        let done = if len <= 4096 {
            ring.put(family, Record::Inline(&bytes), p).is_ok()
        } else {
            let chunk = family.alloc(len).expect("memory");
            family.arena().write(chunk, 0, &bytes);
            let (at, len) = (chunk.offset(), len as u64);
            let record = if n.is_multiple_of(2) {
                Record::Payload { chunk: at, len }
            } else {
                Record::Labelled { label: &bytes[..8], chunk: at, len }
            };
            let done = ring.put(family, record, p).is_ok();
            if !done {
                family.free(chunk);
            }
            done
        };
        put.store(if done { DONE } else { REFUSED }, Ordering::SeqCst);
        self.ledger.ops[self.who].fetch_add(1, Ordering::SeqCst);
        done
    }

    /// Takes one record, checks that it is whole and in order. False if there was none in time.
    pub(crate) fn take(
        &mut self,
        which: usize,
        ring: &Ring,
        family: &Family,
        p: &Patience<'_>,
    ) -> bool {
        let mut bytes = Vec::new();
        self.ledger.taking[self.who].store(true, Ordering::SeqCst);
        let taken = ring.take(family, &mut bytes, p);
        match taken {
            Ok(Taken::Inline) => self.check(which, &bytes),
            Ok(Taken::Payload { chunk, len }) => {
                let mut payload = Vec::new();
                family.arena().read_bytes(chunk, len as usize, &mut payload);
                assert!(bytes.is_empty() || bytes == payload[..8], "a label of another record");
                self.check(which, &payload);
                let chunk = family.arena().chunk_at(chunk).expect("a chunk");
                family.free(chunk);
            }
            Err(_) => {}
        }
        self.ledger.taking[self.who].store(false, Ordering::SeqCst);
        self.ledger.ops[self.who].fetch_add(1, Ordering::SeqCst);
        taken.is_ok()
    }

    fn check(&mut self, which: usize, bytes: &[u8]) {
        let word =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let (who, n) = (word(0) as usize, word(4));
        assert!(bytes[8..].iter().all(|b| *b == n as u8), "record {n} of {who} is not whole");
        let last = &mut self.last[which][who];
        assert!(*last <= n, "record {n} of {who} came after {last}");
        *last = n + 1;
        self.ledger.seen[who][n as usize].fetch_add(1, Ordering::SeqCst);
        self.ledger.taking[self.who].store(false, Ordering::SeqCst);
    }
}
