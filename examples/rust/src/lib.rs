//! What the example programs have in common: each does some work twice, once by itself and once with
//! other processes, and the answers have to be the same.

#![allow(clippy::print_stdout, reason = "for people")]

use std::error::Error;
use std::time::{Duration, Instant};

/// What a program's part gives: its answer, in words.
pub type Answer = Result<String, Box<dyn Error>>;

/// One program.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// What it does.
    pub title: &'static str,
    /// The work without other processes. The size is 1 for the work that is meant for measuring.
    pub serial: fn(size: f64) -> Answer,
    /// The same work with so many other processes.
    pub parallel: fn(size: f64, workers: usize) -> Answer,
}

/// What became of a program.
#[derive(Debug)]
pub struct Outcome {
    /// The answer of both.
    pub answer: String,
    /// How long it took without other processes.
    pub serial: Duration,
    /// How long it took with them, their start and end included.
    pub parallel: Duration,
}

impl Example {
    /// Does the work in both ways.
    ///
    /// # Errors
    /// What went wrong, or both answers if they differ.
    pub fn run(&self, size: f64, workers: usize) -> Result<Outcome, Box<dyn Error>> {
        let begun = Instant::now();
        let expected = (self.serial)(size)?;
        let serial = begun.elapsed();
        let begun = Instant::now();
        let answer = (self.parallel)(size, workers)?;
        let parallel = begun.elapsed();
        if answer != expected {
            let text = format!("{}: {answer:?} with others, {expected:?} alone", self.title);
            return Err(text.into());
        }
        Ok(Outcome { answer, serial, parallel })
    }

    /// What the `main` of a program does. The first argument, if there is one, is the size of the work.
    ///
    /// # Errors
    /// As for [`Example::run`].
    pub fn main(&self) -> Result<(), Box<dyn Error>> {
        let outcome = self.run(size(), workers())?;
        println!("{}: {}", self.title, outcome.answer);
        println!(
            "alone {:.1?}, with {} others {:.1?}",
            outcome.serial,
            workers(),
            outcome.parallel
        );
        Ok(())
    }
}

/// How much work there is to do: the first argument that is a number, or 1.
#[must_use]
pub fn size() -> f64 {
    std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1.0)
}

/// As many as there are processors for this process, but at least two.
#[must_use]
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |count| count.get().max(2))
}

/// A part of the work, not less than one.
#[must_use]
pub fn scaled(size: f64, whole: u64) -> u64 {
    ((whole as f64 * size) as u64).max(1)
}
