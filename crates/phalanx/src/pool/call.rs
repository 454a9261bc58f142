//! A call as its caller holds it.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::callee::Callee;
use super::error::{Panicked, PoolError};
use super::ledger::{Answer, Content, Piece};
use super::serve::{pop_record, push_record};
use super::team::Team;
use crate::wire;
use crate::wire::apart::Lent;

/// A call that is open in the ledger until this is dropped.
#[derive(Debug)]
pub(super) struct OpenJob {
    pub(super) team: Arc<Team>,
    pub(super) id: u64,
    /// When it is dropped its other tasks are not wanted any more.
    pub(super) cancels: bool,
}

impl OpenJob {
    pub(super) fn new(team: &Arc<Team>, callee: Callee, cancels: bool) -> Result<Self, PoolError> {
        Ok(Self { team: Arc::clone(team), id: team.open(callee)?, cancels })
    }
}

impl Drop for OpenJob {
    fn drop(&mut self) {
        if self.cancels {
            self.team.forget(self.id);
        } else {
            self.team.abandon(self.id);
        }
    }
}

/// Encoded tasks that are to be sent together.
pub(super) struct Batch {
    pub(super) body: Vec<u8>,
    /// What the arguments lend to whoever runs them.
    pub(super) lent: Vec<Lent>,
    pub(super) count: u32,
    /// Tasks whose argument cannot be encoded, by their place in the batch.
    failed: Vec<(u32, wire::EncodeError)>,
}

impl Batch {
    /// A task for each argument.
    pub(super) fn of<A: Serialize>(arguments: &[A]) -> Self {
        let (mut body, mut lent, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        wire::apart::lending(&mut lent, || {
            for (at, argument) in arguments.iter().enumerate() {
                if let Err(error) = push_record(&mut body, |out| wire::append(argument, out)) {
                    failed.push((at as u32, error));
                }
            }
        });
        Self { body, lent, count: arguments.len() as u32, failed }
    }

    /// What cannot be sent, each with the answer that its task gets at once.
    pub(super) fn failures(&mut self, first: u64) -> Vec<Piece> {
        let failed = std::mem::take(&mut self.failed).into_iter();
        failed
            .map(|(at, error)| {
                let task = first + u64::from(at);
                Piece::one(task, Answer::Failed(PoolError::Argument { task, error }))
            })
            .collect()
    }

    /// Why the only task cannot be sent.
    pub(super) fn take_failure(&mut self) -> Option<wire::EncodeError> {
        self.failed.pop().map(|(_, error)| error)
    }

    pub(super) fn has_failures(&self) -> bool {
        !self.failed.is_empty()
    }
}

/// Answers that have been fetched, to be decoded one by one.
#[derive(Debug)]
pub(super) struct Arrivals {
    next: u64,
    content: Option<Content>,
    at: usize,
}

impl Arrivals {
    pub(super) fn new(piece: Piece) -> Self {
        Self { next: piece.first, content: Some(piece.content), at: 0 }
    }

    /// The next task and its result.
    #[inline]
    pub(super) fn next<R: DeserializeOwned>(&mut self) -> Option<(u64, Result<R, PoolError>)> {
        let task = self.next;
        let result = match self.content.as_mut()? {
            Content::Values(0, _) => return None,
            Content::Values(left, records) => {
                *left -= 1;
                let mut rest = &records[self.at..];
                let record = pop_record(&mut rest);
                self.at = records.len() - rest.len();
                record.map_or(Err(PoolError::Damaged { task }), |record| decode(record, task))
            }
            Content::One(_) => match self.content.take()? {
                Content::One(answer) => open(answer, task),
                Content::Values(..) => return None,
            },
        };
        self.next += 1;
        Some((task, result))
    }
}

/// The value behind an answer.
fn open<R: DeserializeOwned>(answer: Answer, task: u64) -> Result<R, PoolError> {
    match answer {
        Answer::Failed(error) => Err(error),
        Answer::Value(bytes, None) => decode(&bytes, task),
        Answer::Value(mut bytes, parcel) => {
            let beside = wire::apart::complete(&mut bytes, parcel);
            let beside = beside.map_err(|_| PoolError::Damaged { task })?;
            wire::apart::open(&bytes, beside)
                .map_err(|error| PoolError::Undecodable { task, error })
        }
    }
}

#[inline]
fn decode<R: DeserializeOwned>(bytes: &[u8], task: u64) -> Result<R, PoolError> {
    wire::apart::open(bytes, None).map_err(|error| PoolError::Undecodable { task, error })
}

/// The error of a task that panicked, from what its worker sent.
pub(super) fn panicked(task: u64, function: &'static str, pid: u32, bytes: &[u8]) -> PoolError {
    match wire::decode(bytes) {
        Ok(panic) => PoolError::Panicked(Panicked { task, function, pid, panic: Box::new(panic) }),
        Err(_) => PoolError::Damaged { task },
    }
}
