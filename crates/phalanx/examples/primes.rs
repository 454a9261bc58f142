//! Counts primes in parallel, with workers that are killed meanwhile.
//!
//! Run it with `cargo run --release --example primes -- 2000000 4`.

#![allow(clippy::print_stdout, reason = "a program for people")]

use phalanx::pool::{Pool, PoolError};

const STEP: u64 = 10_000;

/// How many primes there are from `first` on, in a range of [`STEP`] numbers.
#[phalanx::task]
fn primes_from(first: u64) -> u64 {
    let is_prime =
        |n: &u64| *n > 1 && (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (first..first + STEP).filter(is_prime).count() as u64
}

#[phalanx::main]
fn main() -> Result<(), PoolError> {
    let mut arguments = std::env::args().skip(1).map_while(|argument| argument.parse().ok());
    let limit: u64 = arguments.next().unwrap_or(200_000);
    let workers: u64 = arguments.next().unwrap_or(2);

    let pool = Pool::new(workers as usize)?;
    let starts: Vec<u64> = (0..limit.div_ceil(STEP)).map(|part| part * STEP).collect();
    let mut primes = 0;
    let mut lost = Vec::new();
    for (index, result) in pool.imap_unordered(primes_from::task(), starts.iter().copied()) {
        match result {
            Ok(count) => primes += count,
            Err(error) => {
                println!("{error}");
                lost.push(starts[index as usize]);
            }
        }
        if index == 3 {
            // One of the workers has an accident.
            let victim = pool.pids().first().map_or(String::new(), u32::to_string);
            let _ = std::process::Command::new("kill").args(["-9", &victim]).status();
        }
    }
    // What was running in it is known, and can be done once more.
    primes += pool.map(primes_from::task(), lost)?.into_iter().sum::<u64>();
    println!("{primes} primes below {}", starts.len() as u64 * STEP);
    pool.join()
}
