//! How many tasks travel together.
//!
//! Sending tasks one by one costs a few hundred nanoseconds each, sending many together costs balance
//! at the end and liveliness in between. Two rules:
//!
//! * A call whose tasks are all known is cut into *guided* batches: each takes a quarter of an even
//!   share of what is left, so that batches are large at first and single tasks at the end.
//! * A stream of tasks is cut by *measured cost*: as many tasks as take [`BATCH_NS`] together, one if a
//!   task takes longer.

/// Work that a batch of a stream should hold, in nanoseconds.
pub const BATCH_NS: u64 = 50_000;
/// The most tasks in a batch of a stream.
const STREAM_MOST: u64 = 256;
/// The most tasks in a guided batch: enough to make its overhead vanish.
const GUIDED_MOST: usize = 16_384;
/// Batches in flight for each worker of a stream.
const AHEAD: usize = 3;
/// Batches of a stream for each worker whose results may lie waiting for an earlier one.
const HELD: usize = 32;

/// Cuts `total` tasks into guided batches for so many workers; yields `(first, count)`.
///
/// ```
/// // Larger batches at first, single tasks in the end: each begins somewhere and has some length.
/// let batches: Vec<(usize, usize)> = phalanx::pool::pacer::guided(100, 2).collect();
/// assert_eq!(batches[0].0, 0);
/// assert_eq!(batches.iter().map(|(_, len)| len).sum::<usize>(), 100);
/// ```
pub fn guided(total: usize, workers: usize) -> impl Iterator<Item = (usize, usize)> {
    guided_up_to(GUIDED_MOST, total, workers)
}

/// The same with at most `most` tasks in a batch.
///
/// ```
/// // No more than ten at a time, for the liveliness of what comes out:
/// let batches: Vec<(usize, usize)> = phalanx::pool::pacer::guided_up_to(10, 100, 2).collect();
/// assert_eq!(batches[..2], [(0, 10), (10, 10)]);
/// assert_eq!(batches.last(), Some(&(99, 1)));
/// ```
pub fn guided_up_to(
    most: usize,
    total: usize,
    workers: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let parts = workers.max(1).saturating_mul(4);
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = total - first;
        if left == 0 {
            return None;
        }
        let count = left.div_ceil(parts).min(most.max(1));
        first += count;
        Some((first - count, count))
    })
}

/// Cuts `total` tasks into batches of `size`; yields `(first, count)`.
///
/// ```
/// let batches: Vec<(usize, usize)> = phalanx::pool::pacer::even(10, 4).collect();
/// assert_eq!(batches, [(0, 4), (4, 4), (8, 2)]);
/// ```
pub fn even(total: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
    let size = size.max(1);
    (0..total).step_by(size).map(move |first| (first, size.min(total - first)))
}

/// The number of tasks in the next batch of a stream, given what all tasks so far took.
///
/// ```
/// use phalanx::pool::pacer::stream_batch;
///
/// assert_eq!(stream_batch(0, 0), 1, "nothing is known yet");
/// assert_eq!(stream_batch(10_000, 10), 50, "tasks of a microsecond");
/// assert_eq!(stream_batch(3_000_000_000, 3), 1, "tasks of a second");
/// ```
#[must_use]
pub fn stream_batch(busy_ns: u64, tasks: u64) -> usize {
    if tasks == 0 {
        return 1;
    }
    let cost = (busy_ns / tasks).max(1);
    (BATCH_NS / cost).clamp(1, STREAM_MOST) as usize
}

/// How many tasks of a stream may be on their way at a time.
///
/// ```
/// // Two workers: three batches of 50 for each, and one that is being made.
/// assert_eq!(phalanx::pool::pacer::stream_window(50, 2), 350);
/// ```
#[must_use]
pub fn stream_window(batch: usize, workers: usize) -> usize {
    workers.max(1).saturating_mul(AHEAD).saturating_mul(batch.max(1)).saturating_add(batch)
}

/// How many tasks of a stream may be sent and not fetched while the next result in order is not there:
/// far more than are on their way, because one long task must not stop the others.
///
/// ```
/// use phalanx::pool::pacer::{stream_held, stream_window};
///
/// assert!(stream_held(50, 2) > stream_window(50, 2));
/// ```
#[must_use]
pub fn stream_held(batch: usize, workers: usize) -> usize {
    workers.max(1).saturating_mul(HELD).saturating_mul(batch.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guided_batches_cover_all_and_shrink() {
        let sizes = [(0, 2), (1, 4), (5, 3), (24, 2), (1_000_000, 2), (100, 64)];
        for ((total, workers), most) in sizes.into_iter().flat_map(|s| [(s, 7), (s, 2048)]) {
            let batches: Vec<_> = guided_up_to(most, total, workers).collect();
            assert!(batches.iter().all(|b| b.1 <= most));
            assert_eq!(batches.iter().map(|b| b.1).sum::<usize>(), total);
            assert!(batches.windows(2).all(|w| w[0].0 + w[0].1 == w[1].0 && w[0].1 >= w[1].1));
            assert!(batches.last().is_none_or(|b| b.1 == 1));
        }
    }

    #[test]
    fn streams_send_costly_tasks_singly() {
        assert_eq!(stream_batch(0, 0), 1);
        assert_eq!(stream_batch(2_000_000, 2), 1);
        assert_eq!(stream_batch(100, 1), 256);
        assert!(stream_window(1, 2) >= 4);
        assert!(stream_held(1, 2) > 2 * stream_window(1, 2));
        assert!(stream_held(20, 2) > 2 * stream_window(20, 2));
        // As the user asked for.
        assert_eq!(stream_window(usize::MAX, 2), usize::MAX);
        assert_eq!(stream_held(usize::MAX, 2), usize::MAX);
    }
}
