//! What workers have published, taken in.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use phalanx::message::Arrived;
use phalanx::pool::News;
use pyo3::prelude::*;

use super::answer::Answer;
use super::job::Job;
use super::job_state::Graveyard;
use super::owner::{Owner, locked};
use super::wire::{Kind, ResultLabel};

/// What arrives in one go, and has to be dealt with when no lock is held.
#[derive(Default)]
pub(super) struct Inbox {
    graveyard: Graveyard,
    finished: Vec<Arc<Job>>,
    unreadable: Vec<(u64, u64, u64)>,
    pub(super) refused: Option<(Vec<u8>, Option<Arrived>)>,
}

impl Inbox {
    pub(super) fn take(&mut self, owner: &Owner, news: News<'_>) {
        let Some(label) = ResultLabel::unpack(news.bytes) else { return };
        let body = &news.bytes[ResultLabel::LEN..];
        match label.kind {
            Kind::Ready => {
                locked(&owner.ready)[news.seat] = true;
                owner.early_deaths.store(0, Ordering::Relaxed);
            }
            Kind::Refused => self.refused = Some((body.to_vec(), news.parcel)),
            Kind::Log => owner.records.push(body.to_vec(), news.parcel),
            // Its owner has answered it already.
            Kind::Skipped => {}
            Kind::Unreadable => {
                self.unreadable.push((label.job, label.first, u64::from(label.count)));
            }
            _ => {
                if let Some(job) = owner.job(label.job)
                    && job.answer(label, body, news.parcel, &mut self.graveyard)
                {
                    self.finished.push(job);
                }
            }
        }
    }

    pub(super) fn finish(&mut self, owner: &Owner, py: Python<'_>) {
        self.graveyard.clear();
        owner.records.hand_over(py);
        for job in self.finished.drain(..) {
            owner.close_job(&job);
        }
        for (job, first, count) in std::mem::take(&mut self.unreadable) {
            if let Some(job) = owner.job(job) {
                for task in first..first + count {
                    super::death::send_again(owner, py, &job, task, 1);
                }
            }
        }
        if let Some((frame, parcel)) = self.refused.take() {
            let error = Answer::Error(frame, parcel).decode(py);
            if let Err(error) = error {
                owner.give_up(py, &error);
            }
        }
    }
}
