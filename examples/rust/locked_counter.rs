//! Several processes count in one place, one at a time, and note who was the last.

use phalanx::prelude::*;
use phalanx::process::Process;
use phalanx_examples::{Answer, Example, scaled};

/// The program.
pub(crate) const EXAMPLE: Example = Example { title: "a counter under a lock", serial, parallel };

/// How many counts there are altogether.
fn counts(size: f64) -> u64 {
    scaled(size, 4_000_000) / 12 * 12
}

/// What lies in shared memory under the lock: the counter, and a sum that goes with it.
type Totals = [u64; 2];

fn count(totals: &mut Totals) {
    totals[0] += 1;
    totals[1] = totals[1].wrapping_add(totals[0]);
}

#[phalanx::task]
fn count_often(totals: Lock<Totals>, times: u64) -> bool {
    // Whoever dies holding the lock may have counted without adding: then the sum is made anew.
    let mend = |totals: &mut Totals| totals[1] = (1..=totals[0]).fold(0, u64::wrapping_add);
    for _ in 0..times {
        match totals.lock() {
            Ok(mut held) => count(&mut held),
            Err(LockError::OwnerDied(mut died)) => {
                mend(&mut died.guard);
                count(&mut died.guard);
            }
            Err(_) => return false,
        }
    }
    true
}

fn said(totals: Totals) -> String {
    format!("{} counts, sum {}", totals[0], totals[1])
}

fn serial(size: f64) -> Answer {
    let mut totals = [0; 2];
    (0..counts(size)).for_each(|_| count(std::hint::black_box(&mut totals)));
    Ok(said(totals))
}

fn parallel(size: f64, _workers: usize) -> Answer {
    let totals = Lock::new([0; 2])?;
    let start = || Process::start(count_often::task(), (totals.clone(), counts(size) / 4));
    let processes = (0..4).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    for process in processes {
        assert!(process.join()?, "the lock could be had each time");
    }
    let totals = *totals.lock().or_else(LockError::recover).map_err(|_| "the lock is not free")?;
    Ok(said(totals))
}

#[phalanx::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    EXAMPLE.main()
}
