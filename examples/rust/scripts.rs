//! Other people's scripts, several at a time, each with what it printed.

use std::process::Command;

use phalanx::jobs::{Job, Runner};
use phalanx_examples::{Answer, Example, scaled};

/// The program.
pub(crate) const EXAMPLE: Example = Example { title: "scripts in parallel", serial, parallel };

/// Runs one script by the shell, and waits for it.
fn run(script: String) -> Result<String, String> {
    let output = Command::new("sh").arg("-c").arg(&script).output();
    let output = output.map_err(|error| format!("cannot run a shell: {error}"))?;
    if !output.status.success() {
        return Err(format!("a script ended with {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A script each that waits, and then says something.
fn scripts(size: f64) -> Vec<String> {
    let pause = scaled(size, 120);
    (1..=6).map(|n| format!("sleep {:.3}; echo script {n} is done", pause as f64 / 1e3)).collect()
}

fn serial(size: f64) -> Answer {
    Ok(scripts(size).into_iter().map(run).collect::<Result<Vec<_>, _>>()?.join(", "))
}

fn parallel(size: f64, _workers: usize) -> Answer {
    // They mostly wait: more of them than there are processors.
    let outcomes = Runner::new().limit(6).run(scripts(size).into_iter().map(Job::shell))?;
    let mut printed = Vec::new();
    for outcome in outcomes {
        if !outcome.ending.is_success() {
            return Err(format!("a script ended with {}", outcome.ending).into());
        }
        printed.push(String::from_utf8_lossy(&outcome.stdout.to_vec()?).trim().to_owned());
    }
    Ok(printed.join(", "))
}

#[phalanx::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    EXAMPLE.main()
}
