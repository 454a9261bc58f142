//! Leases: which worker of a pool is running which task, written where everybody can read it.
//!
//! A pool has a board with one seat for each worker. A worker that takes a batch of tasks from the
//! pool's ring writes the lease into its seat *before* the record counts as taken (see
//! [`crate::ring::Ring::take_noting`]), and while it runs the batch it counts in one word how many
//! tasks it has begun and how many it has finished. So when it dies, whoever reads its seat knows:
//!
//! | the seat says | the ring says | meaning |
//! |---|---|---|
//! | no lease | - | it was idle: nothing is lost |
//! | a lease | record not taken | it died taking it: the batch is still in the ring |
//! | a lease, begun = finished | taken | it died between tasks: all unfinished ones are run again |
//! | a lease, begun > finished | taken | task number `finished` died with it; those behind it are run again |
//!
//! Two moments need care.
//!
//! *Taking.* A worker that dies between signing and taking leaves a lease on a record that the next
//! worker takes, after which the ring says "taken" for both. So who signs looks first at the seat that
//! signed before (its number is on the board; one signs under the ring's lock): if that lease names
//! the very record that is being taken, its holder is dead and did not get it, and the lease is void.
//!
//! *Publishing.* Putting a result into the mailbox and counting it are two steps. So before it puts,
//! the worker *promises*: "once my mailbox has had record number n, the first k tasks are settled".
//! Whether that record was put is written in the mailbox for ever, so nobody has to guess whether a
//! result is still to come.
//!
//! The words of a seat are written by its worker alone, until its death has been proven; then by the
//! pool that owns it, with two exceptions: a void lease is struck out by who finds it, and the owner may
//! *condemn* a task that runs too long.
//!
//! *Desks.* Publishing costs some hundred nanoseconds, far more than a tiny task. So short results can
//! be collected and published together, and still none is lost with its worker: each is first written
//! to the seat's desk, a run of bytes behind the seats, and then counted by one word that says which
//! tasks' results lie there and how many bytes they are. The owner of a worker that died takes them
//! from the desk. Once they are published the word names tasks that are settled, and counts for nothing.
//!
//! *Condemning.* A worker whose task has taken too long is killed, but it may have begun the next task
//! by then, which is innocent. So the owner first sets a bit in the count of begun and finished tasks, by
//! an exchange that fails if the worker has moved on; and a worker whose tasks have a limit counts a task
//! as finished by an exchange that fails if the bit is set. Then it waits for its end.
//!
//! *Cancelling.* The number of a job whose results nobody wants is written into one of the board's words
//! of cancelled jobs, chosen by the number. Workers look there before each task, and tasks may look while
//! they run. A later job at the same word makes the former be forgotten: its tasks are run for nothing.
//!
//! The words of a seat ([`Seat`]), the word of who signs and the flags are algorithms of their own, each in
//! a file with its model; the board puts them into shared memory.

#[cfg(not(loom))]
mod board;
mod flags;
#[cfg(all(test, loom))]
mod loom_tests;
mod seat;
mod signing;

#[cfg(not(loom))]
pub use board::LeaseBoard;
pub use seat::{Cost, Lease, Promise, Seat, Span, Staged};

/// The largest number of workers in one pool.
pub const MAX_SEATS: usize = if cfg!(loom) { 64 } else { 1024 };
