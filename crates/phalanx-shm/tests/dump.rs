//! What the dump of an arena says of processes and objects, the dead ones included.

#![allow(unsafe_code, clippy::unwrap_used, reason = "tests")]

use phalanx_shm::dump::dump;
use phalanx_shm::family::Family;
use phalanx_shm::object::{Bytes, Shared};
use phalanx_shm::patience::Patience;
use phalanx_shm::ring::Ring;
use phalanx_shm::words::lock::LockWord;

mod support;
use support::{Watchdog, forked};

#[test]
fn processes_and_objects_are_told_of() {
    let _dog = Watchdog::start(60);
    let child = forked(|| {
        let family = Family::get().unwrap();
        let lock = Shared::<LockWord>::new(family, |_| {}).unwrap();
        let bytes = Shared::<Bytes>::with_tail(family, 100, |_| {}).unwrap();
        let ring = Shared::<Ring>::new(family, |ring| ring.prepare(family, 0).unwrap()).unwrap();
        let said = dump(family.arena());
        assert!(said.contains("Lock, 0 bytes, of 1: free"), "{said}");
        assert!(said.contains("Bytes, 100 bytes, of 1\n"), "{said}");
        assert!(said.contains("0 items (limit 0), 0 put so far"), "{said}");
        let holder = forked(|| {
            let _ = lock.acquire(family, &Patience::forever()).unwrap();
            std::process::abort();
        });
        holder.reap();
        // Nobody has noticed so far.
        let said = dump(family.arena());
        assert!(said.contains("ended, not swept, child of process 1"), "{said}");
        assert!(said.contains("held by process 2"), "{said}");
        family.sweep_all();
        let said = dump(family.arena());
        assert!(said.contains("which has ended"), "{said}");
        drop((bytes, ring));
        assert!(dump(family.arena()).contains("arena: 1 objects"), "{}", dump(family.arena()));
    });
    assert_eq!(child.reap(), 0);
}
