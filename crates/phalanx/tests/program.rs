//! Another program as a child, which is this one in another part.

#![allow(clippy::print_stdout, reason = "it is its own harness")]

mod pool_support;

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use phalanx::plain::{Plain, PlainFormat};
use phalanx::process::{ExitStatus, wait_readable};
use phalanx::program::{
    InheritError, Passed, Program, Synchronized, SynchronizedArray, args, inherited,
};
use phalanx::sync::{Event, LockError, RawLock};
use phalanx::{Error, ErrorKind, Patience, Queue};

const PART: &str = "--part=";

#[phalanx::main]
fn main() -> ExitCode {
    let _watchdog = pool_support::watchdog(60);
    let named = std::env::args().find_map(|a| a.strip_prefix(PART).map(str::to_owned));
    if let Some(part) = named {
        return play(&part).map_or_else(|error| panic!("{part}: {error}"), |()| ExitCode::SUCCESS);
    }
    // As much of the usual harness's interface as test runners need.
    if std::env::args().any(|argument| argument == "--list") {
        if !std::env::args().any(|argument| argument == "--ignored") {
            println!("programs: test");
        }
        return ExitCode::SUCCESS;
    }
    assert!(matches!(inherited(), Err(InheritError::Nothing)));
    objects_are_shared_with_another_program();
    what_is_wrong_is_said_at_the_start();
    a_killed_program_gives_up_what_it_held();
    println!("programs: ok");
    ExitCode::SUCCESS
}

fn this(part: &str) -> Program<'static> {
    let mut program = Program::new(std::env::current_exe().expect("this program"));
    program.arg(format!("{PART}{part}"));
    program
}

fn play(part: &str) -> Result<(), Error> {
    let inherited = inherited()?;
    match part {
        "work" => {
            assert_eq!(args().count(), 2, "the argument of phalanx is left out");
            let jobs: Queue<(u32, Plain), PlainFormat> = inherited.queue("jobs")?;
            let total = inherited.value::<u64>("total")?;
            let cells = inherited.array::<i16>("cells")?;
            let factor: u64 = inherited.plain("factor")?;
            for _ in 0..3 {
                let (number, value) = jobs.take()?;
                total.update(|sum| sum + u64::from(number) * factor);
                cells.set(number as usize, value.items().len() as i16);
            }
            inherited.event("done")?.set();
        }
        "hold" => {
            let lock = inherited.lock("lock")?;
            let _held = lock.lock().map_err(|_| Error::new(ErrorKind::Io, "no lock"))?;
            inherited.event("done")?.set();
            loop {
                std::thread::sleep(Duration::from_secs(60));
            }
        }
        _ => return Err(Error::new(ErrorKind::InvalidInput, "no such part")),
    }
    Ok(())
}

fn objects_are_shared_with_another_program() {
    let jobs = Queue::<(u32, Plain)>::unbounded().expect("a queue").with_codec::<PlainFormat>();
    let total = Synchronized::new(1u64).expect("a value");
    let cells = SynchronizedArray::<i16>::new(3).expect("an array");
    let done = Event::new().expect("an event");
    let factor = Plain::from(10);
    let mut program = this("work");
    program.pass("jobs", &jobs).pass("total", &total).pass("cells", &cells);
    program.pass("done", &done).pass("factor", &factor);
    let child = program.start().expect("a child");
    for number in 0..3u32 {
        let items = (0..number).map(Plain::from).collect();
        jobs.put((number, items)).expect("put");
    }
    done.wait();
    assert_eq!(child.wait(Patience::forever()).expect("its end"), ExitStatus::Code(0));
    assert_eq!((total.get(), cells.to_vec()), (31, vec![0, 1, 2]));
}

fn what_is_wrong_is_said_at_the_start() {
    let missing = Program::new("no-such-program").start().expect_err("it is not there");
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    let zero = Program::new("/bin/true").arg("a\0b").start().map(drop);
    assert_eq!(zero.expect_err("a zero byte").kind(), std::io::ErrorKind::InvalidInput);
    let deep = (0..100).fold(Plain::None, |inner, _| Plain::List(vec![inner]));
    let error = Program::new("/bin/true").pass("deep", &deep).start().map(drop);
    assert!(error.expect_err("too deep").to_string().contains("deeper than 64"));
    let value = Passed::Value { block: 0, code: 'd', lock: None };
    assert_eq!(value.to_string(), "a value of f64");
}

fn a_killed_program_gives_up_what_it_held() {
    let (lock, done) = (RawLock::new().expect("a lock"), Event::new().expect("an event"));
    let child = this("hold").pass("lock", &lock).pass("done", &done).start().expect("a child");
    done.wait();
    child.kill().expect("killed");
    match lock.lock() {
        Err(LockError::OwnerDied(died)) => assert_eq!(died.pid, child.pid()),
        other => panic!("{other:?}"),
    }
    wait_readable(child.sentinel().as_fd(), Patience::forever()).expect("its end");
}
