//! A harness for tests of programs that start themselves again: their `main` is the macro's.

#![allow(dead_code, clippy::print_stdout, reason = "each program uses some of it; it is a harness")]

use std::process::ExitCode;
use std::time::Duration;

pub(crate) type Test = (&'static str, fn());

/// Runs the tests whose names contain what the arguments ask for, one after another, for so many
/// seconds at most.
pub(crate) fn run(tests: &[Test], seconds: u64) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        for (name, _) in tests.iter().filter(|_| !has("--ignored")) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(seconds));
        eprintln!("watchdog: a test has hung");
        std::process::abort();
    });
    let exact = has("--exact");
    let wanted: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let is_wanted = |name: &str| {
        let fits =
            |part: &&String| if exact { name == **part } else { name.contains(part.as_str()) };
        wanted.is_empty() || wanted.iter().any(fits)
    };
    let mut failed = 0;
    for (name, test) in tests.iter().filter(|(name, _)| is_wanted(name)) {
        println!("test {name} ...");
        if std::panic::catch_unwind(test).is_err() {
            println!("test {name} ... FAILED");
            failed += 1;
        }
    }
    println!("test result: {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A list of tests by their names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), $name as fn())),*]
    };
}
pub(crate) use tests;
