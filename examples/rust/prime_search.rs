//! The primes of a range: numbers go out one by one through a queue, primes come back through another.

use phalanx::prelude::*;
use phalanx::process::Process;
use phalanx_examples::{Answer, Example, scaled};

const FIRST: u64 = 100_000_000;

/// The program.
pub(crate) const EXAMPLE: Example = Example { title: "prime search over queues", serial, parallel };

fn is_prime(n: u64) -> bool {
    n > 1 && (2..).take_while(|divisor| divisor * divisor <= n).all(|d| !n.is_multiple_of(d))
}

/// What a worker does until it meets the end; then it says so in its turn.
#[phalanx::task]
fn search(numbers: Queue<Option<u64>>, primes: Queue<Option<u64>>) -> u64 {
    let mut seen = 0;
    while let Ok(Some(number)) = numbers.take() {
        seen += 1;
        if is_prime(number) && primes.put(Some(number)).is_err() {
            break;
        }
    }
    // If this cannot be put, the one who waits for it learns of our end by the result of the process.
    let _ = primes.put(None);
    seen
}

fn range(size: f64) -> std::ops::Range<u64> {
    FIRST..FIRST + scaled(size, 40_000)
}

fn said(mut primes: Vec<u64>) -> String {
    primes.sort_unstable();
    format!("{} primes, the first {:?}, the last {:?}", primes.len(), primes.first(), primes.last())
}

fn serial(size: f64) -> Answer {
    Ok(said(range(size).filter(|n| is_prime(*n)).collect()))
}

fn parallel(size: f64, workers: usize) -> Answer {
    let numbers = Queue::unbounded()?;
    let primes = Queue::unbounded()?;
    let start = || Process::start(search::task(), (numbers.clone(), primes.clone()));
    let processes = (0..workers).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    numbers.put_many(range(size).map(Some))?;
    numbers.put_many((0..workers).map(|_| None))?;

    let (mut found, mut running) = (Vec::new(), workers);
    while running > 0 {
        match primes.take()? {
            Some(prime) => found.push(prime),
            None => running -= 1,
        }
    }
    for process in processes {
        process.join()?;
    }
    Ok(said(found))
}

#[phalanx::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    EXAMPLE.main()
}
