//! A dictionary that a manager keeps: processes fill it, each its own part, and count what they did in
//! another entry together.

use phalanx::manager::Manager;
use phalanx::process::Process;
use phalanx_examples::{Answer, Example, scaled};

/// The program.
pub(crate) const EXAMPLE: Example =
    Example { title: "a dictionary of a manager", serial, parallel };

const COUNT: &str = "entries";

fn entries(size: f64) -> u64 {
    scaled(size, 100_000)
}

/// What belongs to a number: the length of its Collatz sequence.
fn steps(number: u64) -> u64 {
    let mut n = number.max(1);
    let mut steps = 0;
    while n != 1 {
        n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
        steps += 1;
    }
    steps
}

/// Fills a part of the dictionary that is kept at the address.
#[phalanx::task]
fn fill(address: String, first: u64, last: u64) -> Result<(), String> {
    let manager = Manager::connect(&address).map_err(|error| error.to_string())?;
    let dict = manager.dict::<String, u64>("steps").map_err(|error| error.to_string())?;
    for number in first..last {
        dict.insert(&number.to_string(), &steps(number)).map_err(|error| error.to_string())?;
    }
    let done = last - first;
    let count = |count: Option<u64>| Some(count.unwrap_or(0) + done);
    dict.update(&COUNT.to_owned(), count).map_err(|error| error.to_string())?;
    Ok(())
}

fn said(count: u64, mut all: Vec<u64>) -> String {
    all.sort_unstable();
    format!("{count} entries, the most steps are {:?}", all.last())
}

fn serial(size: f64) -> Answer {
    let all: Vec<u64> = (0..entries(size)).map(steps).collect();
    Ok(said(all.len() as u64, all))
}

fn parallel(size: f64, workers: usize) -> Answer {
    let manager = Manager::start()?;
    let dict = manager.dict::<String, u64>("steps")?;
    let (entries, workers) = (entries(size), workers as u64);
    let bound = |part: u64| entries * part / workers;
    let part = |part| (manager.address(), bound(part), bound(part + 1));
    let start = |number| Process::start(fill::task(), part(number));
    let processes = (0..workers).map(start).collect::<Result<Vec<_>, _>>()?;
    for process in processes {
        process.join()??;
    }
    let count = dict.remove(&COUNT.to_owned())?.unwrap_or(0);
    Ok(said(count, dict.values()?))
}

#[phalanx::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    EXAMPLE.main()
}
