//! Commands in parallel, from the outside.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use phalanx::jobs::{
    Captured, Ending, ExitStatus, Feed, Halt, Job, Limit, Next, Order, Outcome, Output, Runner,
    Stream, Watch,
};

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "phalanx-jobs-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn out(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.to_vec().unwrap()).unwrap()
}

fn exists(pid: &str) -> bool {
    // A zombie has ended.
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn until(what: impl Fn() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < Duration::from_secs(30), "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn outcomes_come_in_the_order_of_the_jobs() {
    let jobs = (0..20)
        .map(|n| Job::shell(format!("sleep 0.0{}; echo {n}; echo e{n} >&2; exit {n}", 20 - n)));
    let outcomes = Runner::new().limit(5).run(jobs).unwrap();
    assert_eq!(outcomes.len(), 20);
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.sequence, n as u64 + 1);
        assert_eq!(outcome.ending, Ending::Ended(ExitStatus::Code(n as u8)));
        assert_eq!(out(outcome), format!("{n}\n"));
        assert_eq!(outcome.stderr.to_vec().unwrap(), format!("e{n}\n").into_bytes());
        assert_eq!(outcome.attempts, 1);
    }
}

#[test]
fn no_more_run_at_a_time_than_the_limit() {
    let folder = Folder::new();
    let line = "mkdir running.$$; ls -d running.* | wc -l; sleep 0.02; rmdir running.$$";
    let jobs = (0..12).map(|_| Job::shell(line).directory(&folder.0));
    let outcomes = Runner::new().limit(3).run(jobs).unwrap();
    let most =
        outcomes.iter().map(|outcome| out(outcome).trim().parse::<u32>().unwrap()).max().unwrap();
    assert!((1..=3).contains(&most), "{most} at a time");
}

#[test]
fn a_job_gets_its_arguments_environment_and_directory_as_they_are() {
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe a'b\"$HOME");
    let job =
        Job::new("sh").arg("-c").arg("printf %s:%s: \"$1\" \"$X\"; pwd; cat").arg("-").arg(odd);
    let job = job.env("X", odd).env("Y", "1").env_remove("Y").directory("/");
    let outcome = Runner::new().run([job]).unwrap().remove(0);
    let expected = [odd.as_bytes(), b":", odd.as_bytes(), b":/\n"].concat();
    assert_eq!(outcome.stdout.to_vec().unwrap(), expected);
}

#[test]
fn what_cannot_be_started_says_so_and_the_others_run() {
    let jobs = [
        Job::new("no-such-command-anywhere"),
        Job::new("/etc/passwd"),
        Job::new("true").directory("/no/such/folder"),
        Job::new("true").arg("zero\0byte"),
        Job::new("true").env("a=b", "c"),
        Job::new(""),
        Job::new("true"),
    ];
    let outcomes = Runner::new().run(jobs).unwrap();
    let codes: Vec<_> = outcomes.iter().map(|outcome| outcome.ending.code()).collect();
    assert_eq!(codes, [Some(127), Some(126), Some(127), Some(126), Some(126), Some(127), Some(0)]);
    let texts: Vec<_> = outcomes.iter().map(|outcome| outcome.ending.to_string()).collect();
    assert!(
        texts[0].contains("'no-such-command-anywhere'") && texts[0].contains("PATH"),
        "{}",
        texts[0]
    );
    assert!(texts[2].contains("/no/such/folder"), "{}", texts[2]);
    assert!(texts[4].contains("a=b"), "{}", texts[4]);
}

#[test]
fn a_job_that_takes_too_long_is_asked_and_then_killed_with_all_its_group() {
    let folder = Folder::new();
    let (pids, asked) = (folder.file("pids"), folder.file("asked"));
    let stubborn = format!(
        "trap 'echo x >> {asked}' TERM; sleep 600 & echo $! > {pids}; while :; do sleep 1; done"
    );
    let jobs = [Job::shell(stubborn), Job::shell("sleep 600"), Job::shell("exit 7")];
    let runner = Runner::new()
        .limit(3)
        .timeout(Duration::from_millis(300))
        .grace(Duration::from_millis(300));
    let outcomes = runner.run(jobs).unwrap();
    assert_eq!(outcomes[0].ending, Ending::TimedOut(ExitStatus::Signal(9)));
    assert_eq!(outcomes[1].ending, Ending::TimedOut(ExitStatus::Signal(15)));
    assert_eq!(outcomes[2].ending, Ending::Ended(ExitStatus::Code(7)));
    assert_eq!(fs::read_to_string(asked).unwrap(), "x\n");
    let pid = fs::read_to_string(pids).unwrap();
    until(|| !exists(&pid));
}

#[test]
fn what_is_left_of_a_group_is_killed_but_what_it_wrote_before_is_there() {
    let job = Job::shell("(sleep 0.2; echo late; exec sleep 600) & echo $!; exit 3");
    let outcome = Runner::new().run([job]).unwrap().remove(0);
    assert_eq!(outcome.ending, Ending::Ended(ExitStatus::Code(3)));
    let text = out(&outcome);
    let (pid, late) = text.split_once('\n').unwrap();
    assert_eq!(late, "late\n");
    until(|| !exists(pid));
}

#[test]
fn who_leaves_the_group_lives_on_and_keeps_nobody_waiting() {
    let job = Job::shell("setsid sh -c 'echo $$; exec sleep 600' & sleep 0.3; exit 0");
    let outcome = Runner::new().run([job]).unwrap().remove(0);
    let text = out(&outcome);
    assert!(exists(&text));
    Command::new("kill").arg("-9").arg(text.trim()).status().unwrap();
}

#[test]
fn a_failed_job_is_tried_again_until_it_succeeds() {
    let folder = Folder::new();
    let line = "echo x >> tries; test $(wc -l < tries) = 3 && echo done";
    let never = "echo x >> never; exit 4";
    let jobs = [Job::shell(line).directory(&folder.0), Job::shell(never).directory(&folder.0)];
    let outcomes = Runner::new().retries(3).run(jobs).unwrap();
    assert_eq!((outcomes[0].attempts, out(&outcomes[0]).as_str()), (3, "done\n"));
    assert!(outcomes[0].ending.is_success());
    assert_eq!((outcomes[1].attempts, outcomes[1].ending.code()), (4, Some(4)));
    assert_eq!(fs::read_to_string(folder.file("never")).unwrap().lines().count(), 4);
}

#[test]
fn failures_halt_the_rest() {
    let jobs = || [Job::shell("sleep 0.3; exit 1"), Job::shell("sleep 600"), Job::shell("true")];
    let now = Runner::new().limit(2).halt(Halt::Now(Limit::Count(1))).run(jobs()).unwrap();
    assert_eq!(now[0].ending, Ending::Ended(ExitStatus::Code(1)));
    assert_eq!(now[1].ending, Ending::Stopped(ExitStatus::Signal(15)));
    assert_eq!((&now[2].ending, now[2].attempts), (&Ending::NotRun, 0));

    let jobs = ["exit 1", "sleep 0.5; echo whole", "true", "true"].map(Job::shell);
    let soon = Runner::new().limit(2).halt(Halt::Soon(Limit::Percent(25))).run(jobs).unwrap();
    assert_eq!(out(&soon[1]), "whole\n");
    assert_eq!([&soon[2].ending, &soon[3].ending], [&Ending::NotRun; 2]);
}

#[test]
fn a_log_lets_a_later_run_skip_what_has_succeeded() {
    let folder = Folder::new();
    let log = folder.file("log");
    let line = |name: &str| {
        Job::shell(format!("echo x >> {name}; test ! -e {name}.bad")).directory(&folder.0)
    };
    fs::write(folder.file("b.bad"), "").unwrap();
    let first = Runner::new().log(&log, false).run([line("a"), line("b"), line("a")]).unwrap();
    assert_eq!(first.iter().filter(|outcome| outcome.ending.is_success()).count(), 2);
    // A torn line, as of a runner that was killed while the machine wrote it.
    fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"4\t:\t17").unwrap();
    fs::remove_file(folder.file("b.bad")).unwrap();
    let again = Runner::new()
        .log(&log, true)
        .run([line("c"), line("a"), line("b"), line("a"), line("a")])
        .unwrap();
    let skipped: Vec<_> = again.iter().map(|outcome| outcome.ending == Ending::Skipped).collect();
    assert_eq!(skipped, [false, true, false, true, false], "as many equal ones as have succeeded");
    let all = Runner::new()
        .log(&log, true)
        .run([line("a"), line("a"), line("a"), line("b"), line("c")])
        .unwrap();
    assert!(all.iter().all(|outcome| outcome.ending == Ending::Skipped));
    assert_eq!(fs::read_to_string(folder.file("a")).unwrap().lines().count(), 3);
    // Not going on begins anew.
    Runner::new().log(&log, false).run([line("c")]).unwrap();
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 2);
}

#[test]
fn a_log_is_one_runs_alone_and_has_to_be_writable() {
    let folder = Folder::new();
    let log = folder.file("log");
    let inner = log.clone();
    struct Nested(String, Option<String>);
    impl Watch for Nested {
        fn started(&mut self, _: u64, _: &Job, _: u32) {
            let error = Runner::new().log(&self.0, true).run([Job::new("true")]).unwrap_err();
            self.1 = Some(error.to_string());
        }
        fn ended(&mut self, _: Outcome) {}
    }
    let mut nested = Nested(inner, None);
    let mut feed = phalanx::jobs::from_iter([Job::new("true")]);
    Runner::new().log(&log, false).run_watched(&mut feed, &mut nested).unwrap();
    assert!(nested.1.unwrap().contains("another run is writing it"));
    let error = Runner::new().log("/no/such/log", false).run([Job::new("true")]).unwrap_err();
    assert!(error.to_string().contains("/no/such/log"), "{error}");
}

#[test]
fn large_output_of_many_jobs_does_not_stay_in_memory() {
    // 20 jobs of 10 MB: more than the runner's memory may grow.
    let jobs = (0..20).map(|n| Job::shell(format!("yes {n:07} | head -c 10000000")));
    let before = resident();
    let outcomes = Runner::new().limit(2).run(jobs).unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "grown by {grown} bytes");
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!((outcome.stdout.len(), outcome.stdout.lost()), (10_000_000, 0));
        let bytes = outcome.stdout.to_vec().unwrap();
        let line = format!("{n:07}\n");
        assert!(bytes.chunks(8).all(|chunk| chunk == line.as_bytes()));
    }
}

fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn lines_come_whole_while_the_jobs_run() {
    struct Lines(Vec<(u64, Stream, String)>);
    impl Watch for Lines {
        fn lines(&mut self, sequence: u64, _: &Job, stream: Stream, lines: Captured) {
            let text = String::from_utf8(lines.to_vec().unwrap()).unwrap();
            self.0
                .extend(text.split_inclusive('\n').map(|line| (sequence, stream, line.to_owned())));
        }
        fn ended(&mut self, outcome: Outcome) {
            assert!(outcome.stdout.is_empty());
            self.0.push((outcome.sequence, Stream::Error, "ended".to_owned()));
        }
    }
    let line = "printf 'on'; sleep 0.2; echo e >&2; echo e; printf 'two\\nrest'";
    let mut lines = Lines(Vec::new());
    let mut feed =
        phalanx::jobs::from_iter([Job::shell(line), Job::shell("sleep 0.1; echo other")]);
    Runner::new().limit(2).output(Output::Lines).run_watched(&mut feed, &mut lines).unwrap();
    let of = |sequence, stream| -> Vec<&str> {
        let mine = lines.0.iter().filter(|line| (line.0, line.1) == (sequence, stream));
        mine.map(|line| line.2.as_str()).collect()
    };
    assert_eq!(of(1, Stream::Output), ["one\n", "two\n", "rest"]);
    assert_eq!(of(1, Stream::Error), ["e\n", "ended"]);
    assert_eq!(lines.0[0], (2, Stream::Output, "other\n".to_owned()));
}

#[test]
fn output_goes_to_files_or_nowhere() {
    let folder = Folder::new();
    let jobs = || ["echo a; echo b >&2", "echo c"].map(Job::shell);
    let outcomes =
        Runner::new().output(Output::Folder(folder.0.join("new/outputs"))).run(jobs()).unwrap();
    assert!(outcomes[0].stdout.is_empty());
    let read = |name| fs::read_to_string(folder.0.join("new/outputs").join(name)).unwrap();
    assert_eq!(
        [read("1.out"), read("1.err"), read("2.out"), read("2.err")],
        ["a\n", "b\n", "c\n", ""]
    );
    let outcomes = Runner::new().output(Output::Discarded).run(jobs()).unwrap();
    assert!(
        outcomes.iter().all(|outcome| outcome.ending.is_success() && outcome.stdout.is_empty())
    );
    let error =
        Runner::new().output(Output::Folder("/proc/nowhere".into())).run(jobs()).unwrap_err();
    assert!(error.to_string().contains("/proc/nowhere"), "{error}");
}

/// A feed that has its next job when its pipe is readable, and a watcher that stops the run by a bell.
#[test]
fn jobs_may_come_late_and_a_bell_ends_the_run() {
    struct Slow(std::process::ChildStdout, bool);
    impl Feed for Slow {
        fn next(&mut self) -> std::io::Result<Next> {
            use std::io::Read;
            if !std::mem::replace(&mut self.1, true) {
                return Ok(Next::Later);
            }
            self.1 = false;
            let mut byte = [0];
            Ok(match self.0.read(&mut byte)? {
                0 => Next::End,
                _ => Next::Job(Job::shell(format!("echo {}; exec sleep 600", byte[0] as char))),
            })
        }
        fn source(&self) -> Option<BorrowedFd<'_>> {
            Some(std::os::fd::AsFd::as_fd(&self.0))
        }
    }
    struct Stopped(std::io::PipeReader, Option<std::io::PipeWriter>, Vec<Ending>, u32);
    impl Watch for Stopped {
        fn started(&mut self, _: u64, _: &Job, _: u32) {
            self.3 += 1;
            if self.3 == 2 {
                self.1 = None;
            }
        }
        fn ended(&mut self, outcome: Outcome) {
            self.2.push(outcome.ending);
        }
        fn bell(&self) -> Option<BorrowedFd<'_>> {
            Some(std::os::fd::AsFd::as_fd(&self.0))
        }
        fn look(&mut self) -> Order {
            Order::Now
        }
    }
    let mut source = Command::new("sh")
        .args(["-c", "printf a; sleep 0.2; printf b; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut watch = Stopped(reader, Some(writer), Vec::new(), 0);
    let mut feed = Slow(source.stdout.take().unwrap(), false);
    Runner::new().limit(4).run_watched(&mut feed, &mut watch).unwrap();
    assert_eq!(
        watch.2,
        [Ending::Stopped(ExitStatus::Signal(15)), Ending::Stopped(ExitStatus::Signal(15))]
    );
    source.kill().unwrap();
    source.wait().unwrap();
}

#[test]
fn many_short_jobs_leave_no_descriptor_and_no_process() {
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    Runner::new().run([Job::new("true")]).unwrap();
    let before = count();
    let outcomes = Runner::new().limit(8).run((0..2000).map(|_| Job::new("true"))).unwrap();
    assert!(outcomes.len() == 2000 && outcomes.iter().all(|outcome| outcome.ending.is_success()));
    // Other tests of this process have some open, for a moment.
    until(|| count() <= before + 3);
}

/// The runner with hardly any descriptors: fewer jobs at a time, and none lost.
#[test]
fn few_descriptors_mean_fewer_jobs_at_a_time() {
    let program = std::env::current_exe().unwrap();
    let line = format!(
        "ulimit -n 40; exec '{}' --exact few_descriptors_inside --include-ignored --nocapture",
        program.display()
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("100 jobs done"), "{text}");
}

#[test]
#[ignore = "runs in a process of its own, for the test above"]
fn few_descriptors_inside() {
    let outcomes =
        Runner::new().limit(50).run((0..100).map(|_| Job::new("sleep").arg("0.01"))).unwrap();
    let done = outcomes.iter().filter(|outcome| outcome.ending.is_success()).count();
    println!("{done} jobs done");
}

/// A runner that is killed takes the groups of its jobs along.
#[test]
fn a_killed_runner_leaves_no_process() {
    let program = std::env::current_exe().unwrap();
    let mut runner = Command::new(program)
        .args(["--exact", "a_runner_to_be_killed", "--include-ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(runner.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pids: Vec<_> =
        lines.filter_map(|line| line.strip_prefix("pid ").map(str::to_owned)).take(4).collect();
    assert!(pids.iter().all(|pid| exists(pid)));
    runner.kill().unwrap();
    runner.wait().unwrap();
    until(|| !pids.iter().any(|pid| exists(pid)));
}

#[test]
#[ignore = "never ends by itself, and is run by the test above"]
fn a_runner_to_be_killed() {
    struct Print;
    impl Watch for Print {
        fn lines(&mut self, _: u64, _: &Job, _: Stream, lines: Captured) {
            print!("{}", String::from_utf8_lossy(&lines.to_vec().unwrap()));
        }
        fn ended(&mut self, _: Outcome) {}
    }
    // The second of each is orphaned by its first, but for its group.
    let line = "echo pid $$; (exec sleep 600) & echo pid $!; wait";
    let mut feed = phalanx::jobs::from_iter([line, line].map(Job::shell));
    println!();
    Runner::new().limit(2).output(Output::Lines).run_watched(&mut feed, &mut Print).unwrap();
}
