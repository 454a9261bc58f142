//! Several values at a time: encoded one behind another, and put or taken together.

use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::ring::PutError;

use super::RawQueue;
use crate::error::{DecodeError, SendError};
use crate::wire::Codec;
use crate::wire::transfer::{append_frame, decode_message, send};

/// A batch is put when it has so many values, or bytes.
const VALUES: usize = 64;
const BYTES: usize = 16 << 10;
/// Longer frames are put alone.
const LONGEST: usize = 1024;

/// Values on their way to a queue.
pub(super) struct Batch<'a, T, C> {
    raw: &'a RawQueue,
    frames: Vec<u8>,
    /// Where the first frame begins and each of them ends.
    bounds: Vec<usize>,
    values: Vec<T>,
    format: std::marker::PhantomData<C>,
}

impl<'a, T, C: Codec<T>> Batch<'a, T, C> {
    pub(super) fn new(raw: &'a RawQueue) -> Self {
        let format = std::marker::PhantomData;
        Self { raw, frames: Vec::new(), bounds: vec![0], values: Vec::new(), format }
    }

    /// Adds a value, and puts what there is if that is enough.
    #[inline]
    pub(super) fn add(&mut self, value: T) -> Result<(), SendError<Vec<T>>> {
        let begin = self.frames.len();
        match append_frame::<T, C>(&value, &mut self.frames) {
            Ok(true) if self.frames.len() - begin <= LONGEST => {}
            _ => {
                self.frames.truncate(begin);
                return self.put_alone(value);
            }
        }
        self.bounds.push(self.frames.len());
        self.values.push(value);
        if self.values.len() >= VALUES || self.frames.len() >= BYTES { self.put() } else { Ok(()) }
    }

    /// Puts a value that is no case for a batch: it is large, or cannot be encoded.
    #[cold]
    fn put_alone(&mut self, value: T) -> Result<(), SendError<Vec<T>>> {
        if let Err(failed) = self.put() {
            let with = |mut values: Vec<T>| {
                values.push(value);
                values
            };
            return Err(failed.map(with));
        }
        let forever = Patience::forever();
        let put =
            send::<T, C, _>(self.raw.family(), value, |message| self.raw.put(message, &forever));
        put.map_err(|failed| SendError::from(failed).map(|value| vec![value]))
    }

    /// Puts all that there is.
    pub(super) fn put(&mut self) -> Result<(), SendError<Vec<T>>> {
        let mut done = 0;
        while done < self.values.len() {
            match self.raw.put_several(&self.frames, &self.bounds[done..], &Patience::forever()) {
                Ok(count) => done += count,
                Err(PutError::OutOfMemory(e)) => {
                    return Err(SendError::OutOfMemory(self.values.drain(done..).collect(), e));
                }
                // Without a deadline there is no other end of a wait.
                Err(PutError::GaveUp(_)) => {}
            }
        }
        self.frames.clear();
        self.bounds.truncate(1);
        self.values.clear();
        Ok(())
    }
}

/// Takes up to `max` values, waiting for the first.
pub(super) fn take_many<T, C: Codec<T>>(raw: &RawQueue, max: usize) -> Vec<Result<T, DecodeError>> {
    if max == 0 {
        return Vec::new();
    }
    let mut frames = Vec::new();
    let first = loop {
        // Without a deadline there is no other end of a wait.
        if let Ok(first) = raw.take(&mut frames, &Patience::forever()) {
            break first;
        }
    };
    let mut values = vec![decode_message::<T, C>(first, &frames)];
    while values.len() < max {
        frames.clear();
        // Somebody else who is taking gets the rest.
        let more: Result<_, GaveUp> =
            raw.take_several(&mut frames, max - values.len(), &Patience::none());
        let Ok(more) = more else { break };
        if more.is_empty() {
            break;
        }
        let mut begin = 0;
        for (message, end) in more {
            values.push(decode_message::<T, C>(message, &frames[begin..end]));
            begin = end;
        }
    }
    values
}
