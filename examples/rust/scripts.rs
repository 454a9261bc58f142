//! Other people's scripts, several at a time: each worker of a pool runs one and keeps what it printed.

use std::process::Command;

use phalanx::pool::Pool;
use phalanx_examples::{Answer, Example, scaled};

/// The program.
pub(crate) const EXAMPLE: Example = Example { title: "scripts in parallel", serial, parallel };

/// Runs a script by the shell.
#[phalanx::task]
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
    let pool = Pool::builder().workers(6).batch(1).start()?;
    let printed = pool.map(run::task(), scripts(size))?;
    pool.join()?;
    Ok(printed.into_iter().collect::<Result<Vec<_>, _>>()?.join(", "))
}

#[phalanx::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    EXAMPLE.main()
}
