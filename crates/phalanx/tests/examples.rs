//! The examples, as programs that are run.

mod pool_support;

use std::path::PathBuf;
use std::process::{Command, Output};

fn run(example: &str, arguments: &[&str]) -> Output {
    // Tests lie beside the directory of the examples.
    let test = std::env::current_exe().expect("this program");
    let target = test.parent().and_then(|deps| deps.parent()).map(PathBuf::from);
    let program = target.expect("a directory").join("examples").join(example);
    Command::new(program).args(arguments).output().expect("`cargo test` builds the examples")
}

#[test]
fn primes_are_counted_although_a_worker_is_killed() {
    let _watchdog = pool_support::watchdog(60);
    for workers in ["1", "3"] {
        let output = run("primes", &["300000", workers]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(text.ends_with("25997 primes below 300000\n"), "{text}");
    }
}
