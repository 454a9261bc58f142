//! Runs what the command line asks for, and shows it.

use std::error::Error;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use phalanx::jobs::{Captured, Ending, Feed, Job, Order, Outcome, Stream, Watch};
use phalanx_os::clock::Deadline;
use phalanx_os::poll::{self, Interest, Readiness};

use crate::code;
use crate::feed::Jobs;
use crate::options::Options;
use crate::progress::{Place, Progress};
use crate::screen::Screen;
use crate::signals::Signals;

/// What a program gets that writes where nobody reads.
const SIGPIPE: i32 = 13;
/// How long a run that a signal has ended waits for its last output to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs it all and returns the exit code.
pub(crate) fn run(options: &Options) -> Result<i32, Box<dyn Error>> {
    let mut jobs = Jobs::new(&options.what, &options.shape)?;
    if options.dry_run {
        return dry_run(options, &mut jobs);
    }
    let signals = Signals::new()?;
    let screen = Screen::new()?;
    let bell = poll::set_of(&[signals.as_fd(), screen.broken()])?;
    let progress = Progress::new(Place::standard_error(), jobs.remaining());
    let mut shown = Shown { options, progress, signals, screen, bell };
    let result = options.runner.run_watched(&mut jobs, &mut shown);
    let Shown { progress, mut signals, mut screen, .. } = shown;
    if !options.quiet && result.is_ok() {
        screen.note(&progress.summary());
    }
    // Nobody may be reading what is still to be written: a signal ends that.
    let mut patience = signals.first().map(|_| Deadline::after(LAST_WORDS));
    let finished = screen.finish();
    loop {
        let mut either = [Interest::read(finished), Interest::read(signals.as_fd())];
        let readiness = poll::wait(&mut either, patience)?;
        let [written, signalled] = either.map(|interest| interest.is_ready());
        if written || readiness == Readiness::TimedOut {
            break;
        }
        if signalled && signals.order() != Order::GoOn {
            patience = Some(Deadline::now());
        }
    }
    result?;
    Ok(match signals.first() {
        Some(signal) => code::SIGNAL + signal,
        None if screen.is_broken() => code::SIGNAL + SIGPIPE,
        None if progress.is_all_success() => 0,
        None => code::FAILED,
    })
}

/// Prints the commands that would be run.
fn dry_run(options: &Options, jobs: &mut Jobs<'_>) -> Result<i32, Box<dyn Error>> {
    struct Names(Vec<u8>);
    impl Watch for Names {
        fn ended(&mut self, outcome: Outcome) {
            if outcome.ending == Ending::NotRun {
                self.0.extend_from_slice(outcome.job.name().as_bytes());
                self.0.push(b'\n');
            }
        }
    }
    let mut names = Names(Vec::new());
    options.runner.run_watched(jobs, &mut names)?;
    io::stdout().write_all(&names.0)?;
    Ok(0)
}

struct Shown<'a> {
    options: &'a Options,
    progress: Progress,
    signals: Signals,
    screen: Screen,
    bell: OwnedFd,
}

impl Shown<'_> {
    fn note(&self, text: &str) {
        if !self.options.quiet {
            self.screen.note(text);
        }
    }

    fn tag(&self, job: &Job) -> Option<Vec<u8>> {
        self.options.tag.then(|| job.name().into_vec())
    }

    fn show_progress(&mut self) {
        if !self.options.quiet
            && self.options.progress
            && let Some(line) = self.progress.due()
        {
            self.screen.status(line);
        }
    }
}

impl Watch for Shown<'_> {
    fn started(&mut self, _: u64, job: &Job, _: u32) {
        self.progress.started(&job.to_string());
        self.show_progress();
    }

    fn lines(&mut self, _: u64, job: &Job, stream: Stream, lines: Captured) {
        self.screen.output(stream, lines, self.tag(job));
    }

    fn retried(&mut self, outcome: &Outcome) {
        let Outcome { sequence, job, ending, attempts, .. } = outcome;
        self.progress.retried();
        self.note(&format!(
            "job {sequence} failed in attempt {attempts}, and is run again: {ending}: {job}"
        ));
    }

    fn ended(&mut self, outcome: Outcome) {
        self.progress.ended(&outcome);
        let Outcome { sequence, job, ending, stdout, stderr, .. } = outcome;
        let lost = stdout.lost() + stderr.lost();
        self.screen.output(Stream::Output, stdout, self.tag(&job));
        self.screen.output(Stream::Error, stderr, self.tag(&job));
        if lost > 0 {
            self.note(&format!(
                "job {sequence}: {lost} bytes of output are lost, the disk is full: {job}"
            ));
        }
        if !ending.is_success() && ending != Ending::NotRun {
            self.note(&format!("job {sequence} failed: {ending}: {job}"));
        }
        self.show_progress();
    }

    fn bell(&self) -> Option<BorrowedFd<'_>> {
        Some(self.bell.as_fd())
    }

    fn timer(&self) -> Option<Deadline> {
        let shows = !self.options.quiet && self.options.progress;
        self.progress.timer().filter(|_| shows)
    }

    fn look(&mut self) -> Order {
        self.show_progress();
        let order = self.signals.order();
        if self.screen.is_broken() { order.max(Order::Now) } else { order }
    }
}
