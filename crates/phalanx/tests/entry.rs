//! `#[phalanx::main]` and `#[phalanx::task]`, as a program uses them.

#![allow(clippy::print_stdout, reason = "it is its own harness")]

mod pool_support;

use std::process::ExitCode;

use phalanx::Patience;
use phalanx::entry::start_again;
use phalanx::pool::{Pool, PoolError};
use phalanx::process::{ExitStatus, StartMethod};
use phalanx::task::Function;

/// An area.
#[phalanx::task]
fn area(width: u64, height: u64) -> u64 {
    width * height
}

#[phalanx::task]
fn shout(mut text: String) -> String {
    text.make_ascii_uppercase();
    text
}

mod inner {
    #[phalanx::task]
    pub(crate) fn die() {
        std::process::exit(9);
    }
}

#[phalanx::main]
fn main() -> ExitCode {
    // As much of the usual harness's interface as test runners need.
    if std::env::args().any(|argument| argument == "--list") {
        if !std::env::args().any(|argument| argument == "--ignored") {
            println!("macros: test");
        }
        return ExitCode::SUCCESS;
    }
    let _watchdog = pool_support::watchdog(60);
    if let Some(payload) = phalanx::init() {
        // The child: it belongs to the family, and says what it got by its exit code.
        assert_eq!(phalanx::init(), Some(payload));
        let sum: u64 = payload.iter().map(|byte| u64::from(*byte)).sum();
        return ExitCode::from((sum % 256) as u8);
    }
    tasks_have_names();
    a_program_starts_itself_again();
    eprintln!("entry: ok");
    ExitCode::SUCCESS
}

fn tasks_have_names() {
    assert_eq!((area(3, 4), shout("a".to_owned())), (12, "A".to_owned()));
    let handle: Function<(u64, u64), u64> = area::task();
    assert_eq!(handle.name(), "entry::area");
    for method in [StartMethod::Fork, StartMethod::Spawn, StartMethod::Zygote] {
        let pool = Pool::builder().workers(2).method(method).start().expect("a pool");
        assert_eq!(pool.map(handle, [(1, 2), (3, 4)]).expect("results"), [2, 12]);
        let task = pool.submit(shout::task(), "x".to_owned()).expect("sent");
        assert_eq!(task.wait().expect("a result"), "X");
        let task = pool.submit(inner::die::task(), ()).expect("sent");
        let died = task.wait().expect_err("it leaves");
        assert!(died.to_string().contains("task 0 of entry::inner::die"), "{died}");
        assert!(matches!(died, PoolError::WorkerDied(died) if died.status == ExitStatus::Code(9)));
    }
}

fn a_program_starts_itself_again() {
    let payloads = [vec![], vec![40, 2], vec![1; 100_000]];
    for payload in payloads {
        let child = start_again(&payload).expect("a child");
        let code = (payload.iter().map(|byte| u64::from(*byte)).sum::<u64>() % 256) as u8;
        assert_eq!(child.wait(Patience::forever()).expect("its end"), ExitStatus::Code(code));
    }
}
