//! Processes that run one task, by each start method. This program is its own child.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "its children print, to see where that goes")]

mod own_harness;
mod pool_support;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use own_harness::tests;
use phalanx::Patience;
use phalanx::process::{
    ExitStatus, Process, ProcessError, StartError, StartMethod, Stdio, wait_readable,
};
use pool_support::{kill, pause, until};

const METHODS: [StartMethod; 3] = [StartMethod::Fork, StartMethod::Spawn, StartMethod::Zygote];

#[phalanx::main]
fn main() -> ExitCode {
    own_harness::run(
        tests![
            results_come_back,
            panics_come_back,
            deaths_are_told,
            the_way_it_is_dressed,
            streams_are_pipes,
            what_cannot_be_arranged_is_told,
            joins_end_in_time,
            children_start_children,
            closures_are_forked,
            daemons_are_left_alone,
            dropping_waits,
            a_panicking_thread_kills_its_processes,
            children_die_with_their_parent,
            the_zygote_starts_quickly,
            nothing_is_left,
        ],
        120,
    )
}

#[phalanx::task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[phalanx::task]
fn nothing() {}

#[phalanx::task]
fn reversed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

#[phalanx::task]
fn refuse(what: String) -> u64 {
    panic!("no {what}")
}

#[phalanx::task]
fn end(how: i32) {
    match how {
        0..=255 => std::process::exit(how),
        signal => pool_support::raise(-signal),
    }
}

#[phalanx::task]
fn sleep(ms: u64) {
    pause(ms);
}

/// Name, directory, arguments of the environment.
#[phalanx::task]
fn look_around(variables: Vec<String>) -> (Option<String>, String, String, Vec<Option<String>>) {
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    let directory = std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default();
    let name = phalanx::process::name().map(str::to_owned);
    (name, comm, directory, variables.iter().map(|v| std::env::var(v).ok()).collect())
}

#[phalanx::task]
fn echo() -> usize {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("standard input");
    std::io::Write::write_all(&mut std::io::stdout(), text.to_uppercase().as_bytes())
        .expect("somebody reads");
    eprintln!("{} bytes", text.len());
    text.len()
}

#[phalanx::task]
fn ask_another(method: u8, depth: u64) -> u64 {
    if depth == 0 {
        return 1;
    }
    let method = METHODS[usize::from(method)];
    let inner = METHODS.iter().position(|m| *m == method).unwrap_or(0) as u8;
    let child = Process::builder().method(method).start(ask_another::task(), (inner, depth - 1));
    1 + child.expect("a child").join().expect("its result")
}

fn results_come_back() {
    for method in METHODS {
        let start = || Process::builder().method(method);
        let process = start().start(add::task(), (40, 2)).expect("a process");
        assert_ne!(process.pid(), std::process::id());
        assert_eq!(process.join().expect("a result"), 42, "{method}");
        start().start(nothing::task(), ()).expect("a process").join().expect("nothing");
        for size in [0, 1, 10_000, 5 << 20] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let process = start().start(reversed::task(), bytes.clone()).expect("a process");
            let back = process.join().expect("a result");
            assert!(back.iter().rev().eq(&bytes), "{method}: {size}");
        }
    }
    assert_eq!(StartMethod::default(), StartMethod::Zygote);
    assert_eq!(Process::start(add::task(), (1, 2)).expect("a process").join().expect("three"), 3);
}

fn panics_come_back() {
    for method in METHODS {
        let process = Process::builder().method(method).stderr(Stdio::piped()).name("picky");
        let mut process = process.start(refuse::task(), "threes".to_owned()).expect("a process");
        let mut printed = String::new();
        let mut stderr = process.take_stderr().expect("it is piped");
        stderr.read_to_string(&mut printed).expect("its end");
        assert!(printed.contains("no threes"), "{printed}");
        let error = process.join().expect_err("it panics");
        assert!(error.to_string().starts_with("process picky panicked: no threes (at "), "{error}");
        let ProcessError::Panicked { panic, .. } = error else { panic!("{error}") };
        assert_eq!(panic.message(), "no threes");
        assert!(panic.location().is_some_and(|place| place.contains("process_tasks.rs")));
        let backtrace = panic.backtrace().expect("it was not turned off");
        assert!(backtrace.contains("refuse"), "{backtrace}");
    }
}

fn deaths_are_told() {
    for method in METHODS {
        let cases =
            [(7, ExitStatus::Code(7)), (0, ExitStatus::Code(0)), (-9, ExitStatus::Signal(9))];
        for (how, expected) in cases {
            let process = Process::builder().method(method).start(end::task(), how);
            let process = process.expect("a process");
            let own_pid = process.pid();
            match process.join() {
                Err(ProcessError::Died { pid, status, .. }) => {
                    assert_eq!((pid, status), (own_pid, expected), "{method}");
                }
                other => panic!("{method}, {how}: {other:?}"),
            }
        }
        let process = Process::builder().method(method).start(sleep::task(), 600_000);
        let process = process.expect("a process");
        assert!(process.is_running());
        process.terminate().expect("it runs");
        let died = process.join().expect_err("it was ended");
        assert!(died.to_string().contains("was ended by signal 15 before"), "{died}");
    }
}

fn the_way_it_is_dressed() {
    let variables = || ["PHALANX_A", "PHALANX_B", "PATH"].map(str::to_owned).to_vec();
    for method in METHODS {
        let builder = || Process::builder().method(method).name("a process with a long name");
        let process = builder()
            .env("PHALANX_A", "a")
            .current_dir("/")
            .start(look_around::task(), variables());
        let (name, comm, directory, found) = process.expect("a process").join().expect("a result");
        assert_eq!(name.as_deref(), Some("a process with a long name"));
        assert_eq!((comm.as_str(), directory.as_str()), ("a process with \n", "/"));
        assert_eq!(found[0].as_deref(), Some("a"));
        assert_eq!((&found[1], found[2].clone()), (&None, std::env::var("PATH").ok()));

        let process = builder().env("PHALANX_A", "a").env_remove("PHALANX_A").env_remove("PATH");
        let process = process.start(look_around::task(), variables()).expect("a process");
        let (_, _, directory, found) = process.join().expect("a result");
        assert_eq!(found, [None, None, None]);
        assert_eq!(directory, std::env::current_dir().expect("one").display().to_string());

        let process = builder().env("PHALANX_A", "a").env_clear().env("PHALANX_B", "b");
        let process = process.start(look_around::task(), variables()).expect("a process");
        assert_eq!(process.join().expect("a result").3, [None, Some("b".to_owned()), None]);
    }
    let unnamed = Process::start(look_around::task(), vec![]).expect("a process");
    assert!(unnamed.name().starts_with("Process-"));
    let name = unnamed.name().to_owned();
    assert_eq!(unnamed.join().expect("a result").0, Some(name));
    assert_eq!(phalanx::process::name(), None);
}

fn streams_are_pipes() {
    for method in METHODS {
        let process = Process::builder().method(method).stdin(Stdio::piped());
        let process = process.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = process.start(echo::task(), ()).expect("a process");
        let mut input = process.take_stdin().expect("it is piped");
        input.write_all(b"some words").expect("it reads");
        drop(input);
        let (mut out, mut err) = (String::new(), String::new());
        process.take_stdout().expect("it is piped").read_to_string(&mut out).expect("its end");
        process.take_stderr().expect("it is piped").read_to_string(&mut err).expect("its end");
        assert_eq!((out.as_str(), err.as_str()), ("SOME WORDS", "10 bytes\n"), "{method}");
        assert!(process.take_stdout().is_none());
        assert_eq!(process.join().expect("a result"), 10);

        let process = Process::builder().method(method).stdin(Stdio::null());
        let process = process.stdout(Stdio::null()).stderr(Stdio::null());
        assert_eq!(process.start(echo::task(), ()).expect("a process").join().expect("none"), 0);

        // Nobody takes the input: it ends when somebody waits for the process.
        let process = Process::builder().method(method).stdin(Stdio::piped()).stderr(Stdio::null());
        assert_eq!(process.start(echo::task(), ()).expect("a process").join().expect("none"), 0);
    }
}

fn what_cannot_be_arranged_is_told() {
    for method in METHODS {
        let process = Process::builder().method(method).current_dir("/nowhere/at/all");
        match process.start(nothing::task(), ()).expect("a process").join() {
            Err(ProcessError::NotBegun { reason, .. }) => {
                assert!(reason.contains("/nowhere/at/all"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        let process = Process::builder().method(method).env("A\0B", "c");
        let error = process.start(nothing::task(), ()).expect("a process").join();
        assert!(matches!(error, Err(ProcessError::NotBegun { .. })), "{error:?}");
    }
}

fn joins_end_in_time() {
    for method in METHODS {
        let process = Process::builder().method(method).start(sleep::task(), 600_000);
        let process = process.expect("a process");
        let process = process.join_timeout(Duration::from_millis(20)).expect_err("it sleeps");
        let process = process.join_deadline(Instant::now()).expect_err("it sleeps");
        assert_eq!(process.exit_status().expect("no refusal"), None);
        process.kill().expect("it runs");
        wait_readable(process.as_fd(), Patience::forever()).expect("its end");
        assert_eq!(process.exit_status().expect("known"), Some(ExitStatus::Signal(9)));
        process.kill().expect("it does nothing");
        let result = process.join_timeout(Duration::ZERO).expect("it has ended");
        assert!(matches!(result, Err(ProcessError::Died { .. })));
    }
}

fn children_start_children() {
    for method in 0..3u8 {
        let process = Process::start(ask_another::task(), (method, 2)).expect("a process");
        assert_eq!(process.join().expect("a result"), 3);
    }
}

fn closures_are_forked() {
    let word = "word".to_owned();
    let process = Process::fork(|| word.len() + 1).expect("a process");
    assert_eq!(process.join().expect("a result"), 5);
    let zygote = Process::builder().method(StartMethod::Zygote).fork(|| 1);
    assert!(matches!(zygote, Err(StartError::Method(StartMethod::Zygote))));
    let process = Process::fork(|| panic!("in a closure")).expect("a process");
    let process: Result<(), _> = process.join();
    assert!(process.expect_err("it panics").to_string().contains("in a closure"));
}

fn daemons_are_left_alone() {
    let counters = pool_support::Counters::new(1);
    let process = Process::builder().daemon(true).fork(|| {
        until(|| counters.get(0) == 1);
        counters.set(0, 2);
    });
    let process = process.expect("a process");
    assert!(process.is_daemon());
    drop(process);
    counters.set(0, 1);
    until(|| counters.get(0) == 2);
}

fn dropping_waits() {
    let counters = pool_support::Counters::new(1);
    let process = Process::fork(|| {
        pause(20);
        counters.set(0, 1);
    });
    drop(process.expect("a process"));
    assert_eq!(counters.get(0), 1);
}

fn a_panicking_thread_kills_its_processes() {
    let told = std::sync::Mutex::new(0);
    let panicked = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let process = Process::fork(|| pause(600_000)).expect("a process");
            *told.lock().expect("no panic here") = process.pid();
            panic!("with a process that would run for ten minutes");
        });
        thread.join()
    });
    assert!(panicked.is_err());
    let pid = *told.lock().expect("no panic here");
    assert!(phalanx_os::pidfd::open(pid).is_err(), "no zombie either");
}

fn children_die_with_their_parent() {
    let pids = pool_support::Counters::new(3);
    let parent = pool_support::child(|| {
        let children: Vec<_> = METHODS
            .into_iter()
            .map(|method| Process::builder().method(method).start(sleep::task(), 600_000))
            .collect();
        for (at, child) in children.iter().enumerate() {
            pids.set(at, u64::from(child.as_ref().expect("a child").pid()));
        }
        pause(600_000);
    });
    until(|| pids.all().iter().all(|pid| *pid != 0));
    kill(parent.pid(), 9);
    for pid in pids.all() {
        until(|| {
            let pidfd = phalanx_os::pidfd::open(pid as u32);
            pidfd.map_or(true, phalanx_os::pidfd::has_ended)
        });
    }
    parent.wait(Patience::forever()).expect("its end");
}

fn the_zygote_starts_quickly() {
    phalanx::process::prepare_zygote().expect("a zygote");
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let process = Process::start(nothing::task(), ()).expect("a process");
        times.push(began.elapsed());
        process.join().expect("nothing");
    }
    times.sort_unstable();
    eprintln!("start by zygote: median {:?}, least {:?}", times[25], times[0]);
}

fn nothing_is_left() {
    let family = phalanx_shm::family::Family::get().expect("a family");
    let open = || std::fs::read_dir("/proc/self/fd").expect("the list").count();
    let rounds = |count: usize| {
        for round in 0..count {
            let method = METHODS[round % 3];
            let start = || Process::builder().method(method).stdout(Stdio::piped());
            drop(start().start(add::task(), (1, 2)).expect("a process"));
            let process = start().start(sleep::task(), 600_000).expect("a process");
            process.kill().expect("it runs");
            assert!(process.join().is_err());
        }
    };
    // What is kept for later processes, like the zygote, is made by the first.
    rounds(3);
    let (before, fds) = (family.arena().census(), open());
    rounds(30);
    let after = family.arena().census();
    assert_eq!((before.objects, before.parts), (after.objects, after.parts), "memory is left");
    assert_eq!(fds, open(), "descriptors are left");
}
