//! Is it a prime? Whoever finds a divisor raises a flag that all share; the others look at it now and then.

use phalanx::pool::Builder;
use phalanx::prelude::*;
use phalanx_examples::{Answer, Example};

/// Products of two primes, found early or late, and primes.
const LARGE: [u64; 5] = [
    30_000_000_000_495,
    29_978_220_206_069,
    30_000_271_213_573,
    30_000_000_000_011,
    30_000_000_000_013,
];
const SMALL: [u64; 5] =
    [100_000_002_165, 98_740_492_891, 100_028_819_959, 100_000_000_003, 100_000_000_019];

/// After so many divisors one looks at the flag.
const LOOK_EVERY: u64 = 1000;

/// The program.
pub(crate) const EXAMPLE: Example =
    Example { title: "verify primes, shared flag", serial, parallel };

fn numbers(size: f64) -> [u64; 5] {
    if size < 1.0 { SMALL } else { LARGE }
}

/// Whether a number has a divisor in a range, as far as one looks.
fn has_divisor(n: u64, first: u64, last: u64, give_up: impl Fn() -> bool) -> bool {
    let mut from = first;
    while from < last {
        let until = (from + LOOK_EVERY).min(last);
        if (from..until).any(|divisor| n.is_multiple_of(divisor)) {
            return true;
        }
        if give_up() {
            return false;
        }
        from = until;
    }
    false
}

fn said(n: u64, is_prime: bool) -> String {
    format!("{n}: {}", if is_prime { "prime" } else { "no" })
}

fn serial(size: f64) -> Answer {
    let one = |n: u64| said(n, !has_divisor(n, 2, n.isqrt() + 1, || false));
    Ok(numbers(size).map(one).join(", "))
}

fn parallel(size: f64, workers: usize) -> Answer {
    let flag = Value::new(0u32)?;
    let mut builder = Builder::new().workers(workers);
    let search = builder.closure({
        // Forked workers have the handles that their closure has.
        let flag = flag.clone();
        move |(n, first, last): (u64, u64, u64)| {
            let found = has_divisor(n, first, last, || flag.load() != 0);
            if found {
                flag.store(1);
            }
            found
        }
    });
    let pool = builder.start()?;
    let mut answers = Vec::new();
    for n in numbers(size) {
        flag.store(0);
        let end = n.isqrt() + 1;
        let parts = workers as u64 * 4;
        let bound = |part: u64| 2 + (end - 2) * part / parts;
        let ranges = (0..parts).map(|part| (n, bound(part), bound(part + 1)));
        answers.push(said(n, !pool.map(search, ranges)?.contains(&true)));
    }
    pool.join()?;
    Ok(answers.join(", "))
}

#[phalanx::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    EXAMPLE.main()
}
