//! The loop of a worker process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use phalanx_shm::arena::AllocError;
use phalanx_shm::patience::Patience;
use phalanx_shm::sync::Deadline;

use super::{Bench, Leased};
use crate::message::Outgoing;

/// Reads an argument, calls the function, writes the result; false when there was no argument.
pub(super) type Work = dyn Fn(&[u8], &mut Vec<u8>) -> bool + Send + Sync;

/// What every worker of a pool does.
pub(super) struct Recipe {
    pub(super) work: Box<Work>,
    pub(super) function: &'static str,
    pub(super) setup: Option<Box<dyn Fn(usize) + Send + Sync>>,
    pub(super) max_tasks: u64,
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Value,
    Panicked,
    Undecodable,
    TooLarge,
}

/// What a worker writes in front of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResultLabel {
    pub(super) job: u64,
    pub(super) task: u64,
    pub(super) kind: Kind,
}

impl ResultLabel {
    pub(super) const LEN: usize = 24;

    fn pack(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let words = [self.job, self.task, self.kind as u64];
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
        let kinds = [Kind::Value, Kind::Panicked, Kind::Undecodable, Kind::TooLarge];
        let kind = kinds.into_iter().find(|kind| *kind as u64 == words[2])?;
        Some(Self { job: words[0], task: words[1], kind })
    }
}

/// Appends a task to the body of a batch.
pub(super) fn push_task(body: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let at = body.len();
    body.extend_from_slice(&[0; 8]);
    encode(body);
    let len = (body.len() - at - 8) as u64;
    body[at..at + 8].copy_from_slice(&len.to_le_bytes());
}

/// Takes the first task off the body of a batch.
pub(super) fn pop_task<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = body.split_first_chunk::<8>()?;
    let (task, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    *body = rest;
    Some(task)
}

/// Works until the pool closes, or for as many tasks as a worker may do; the exit code.
pub(super) fn serve(bench: &Bench, recipe: &Recipe) -> i32 {
    if let Some(setup) = &recipe.setup {
        setup(bench.number());
    }
    let mut worker =
        Worker { bench, recipe, batch: Vec::new(), result: Vec::new(), scratch: Vec::new() };
    let mut left = recipe.max_tasks;
    while left > 0 {
        match bench.lease(&mut worker.batch, &Patience::forever(), &|| false) {
            Ok(Some(leased)) => match worker.run(leased) {
                Ok(count) => left = left.saturating_sub(count),
                // Not even room to say so: the owner reports the task that had begun.
                Err(_) => return 1,
            },
            Ok(None) => return 0,
            Err(_) => {}
        }
    }
    bench.leave();
    0
}

struct Worker<'a> {
    bench: &'a Bench,
    recipe: &'a Recipe,
    batch: Vec<u8>,
    result: Vec<u8>,
    scratch: Vec<u8>,
}

impl Worker<'_> {
    fn run(&mut self, leased: Leased) -> Result<u64, AllocError> {
        let began = Deadline::now().as_nanos();
        let span = leased.span;
        // Before the batch is read: should it be too much for this process, its first task pays for
        // that, and the others do not kill one worker after another.
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
        for index in 0..span.count {
            if index > 0 {
                self.bench.begin();
            }
            let task = span.first + u64::from(index);
            let kind = self.call(pop_task(&mut tasks));
            self.answer(index + 1, ResultLabel { job: span.job, task, kind })?;
            self.bench.finish();
        }
        self.batch = batch;
        self.bench.done(Deadline::now().as_nanos() - began, u64::from(span.count));
        Ok(u64::from(span.count))
    }

    fn call(&mut self, task: Option<&[u8]>) -> Kind {
        self.result.clear();
        let Some(task) = task else { return Kind::Undecodable };
        let result = &mut self.result;
        match catch_unwind(AssertUnwindSafe(|| (self.recipe.work)(task, result))) {
            Ok(true) => Kind::Value,
            Ok(false) => Kind::Undecodable,
            Err(panic) => {
                self.result.clear();
                self.result.extend_from_slice(message_of(panic.as_ref()).as_bytes());
                Kind::Panicked
            }
        }
    }

    fn answer(&mut self, settles: u32, label: ResultLabel) -> Result<(), AllocError> {
        let family = self.bench.family();
        let sent = Outgoing::new(family, &self.result)
            .and_then(|body| self.bench.publish(settles, &label.pack(), body, &mut self.scratch));
        let Err(error) = sent else { return Ok(()) };
        let label = ResultLabel { kind: Kind::TooLarge, ..label };
        let message = error.to_string();
        let body = Outgoing::Inline(message.as_bytes());
        self.bench.publish(settles, &label.pack(), body, &mut self.scratch)
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "a panic without a message"
    }
}
