//! An array in shared memory, of which each process fills its own part by index.

use phalanx::prelude::*;
use phalanx::process::Process;
use phalanx_examples::{Answer, Example, scaled};

/// The program.
pub(crate) const EXAMPLE: Example = Example { title: "an array filled by index", serial, parallel };

fn len(size: f64) -> usize {
    scaled(size, 2_000_000) as usize
}

/// What belongs at an index: something that takes a little time.
fn cell(index: usize) -> f64 {
    let x = index as f64;
    (1..=8).map(|k| (x / f64::from(k)).sin() / f64::from(k)).sum()
}

#[phalanx::task]
fn fill(cells: Array<f64>, first: usize, last: usize) {
    for index in first..last {
        cells.store(index, cell(index));
    }
}

fn said(cells: impl ExactSizeIterator<Item = f64>) -> String {
    let len = cells.len();
    format!("{len} cells, sum {:.9}", cells.sum::<f64>())
}

fn serial(size: f64) -> Answer {
    let cells: Vec<f64> = (0..len(size)).map(cell).collect();
    Ok(said(cells.into_iter()))
}

fn parallel(size: f64, workers: usize) -> Answer {
    let len = len(size);
    let cells = Array::zeroed(len)?;
    let bound = |part: usize| len * part / workers;
    let start = |part| Process::start(fill::task(), (cells.clone(), bound(part), bound(part + 1)));
    let processes = (0..workers).map(start).collect::<Result<Vec<_>, _>>()?;
    for process in processes {
        process.join()?;
    }
    Ok(said(cells.iter()))
}

#[phalanx::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    EXAMPLE.main()
}
