//! All the programs of this folder, one after another, and how long each took alone and with others.
//!
//!     cargo run --release --example tour
//!     cargo run --release --example tour -- 0.1      # a tenth of the work

#![allow(dead_code, reason = "the programs have a main function each")]
#![allow(clippy::print_stdout, reason = "a program for people")]

mod dictionary;
mod locked_counter;
mod pi;
mod prime_search;
mod prime_verify;
mod scripts;
mod shared_array;
mod word_count;

use std::process::ExitCode;

use phalanx_examples::{Example, size, workers};

const EXAMPLES: [Example; 8] = [
    pi::EXAMPLE,
    prime_search::EXAMPLE,
    prime_verify::EXAMPLE,
    word_count::EXAMPLE,
    locked_counter::EXAMPLE,
    shared_array::EXAMPLE,
    dictionary::EXAMPLE,
    scripts::EXAMPLE,
];

#[phalanx::main]
fn main() -> ExitCode {
    let (size, workers) = (size(), workers());
    println!("{:<30} {:>10} {:>14}", "", "alone", format!("with {workers} others"));
    let mut failed = 0;
    for example in EXAMPLES {
        match example.run(size, workers) {
            Ok(outcome) => {
                let (serial, parallel) =
                    (outcome.serial.as_secs_f64(), outcome.parallel.as_secs_f64());
                let (alone, others) = (serial * 1e3, parallel * 1e3);
                let times = serial / parallel;
                println!("{:<30} {alone:>7.1} ms {others:>11.1} ms {times:>6.2}x", example.title);
                println!("    {}", outcome.answer);
            }
            Err(error) => {
                println!("{:<30} failed: {error}", example.title);
                failed += 1;
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
