//! Whether anybody still wants the result of the task that is running.

use std::cell::RefCell;
use std::rc::Rc;

/// Asks whether the running task was cancelled.
#[doc(hidden)]
pub type Flag = Rc<dyn Fn() -> bool>;

thread_local! {
    static FLAG: RefCell<Option<Flag>> = const { RefCell::new(None) };
}

/// Runs `body` with an answer for [`cancelled`].
#[doc(hidden)]
pub fn watching<T>(flag: Flag, body: impl FnOnce() -> T) -> T {
    struct Restore(Option<Flag>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FLAG.set(self.0.take());
        }
    }
    let _restore = Restore(FLAG.replace(Some(flag)));
    body()
}

/// Whether the result of the task that this thread is running is not wanted any more: it was
/// [cancelled](crate::pool::Task::cancel), the others have answered the question that it is a part of
/// ([`Pool::any`](crate::pool::Pool::any) and the like), or its pool is about to end.
///
/// For tasks that take long and can stop early: whatever they return then, nobody looks at it. It costs
/// nanoseconds. Outside of a task of a pool it is false.
///
/// ```
/// #[phalanx::task]
/// fn search(from: u64) -> Option<u64> {
///     (from..from + 1_000_000_000)
///         .take_while(|_| !phalanx::cancelled())
///         .find(|n| n % 1_000_003 == 7)
/// }
///
/// assert_eq!(search(0), Some(7));
/// ```
#[must_use]
#[inline]
pub fn cancelled() -> bool {
    FLAG.with_borrow(|flag| flag.as_ref().is_some_and(|ask| ask()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_there_while_a_task_runs() {
        assert!(!cancelled());
        let inner = || watching(Rc::new(|| false), cancelled);
        assert_eq!(watching(Rc::new(|| true), || (inner(), cancelled())), (false, true));
        assert!(!cancelled());
    }
}
