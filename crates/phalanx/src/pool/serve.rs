//! The loop of a worker process.

use std::cell::Cell;
use std::rc::Rc;

use phalanx_shm::arena::AllocError;
use phalanx_shm::patience::Patience;
use phalanx_shm::ring::INLINE_MAX;
use phalanx_shm::sync::Deadline;

use super::callee::Target;
use super::{Bench, Leased};
use crate::message::Outgoing;
use crate::task::{self, Failed, Out, Outcome};
use crate::wire::{self, apart};

/// Decodes an argument, calls the closure, appends the result.
pub(super) type Work = dyn Fn(&[u8], &mut Out) -> Outcome + Send + Sync;

/// Bytes of a worker's desk: what it collects there is published as one inline record.
pub(super) const DESK: usize = 8000;
/// A longer result is published by itself, at once.
const SHORT: usize = 1024;
/// Results are not kept on the desk for longer, in nanoseconds, unless a task takes longer.
const KEPT_NS: u64 = 100_000;

/// What every worker of a pool does.
#[derive(Default)]
pub(super) struct Recipe {
    /// The number of the builder that was given the closures.
    pub(super) builder: u64,
    pub(super) closures: Vec<Box<Work>>,
    pub(super) setup: Option<Box<dyn Fn(usize) + Send + Sync>>,
    pub(super) initializer: Option<Initializer>,
    pub(super) max_tasks: u64,
    /// Tasks have a time limit.
    pub(super) timed: bool,
}

/// What a worker calls first, besides the setup.
pub(super) enum Initializer {
    /// In a forked worker: the argument is here.
    Here(Box<dyn First>),
    /// In any other: a task's number, and the argument, encoded.
    Sent(u64, Vec<u8>),
}

/// A task with its argument, which may be handles that only a new process can be given.
pub(super) trait First: Send + Sync {
    /// The task's number.
    fn id(&self) -> u64;

    /// Encodes the argument for a worker.
    fn encode(&self) -> Result<Vec<u8>, wire::EncodeError>;

    /// Calls the function with this process's own copy of the argument: once.
    fn call(&self);
}

/// What a message from a worker is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The results of one or more tasks: records.
    Values,
    /// The result of one task.
    Value,
    Panicked,
    Unreadable,
    Unsendable,
    /// The initializer panicked.
    Refused,
}

/// What a worker writes in front of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResultLabel {
    pub(super) job: u64,
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) kind: Kind,
}

impl ResultLabel {
    pub(super) const LEN: usize = 24;

    fn pack(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let words = [self.job, self.first, u64::from(self.count) << 8 | self.kind as u64];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut words = [0; 3];
        for (word, from) in words.iter_mut().zip(bytes.get(..Self::LEN)?.chunks_exact(8)) {
            *word = u64::from_le_bytes(from.try_into().ok()?);
        }
        let kinds = [
            Kind::Values,
            Kind::Value,
            Kind::Panicked,
            Kind::Unreadable,
            Kind::Unsendable,
            Kind::Refused,
        ];
        let kind = kinds.into_iter().find(|kind| *kind as u64 == words[2] & 0xff)?;
        let count = u32::try_from(words[2] >> 8).ok()?;
        Some(Self { job: words[0], first: words[1], count, kind })
    }
}

/// Appends a record, for instance a task of a batch: its length, then its bytes.
#[inline]
pub(super) fn push_record<T>(body: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let at = body.len();
    body.extend_from_slice(&[0; 8]);
    let result = encode(body);
    let len = (body.len() - at - 8) as u64;
    body[at..at + 8].copy_from_slice(&len.to_le_bytes());
    result
}

/// Takes the first record off a body.
#[inline]
pub(super) fn pop_record<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = body.split_first_chunk::<8>()?;
    let (record, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    *body = rest;
    Some(record)
}

/// Works until the pool closes, or for as many tasks as a worker may do; the exit code.
pub(super) fn serve(bench: &Bench, recipe: &Recipe) -> i32 {
    let job = Rc::new(Cell::new(0));
    let flag = {
        let (bench, job) = (bench.clone(), Rc::clone(&job));
        Rc::new(move || bench.is_cancelled(job.get()))
    };
    let work = || {
        let mut worker = Worker {
            bench,
            recipe,
            job,
            batch: Vec::new(),
            result: Out::default(),
            kept: 0,
            records: Vec::new(),
            kept_from: 0,
            kept_until: 0,
            kept_since: 0,
            scratch: Vec::new(),
        };
        worker.begin().and_then(|()| worker.work()).map_or_else(|code| code, |()| 0)
    };
    task::recorded(false, || task::watching(flag, work))
}

struct Worker<'a> {
    bench: &'a Bench,
    recipe: &'a Recipe,
    /// The call that the tasks belong to.
    job: Rc<Cell<u64>>,
    batch: Vec<u8>,
    result: Out,
    /// Bytes of the results that lie on the desk: of the tasks `kept_from..kept_until`.
    kept: usize,
    kept_from: u32,
    kept_until: u32,
    kept_since: u64,
    records: Vec<u8>,
    scratch: Vec<u8>,
}

/// The exit code of a worker that cannot go on.
type Exit = i32;
const REFUSED: Exit = 101;
const NO_ROOM: Exit = 1;

impl Worker<'_> {
    fn begin(&mut self) -> Result<(), Exit> {
        let ran = task::catch(|| {
            if let Some(setup) = &self.recipe.setup {
                setup(self.bench.number());
            }
            let (task, argument) = match &self.recipe.initializer {
                None => return Ok(()),
                Some(Initializer::Here(first)) => {
                    first.call();
                    return Ok(());
                }
                Some(Initializer::Sent(task, argument)) => (task, argument),
            };
            let task = task::find(*task).map_err(|unknown| unknown.to_string())?;
            self.result.clear();
            match task.run(argument, &mut self.result) {
                Outcome::Failed(Failed::Argument) => {
                    Err(String::from_utf8_lossy(&self.result.frame).into_owned())
                }
                Outcome::Value | Outcome::Failed(Failed::Result) => Ok(()),
            }
        });
        let panic = match ran {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => Box::new(task::Panic::saying(why)),
            Err(panic) => panic,
        };
        self.result.clear();
        // Strings always encode.
        let _ = wire::encode(&*panic, &mut self.result.frame);
        let label = ResultLabel { job: 0, first: 0, count: 0, kind: Kind::Refused };
        // If there is no room to say so, the owner sees workers that keep dying.
        let _ = Outgoing::new(self.bench.family(), &self.result.frame)
            .and_then(|body| self.bench.announce(&label.pack(), body, &mut self.scratch));
        Err(REFUSED)
    }

    fn work(&mut self) -> Result<(), Exit> {
        let mut left = self.recipe.max_tasks;
        while left > 0 {
            match self.bench.lease(&mut self.batch, &Patience::forever(), &|| false) {
                // Without room for a result the owner takes what lies on the desk, and reports the
                // task that had begun.
                Ok(Some(leased)) => {
                    let done = self.run(leased).map_err(|_| NO_ROOM)?;
                    left = left.saturating_sub(done);
                }
                Ok(None) => return Ok(()),
                Err(_) => {}
            }
        }
        self.bench.leave();
        Ok(())
    }

    fn run(&mut self, leased: Leased) -> Result<u64, AllocError> {
        let began = Deadline::now().as_nanos();
        let span = leased.span;
        if self.bench.is_cancelled(span.job) {
            self.bench.done(0, 0);
            return Ok(0);
        }
        // Before the batch is read: should it be too much for this process, its first task pays for
        // that, and the others do not kill one worker after another.
        self.bench.begin_at(began);
        self.bench.begin();
        let mut batch = std::mem::take(&mut self.batch);
        let mut tasks = match leased.parcel {
            None => batch.get(Leased::BODY..).unwrap_or(&[]),
            Some(parcel) => {
                batch.clear();
                // A damaged parcel leaves nothing to read, which the tasks then say.
                let _ = parcel.read_frame(&mut batch);
                &batch
            }
        };
        self.job.set(span.job);
        let work = function(self.recipe, leased.tag);
        let mut now = began;
        for index in 0..span.count {
            if index > 0 {
                if self.bench.is_cancelled(span.job) {
                    break;
                }
                self.bench.begin_at(now);
                self.bench.begin();
            }
            let kind = self.call(&work, pop_record(&mut tasks));
            if self.recipe.timed {
                self.bench.finish_in_time();
            } else {
                self.bench.finish();
            }
            let before = now;
            now = Deadline::now().as_nanos();
            let first = span.first + u64::from(index);
            let label = ResultLabel { job: span.job, first, count: 1, kind };
            self.deliver(index, label, before, now)?;
        }
        self.publish_kept(span.job, span.first)?;
        self.batch = batch;
        self.bench.done(now - began, u64::from(span.count));
        Ok(u64::from(span.count))
    }

    fn call(&mut self, work: &Callback<'_>, task: Option<&[u8]>) -> Kind {
        self.result.clear();
        let result = &mut self.result;
        let Some(task) = task else {
            result.frame.extend_from_slice(b"the batch ends before it");
            return Kind::Unreadable;
        };
        let ran = task::catch(|| match work {
            Callback::Task(registered) => registered.run(task, result),
            Callback::Closure(closure) => closure(task, result),
            Callback::Unknown => {
                result.frame.extend_from_slice(b"this program has no such function");
                Outcome::Failed(Failed::Argument)
            }
        });
        match ran {
            Ok(Outcome::Value) => Kind::Value,
            Ok(Outcome::Failed(Failed::Argument)) => Kind::Unreadable,
            Ok(Outcome::Failed(Failed::Result)) => Kind::Unsendable,
            Err(panic) => {
                self.result.clear();
                let _ = wire::encode(&*panic, &mut self.result.frame);
                Kind::Panicked
            }
        }
    }

    /// Puts the result on the desk if it is short, and publishes what should not lie there longer.
    fn deliver(
        &mut self,
        index: u32,
        label: ResultLabel,
        began: u64,
        now: u64,
    ) -> Result<(), AllocError> {
        let batch_first = label.first - u64::from(index);
        let size = 8 + self.result.frame.len();
        if label.kind != Kind::Value || size > SHORT || !self.result.apart.is_empty() {
            self.publish_kept(label.job, batch_first)?;
            return self.publish(index + 1, label);
        }
        if self.kept + size > self.bench.desk() {
            self.publish_kept(label.job, batch_first)?;
        }
        if self.kept == 0 {
            self.kept_from = index;
            self.kept_since = began;
        }
        self.kept_until = index + 1;
        let result = &self.result.frame;
        self.kept = self.bench.stage(self.kept_from, self.kept_until, self.kept, result);
        if now - self.kept_since > KEPT_NS {
            self.publish_kept(label.job, batch_first)?;
        }
        Ok(())
    }

    fn publish_kept(&mut self, job: u64, batch_first: u64) -> Result<(), AllocError> {
        if self.kept == 0 {
            return Ok(());
        }
        let count = self.kept_until - self.kept_from;
        let first = batch_first + u64::from(self.kept_from);
        let label = ResultLabel { job, first, count, kind: Kind::Values };
        self.records.clear();
        self.bench.read_desk(self.kept, &mut self.records);
        let body = Outgoing::Inline(&self.records);
        self.bench.publish(self.kept_until, &label.pack(), body, &mut self.scratch)?;
        self.kept = 0;
        Ok(())
    }

    fn publish(&mut self, settles: u32, label: ResultLabel) -> Result<(), AllocError> {
        let family = self.bench.family();
        let Out { frame, apart } = &mut self.result;
        let room = INLINE_MAX / 2 - ResultLabel::LEN;
        let sent = apart::outgoing(family, frame, apart, room)
            .and_then(|body| self.bench.publish(settles, &label.pack(), body, &mut self.scratch));
        // What is in it is the message's by now, or nobody's.
        apart.clear();
        let Err(error) = sent else { return Ok(()) };
        let label = ResultLabel { kind: Kind::Unsendable, ..label };
        let message = error.to_string();
        let body = Outgoing::Inline(message.as_bytes());
        self.bench.publish(settles, &label.pack(), body, &mut self.scratch)
    }
}

fn function(recipe: &Recipe, tag: [u64; 2]) -> Callback<'_> {
    match Target::from_tag(tag) {
        Target::Task(id) => task::find(id).map_or(Callback::Unknown, Callback::Task),
        Target::Closure { builder, index } => {
            let closure = recipe.closures.get(index).filter(|_| builder == recipe.builder);
            closure.map_or(Callback::Unknown, |closure| Callback::Closure(&**closure))
        }
    }
}

/// The function of a batch.
enum Callback<'a> {
    Task(&'static task::Registered),
    Closure(&'a Work),
    Unknown,
}
