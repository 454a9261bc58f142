//! A run from its first job to its last: one thread, one epoll set.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::Arc;

use phalanx_os::clock::{Deadline, earlier};
use phalanx_os::epoll::{Epoll, Event, Interests};
use phalanx_os::pipe;
use phalanx_os::poll::Readiness;

use super::log::Log;
use super::process::{Pending, Process, Refusal, Shared};
use super::runner::{Output, Runner};
use super::spool::Spool;
use super::surroundings::Surroundings;
use super::{Ending, Feed, Halt, Next, Order, Outcome, RunError, Watch};

/// Tokens of the epoll set: four for each place, and these.
const BELL: u64 = u64::MAX;
const SOURCE: u64 = u64::MAX - 1;
const PER_PLACE: u64 = 4;

/// Whether the feed has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Supply {
    Ready,
    /// Its source is in the epoll set.
    Awaited,
    Ended,
}

pub(super) struct Run<'a> {
    runner: &'a Runner,
    feed: &'a mut dyn Feed,
    watch: &'a mut dyn Watch,
    surroundings: Surroundings,
    shared: Shared,
    log: Option<Log>,
    places: Vec<Option<Process>>,
    running: usize,
    again: VecDeque<Pending>,
    supply: Supply,
    order: Order,
    /// The kernel has refused a process: none is started before one has ended.
    crowded: bool,
    sequence: u64,
    failed: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        runner: &'a Runner,
        feed: &'a mut dyn Feed,
        watch: &'a mut dyn Watch,
    ) -> Result<Self, RunError> {
        let used = |path: &&PathBuf| !runner.dry || (runner.resume && path.exists());
        let log = runner.log.as_ref().filter(used).map(|path| {
            Log::open(path, runner.resume).map_err(|error| RunError::Log(path.clone(), error))
        });
        if let (Output::Folder(folder), false) = (&runner.output, runner.dry) {
            let made = std::fs::create_dir_all(folder);
            made.map_err(|error| RunError::Folder(folder.clone(), error))?;
        }
        let null = OpenOptions::new().read(true).write(true).open("/dev/null");
        let null =
            null.and_then(|null| pipe::beyond_standard(null.into())).map_err(RunError::Kernel)?;
        let epoll = Epoll::new().map_err(RunError::Kernel)?;
        if let Some(bell) = watch.bell() {
            epoll.add(bell, BELL, Interests::READ).map_err(RunError::Kernel)?;
        }
        Ok(Self {
            surroundings: Surroundings::new(runner.environment.as_deref()),
            shared: Shared {
                spool: Arc::new(Spool::default()),
                epoll,
                null,
                buffer: vec![0; 64 << 10],
            },
            log: log.transpose()?,
            runner,
            feed,
            watch,
            places: Vec::new(),
            running: 0,
            again: VecDeque::new(),
            supply: Supply::Ready,
            order: Order::GoOn,
            crowded: false,
            sequence: 0,
            failed: 0,
        })
    }

    /// Runs all jobs.
    pub(super) fn all(mut self) -> Result<(), RunError> {
        let mut ready = Vec::new();
        loop {
            self.start_what_fits()?;
            let more_may_come = self.supply == Supply::Awaited && self.order == Order::GoOn;
            if self.running == 0 && !more_may_come {
                return self.pass_over_the_rest();
            }
            ready.clear();
            let timer = self.watch.timer();
            let processes = self.places.iter().flatten();
            let next = processes.fold(timer, |next, one| earlier(next, one.deadline()));
            let waited = self.shared.epoll.wait(&mut ready, next).map_err(RunError::Kernel)?;
            let mut look = waited == Readiness::Interrupted;
            for event in &ready {
                look |= event.token == BELL;
                self.handle(event)?;
            }
            for place in self.places.iter_mut().flatten() {
                place.tick(self.runner.grace);
            }
            if look || timer.is_some_and(Deadline::has_passed) {
                let order = self.watch.look();
                self.obey(order);
            }
            self.collect_finished()?;
        }
    }

    fn start_what_fits(&mut self) -> Result<(), RunError> {
        while self.order == Order::GoOn && self.running < self.runner.limit && !self.crowded {
            match self.next_pending()? {
                Some(pending) if self.runner.dry => {
                    self.watch.ended(pending.without_process(Ending::NotRun, &self.shared.spool));
                }
                Some(pending) => self.start(pending)?,
                None => break,
            }
        }
        Ok(())
    }

    /// The next job to start: one that has failed goes first.
    fn next_pending(&mut self) -> Result<Option<Pending>, RunError> {
        if let Some(pending) = self.again.pop_front() {
            return Ok(Some(pending));
        }
        while self.supply == Supply::Ready {
            match self.feed.next().map_err(RunError::Feed)? {
                Next::Job(job) => {
                    self.sequence += 1;
                    let pending = Pending { sequence: self.sequence, job, attempt: 1 };
                    if !self.log.as_mut().is_some_and(|log| log.take_done(&pending.job)) {
                        return Ok(Some(pending));
                    }
                    self.watch.ended(pending.without_process(Ending::Skipped, &self.shared.spool));
                }
                Next::Later => match self.feed.source() {
                    Some(source) => {
                        self.shared
                            .epoll
                            .add(source, SOURCE, Interests::READ)
                            .map_err(RunError::Feed)?;
                        self.supply = Supply::Awaited;
                    }
                    None => self.supply = Supply::Ended,
                },
                Next::End => self.supply = Supply::Ended,
            }
        }
        Ok(None)
    }

    fn start(&mut self, pending: Pending) -> Result<(), RunError> {
        let place = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(None);
        }
        let token = place as u64 * PER_PLACE;
        match Process::start(pending, self.runner, &mut self.surroundings, &self.shared, token) {
            Ok(process) => {
                if let Some(Pending { sequence, job, attempt }) = process.pending() {
                    self.watch.started(*sequence, job, *attempt);
                }
                self.places[place] = Some(process);
                self.running += 1;
                Ok(())
            }
            Err(Refusal::Run(error)) => Err(error),
            // What the kernel refuses now it may grant when another job has ended.
            Err(Refusal::Crowded(pending, _)) if self.running > 0 => {
                self.crowded = true;
                self.again.push_front(pending);
                Ok(())
            }
            Err(Refusal::Crowded(pending, error)) => {
                let ending = Ending::NotStarted(format!("cannot start a process: {error}"), 126);
                self.conclude(pending.without_process(ending, &self.shared.spool))
            }
            Err(Refusal::Job(pending, ending)) => {
                self.conclude(pending.without_process(ending, &self.shared.spool))
            }
        }
    }

    fn handle(&mut self, event: &Event) -> Result<(), RunError> {
        match event.token {
            BELL => return Ok(()),
            SOURCE => {
                if let Some(source) = self.feed.source() {
                    let _ = self.shared.epoll.remove(source);
                }
                self.supply = Supply::Ready;
                return Ok(());
            }
            _ => {}
        }
        let place = usize::try_from(event.token / PER_PLACE).unwrap_or(usize::MAX);
        let Some(Some(process)) = self.places.get_mut(place) else { return Ok(()) };
        let done = match event.token % PER_PLACE {
            0 => process.has_ended(&mut self.shared, self.watch),
            which => process.read(which as usize - 1, &mut self.shared, self.watch),
        };
        done.map_err(RunError::Kernel)
    }

    fn obey(&mut self, order: Order) {
        for process in self.places.iter_mut().flatten() {
            match order {
                Order::GoOn | Order::Soon => {}
                Order::Now => process.stop(self.runner.grace),
                Order::Kill => process.kill(),
            }
        }
        self.order = self.order.max(order);
    }

    fn collect_finished(&mut self) -> Result<(), RunError> {
        for place in 0..self.places.len() {
            let Some(process) = self.places[place].take_if(|process| process.is_finished()) else {
                continue;
            };
            self.running -= 1;
            self.crowded = false;
            let outcome = process.finish(&mut self.shared, self.watch).map_err(RunError::Kernel)?;
            if let Some(outcome) = outcome {
                self.conclude(outcome)?;
            }
        }
        Ok(())
    }

    /// An attempt is over: the job is run again, or has ended.
    fn conclude(&mut self, outcome: Outcome) -> Result<(), RunError> {
        let success = outcome.ending.is_success();
        if !success && outcome.attempts <= self.runner.retries && self.order == Order::GoOn {
            self.watch.retried(&outcome);
            let Outcome { sequence, job, attempts, .. } = outcome;
            self.again.push_back(Pending { sequence, job, attempt: attempts + 1 });
            return Ok(());
        }
        if let (Some(log), Some(path)) = (&mut self.log, &self.runner.log) {
            log.write(&outcome).map_err(|error| RunError::Log(path.clone(), error))?;
        }
        self.failed += u64::from(!success);
        self.watch.ended(outcome);
        let jobs = self.sequence + self.feed.remaining().unwrap_or(0) as u64;
        match self.runner.halt {
            Halt::Soon(limit) if limit.is_reached(self.failed, jobs) => self.obey(Order::Soon),
            Halt::Now(limit) if limit.is_reached(self.failed, jobs) && self.order < Order::Now => {
                self.obey(Order::Now);
            }
            _ => {}
        }
        Ok(())
    }

    /// A run that was stopped tells of the jobs that it leaves out, as far as it knows them.
    fn pass_over_the_rest(&mut self) -> Result<(), RunError> {
        while let Some(pending) = self.again.pop_front() {
            self.watch.ended(pending.without_process(Ending::NotRun, &self.shared.spool));
        }
        while self.feed.remaining().is_some_and(|left| left > 0) {
            let Next::Job(job) = self.feed.next().map_err(RunError::Feed)? else { break };
            self.sequence += 1;
            let pending = Pending { sequence: self.sequence, job, attempt: 1 };
            self.watch.ended(pending.without_process(Ending::NotRun, &self.shared.spool));
        }
        Ok(())
    }
}
