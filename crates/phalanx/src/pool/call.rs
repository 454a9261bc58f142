//! A call as its caller holds it, whatever its types.

use std::sync::Arc;

use super::error::PoolError;
use super::ledger::Answer;
use super::payload::Payload;
use super::team::Team;

/// A call that is open in the ledger until this is dropped.
#[derive(Debug)]
pub(super) struct OpenJob {
    pub(super) team: Arc<Team>,
    pub(super) id: u64,
}

impl OpenJob {
    pub(super) fn new(team: &Arc<Team>) -> Result<Self, PoolError> {
        Ok(Self { team: Arc::clone(team), id: team.open()? })
    }
}

impl Drop for OpenJob {
    fn drop(&mut self) {
        self.team.abandon(self.id);
    }
}

/// The value behind an answer.
pub(super) fn open_answer<R: Payload>(answer: Answer, task: u64) -> Result<R, PoolError> {
    let bytes = match answer {
        Answer::Failed(error) => return Err(error),
        Answer::Value(bytes, None) => bytes,
        Answer::Value(mut bytes, Some(parcel)) => {
            bytes.clear();
            parcel.read_frame(&mut bytes).map_err(|_| PoolError::Undecodable { task })?;
            bytes
        }
    };
    let mut rest = &bytes[..];
    R::decode(&mut rest).filter(|_| rest.is_empty()).ok_or(PoolError::Undecodable { task })
}
