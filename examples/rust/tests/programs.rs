//! Each of the programs, run as a program.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take before it is ended.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs an example with a little work to do; what it printed.
fn run(example: &str) -> String {
    // Tests lie beside the directory of the examples.
    let test = std::env::current_exe().expect("this program");
    let target = test.parent().and_then(|deps| deps.parent()).map(PathBuf::from);
    let program = target.expect("a directory").join("examples").join(example);
    let mut child = Command::new(program)
        .arg("0.02")
        .stdout(Stdio::piped())
        .spawn()
        .expect("`cargo test` builds the examples");
    let mut stdout = child.stdout.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a status") {
            break status;
        }
        if begun.elapsed() > LIMIT {
            let _ = child.kill();
            panic!("{example} still runs after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = reader.join().expect("no panic").expect("text");
    assert!(status.success(), "{example}: {status}: {text}");
    text
}

#[test]
fn pi_is_near() {
    let text = run("pi");
    assert!(text.starts_with("pi by chance: 3.1"), "{text}");
}

#[test]
fn primes_are_found() {
    let text = run("prime_search");
    assert!(text.contains("the first Some(100000007)"), "{text}");
}

#[test]
fn primes_are_verified() {
    let text = run("prime_verify");
    assert!(text.contains("98740492891: no"), "{text}");
    assert!(text.contains("100000000019: prime"), "{text}");
}

#[test]
fn words_are_counted() {
    let text = run("word_count");
    assert!(text.contains("28800 words, 12 different"), "{text}");
}

#[test]
fn the_counter_counts_each_once() {
    let text = run("locked_counter");
    assert!(text.contains("79992 counts, sum 3199400028"), "{text}");
}

#[test]
fn the_array_is_filled() {
    let text = run("shared_array");
    assert!(text.contains("40000 cells"), "{text}");
}

#[test]
fn the_dictionary_is_filled() {
    let text = run("dictionary");
    assert!(text.contains("entries"), "{text}");
}

#[test]
fn scripts_print() {
    let text = run("scripts");
    assert!(text.contains("script 6 is done"), "{text}");
}

#[test]
fn the_tour_ends_well() {
    let text = run("tour");
    assert_eq!(text.lines().filter(|line| line.ends_with('x')).count(), 8, "{text}");
    assert!(!text.contains("failed"), "{text}");
}
