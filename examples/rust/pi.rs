//! Pi by throwing darts: tasks that have random numbers of their own.
//!
//! Each task begins its own stream of random numbers from its own number, so the answer is the same
//! whoever runs which task, and in which order.

use phalanx::pool::Pool;
use phalanx_examples::{Answer, Example, scaled};

/// How many tasks there are: more than workers, so that nobody waits long at the end.
const TASKS: u64 = 64;

/// The program.
pub(crate) const EXAMPLE: Example = Example { title: "pi by chance", serial, parallel };

/// How many of so many darts hit the circle.
#[phalanx::task]
fn hits(stream: u64, throws: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut throw = || {
        let (x, y) = (random.f64(), random.f64());
        x * x + y * y <= 1.0
    };
    (0..throws).map(|_| u64::from(throw())).sum()
}

fn tasks(size: f64) -> impl Iterator<Item = (u64, u64)> {
    let throws = scaled(size, 60_000_000) / TASKS;
    (0..TASKS).map(move |stream| (stream, throws.max(1)))
}

fn pi(hits: u64, size: f64) -> String {
    let throws: u64 = tasks(size).map(|(_, throws)| throws).sum();
    format!("{:.6}", 4.0 * hits as f64 / throws as f64)
}

fn serial(size: f64) -> Answer {
    Ok(pi(tasks(size).map(|(stream, throws)| hits(stream, throws)).sum(), size))
}

fn parallel(size: f64, workers: usize) -> Answer {
    let pool = Pool::new(workers)?;
    let sum = pool.map_unordered(hits::task(), tasks(size))?.into_iter().sum();
    pool.join()?;
    Ok(pi(sum, size))
}

#[phalanx::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    EXAMPLE.main()
}
