//! Fresh processes and the zygote. This program plays all parts: started with `handover=N` it is
//! the child (or the zygote) of a test.

#![allow(clippy::print_stdout)] // It is its own test harness.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::time::Duration;

use phalanx::process::handover::accept;
use phalanx::process::spawn::{Program, spawn};
use phalanx::process::zygote::{self, Launch, Served};
use phalanx::process::{Child, ExitStatus, Reservation, fork, spawning_slot};
use phalanx::{GaveUp, Patience};
use phalanx_os::{death, inherit, proc, signal};

type Test = (&'static str, fn() -> Outcome);
type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let given = arguments.iter().find_map(|a| a.strip_prefix(name));
        given.and_then(|value| value.parse::<RawFd>().ok())
    };
    if let Some(fd) = number("handover=") {
        return child(fd, number("zygote=").is_some());
    }
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(60));
        std::process::abort();
    });
    let tests: [Test; 8] = [
        ("a fresh child gets its payload", spawned_child_answers),
        ("a program that is not there is named", missing_program),
        ("a place is named only while packing", reservation_names_its_place),
        ("the zygote gives status and sentinel", zygote_child_answers),
        ("large payloads and descriptors arrive", large_payload),
        ("children of children reach the same zygote", grandchildren),
        ("children die with the one that asked for them", orphans),
        ("a killed zygote is replaced", killed_zygote),
    ];
    // As much of the usual harness's interface as test runners need. They know the tests as one,
    // for some of them use the zygote that others started.
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            println!("fresh_children_and_the_zygote: test");
        }
        return ExitCode::SUCCESS;
    }
    for (name, test) in tests {
        println!("test {name} ...");
        if let Err(e) = test() {
            println!("test {name} ... FAILED: {e}");
            return ExitCode::FAILURE;
        }
    }
    zygote::stop();
    println!("test result: ok. {} passed", tests.len());
    ExitCode::SUCCESS
}

/// This program, to be started as a child or as a zygote.
fn with_program<T>(role: &str, run: impl FnOnce(Program<'_>) -> T) -> io::Result<T> {
    let path = std::env::current_exe()?;
    let path = CString::new(path.to_string_lossy().as_bytes())?;
    let arguments = |fd: RawFd| {
        let handover = format!("handover={fd}");
        [&path.to_string_lossy(), handover.as_str(), role]
            .iter()
            .filter_map(|argument| CString::new(*argument).ok())
            .collect()
    };
    Ok(run(Program { path: &path, arguments: &arguments }))
}

fn fresh(payload: &str, keep: &[RawFd]) -> io::Result<Child> {
    with_program("role=child", |program| {
        spawn(&program, Reservation::new()?, payload.as_bytes(), keep)
    })?
}

fn from_zygote(payload: &[u8], fds: &[&OwnedFd]) -> io::Result<Child> {
    let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
    with_program("zygote=1", |program| {
        let launch = Launch { program, payload: &|| Ok(b"plan".to_vec()) };
        zygote::start(&launch, Reservation::new()?, payload, &fds)
    })?
}

fn status(child: &Child) -> ExitStatus {
    child.wait(Patience::forever()).unwrap_or(ExitStatus::Unknown)
}

/// What this program does when a test has started it.
fn child(fd: RawFd, as_zygote: bool) -> ExitCode {
    let Ok(accepted) = accept(fd, as_zygote) else { return ExitCode::from(90) };
    let Some(door) = accepted.door else {
        return work(&accepted.payload, Vec::new());
    };
    if accepted.payload != b"plan" {
        return ExitCode::from(91);
    }
    match zygote::serve(door, &mut phalanx_os::fork::fork_alone) {
        Ok(Served::Done) => ExitCode::SUCCESS,
        Ok(Served::Child(born)) => work(&born.payload, born.fds),
        Err(_) => ExitCode::from(92),
    }
}

/// A child's work: the first word of the payload says what.
fn work(payload: &[u8], fds: Vec<OwnedFd>) -> ExitCode {
    let word = payload.split(|&b| b == b' ').next().unwrap_or_default();
    let rest = payload.get(word.len() + 1..).unwrap_or_default();
    let mut files: Vec<File> = fds.into_iter().map(File::from).collect();
    match word {
        b"exit" => ExitCode::from(rest.len() as u8),
        b"parent" => ExitCode::from(u8::from(death::parent_pidfd().is_some())),
        b"write" => {
            let number = std::str::from_utf8(rest).ok().and_then(|n| n.parse().ok());
            let kept = number.and_then(|n| inherit::take(n).ok()).map(File::from);
            let written = kept.is_some_and(|mut file| file.write_all(b"kept").is_ok());
            ExitCode::from(if written { 0 } else { 93 })
        }
        b"send" => {
            let sum = rest.iter().fold(0u64, |sum, &b| sum + u64::from(b));
            let sent = files.iter_mut().all(|f| f.write_all(&sum.to_le_bytes()).is_ok());
            ExitCode::from(if sent { 0 } else { 94 })
        }
        b"ask" => match from_zygote(b"exit 1234567", &[]) {
            Ok(child) if status(&child) == ExitStatus::Code(7) => ExitCode::SUCCESS,
            _ => ExitCode::from(95),
        },
        b"linger" => {
            let _ = files.first_mut().map(|file| file.write_all(b"x"));
            loop {
                std::thread::park();
            }
        }
        _ => ExitCode::from(96),
    }
}

fn spawned_child_answers() -> Outcome {
    assert_eq!(status(&fresh("exit 12345", &[])?), ExitStatus::Code(5));
    assert_eq!(status(&fresh("parent ", &[])?), ExitStatus::Code(1));
    let (mut ours, theirs) = io::pipe()?;
    let child = fresh(&format!("write {}", theirs.as_raw_fd()), &[theirs.as_raw_fd()])?;
    drop(theirs);
    let mut text = String::new();
    ours.read_to_string(&mut text)?;
    assert_eq!((text.as_str(), status(&child)), ("kept", ExitStatus::Code(0)));
    // A descriptor that is not listed is not inherited.
    let (_ours, theirs) = io::pipe()?;
    let child = fresh(&format!("write {}", theirs.as_raw_fd()), &[])?;
    assert_eq!(status(&child), ExitStatus::Code(93));
    Ok(())
}

fn missing_program() -> Outcome {
    let path: &CStr = c"/nowhere/at/all";
    let arguments = |_: RawFd| Vec::new();
    let program = Program { path, arguments: &arguments };
    let error = spawn(&program, Reservation::new()?, b"", &[]).err().ok_or("it was started")?;
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    Ok(())
}

fn reservation_names_its_place() -> Outcome {
    let reservation = Reservation::new()?;
    assert_eq!(spawning_slot(), None);
    let named = reservation.while_packing(spawning_slot);
    assert!(named.is_some());
    assert_eq!(spawning_slot(), None);
    Ok(())
}

fn zygote_child_answers() -> Outcome {
    assert_eq!(zygote::pid(), None);
    for _ in 0..20 {
        let child = from_zygote(b"exit 123", &[])?;
        let end = phalanx::process::wait_readable(child.sentinel(), Patience::forever());
        assert!(end.is_ok());
        assert_eq!(status(&child), ExitStatus::Code(3));
    }
    assert!(zygote::pid().is_some());
    let child = from_zygote(b"linger ", &[])?;
    let soon = child.wait(Patience::timeout(Some(Duration::from_millis(20))));
    assert!(matches!(soon, Err(phalanx::process::WaitError::GaveUp(GaveUp::TimedOut))));
    child.terminate()?;
    assert_eq!(status(&child), ExitStatus::Signal(15));
    assert_eq!(status(&from_zygote(b"parent ", &[])?), ExitStatus::Code(1));
    Ok(())
}

fn large_payload() -> Outcome {
    let payload = [&b"send "[..], &vec![3; 1 << 20]].concat();
    let (mut ours, theirs) = io::pipe()?;
    let theirs = OwnedFd::from(theirs);
    let child = from_zygote(&payload, &[&theirs, &theirs])?;
    drop(theirs);
    let mut answer = Vec::new();
    ours.read_to_end(&mut answer)?;
    assert_eq!(answer, (3u64 << 20).to_le_bytes().repeat(2));
    assert_eq!(status(&child), ExitStatus::Code(0));
    Ok(())
}

fn grandchildren() -> Outcome {
    let before = zygote::pid();
    assert_eq!(status(&from_zygote(b"ask ", &[])?), ExitStatus::Code(0));
    assert_eq!(status(&fresh("ask ", &[])?), ExitStatus::Code(0));
    let forked = fork::run(|| match from_zygote(b"exit 12", &[]) {
        Ok(child) if status(&child) == ExitStatus::Code(2) => 0,
        _ => 1,
    })?;
    assert_eq!(status(&forked), ExitStatus::Code(0));
    assert_eq!(zygote::pid(), before);
    Ok(())
}

fn orphans() -> Outcome {
    let (mut ours, theirs) = io::pipe()?;
    let theirs = OwnedFd::from(theirs);
    let parent = fork::run(|| {
        let _child = from_zygote(b"linger ", &[&theirs]);
        loop {
            std::thread::park();
        }
    })?;
    drop(theirs);
    let mut byte = [0];
    ours.read_exact(&mut byte)?;
    parent.kill()?;
    assert_eq!(ours.read(&mut byte)?, 0, "the child of the killed process has ended");
    assert_eq!(status(&parent), ExitStatus::Signal(9));
    Ok(())
}

fn killed_zygote() -> Outcome {
    let child = from_zygote(b"linger ", &[])?;
    let first = zygote::pid().ok_or("there is no zygote")?;
    proc::kill(first, signal::SIGKILL);
    assert!(zygote::exit_status().is_some());
    assert_eq!(child.try_status()?, None, "its child goes on");
    assert_eq!(status(&from_zygote(b"exit 1", &[])?), ExitStatus::Code(1));
    assert_ne!(zygote::pid(), Some(first));
    child.kill()?;
    assert_eq!(status(&child), ExitStatus::Unknown);
    Ok(())
}
