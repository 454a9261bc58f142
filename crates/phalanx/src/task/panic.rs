//! Panics that are caught and told to another process.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use serde::{Deserialize, Serialize};

/// What a panic said, and where: how a panic in another process arrives here.
///
/// ```
/// use phalanx::process::{Process, ProcessError};
///
/// let process = Process::fork(|| -> u64 { panic!("no luck") })?;
/// let Err(ProcessError::Panicked { panic, .. }) = process.join() else { panic!("it panics") };
/// assert_eq!(panic.message(), "no luck");
/// println!("at {:?}\n{}", panic.location(), panic.backtrace().unwrap_or("no backtrace"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panic {
    message: String,
    location: Option<String>,
    backtrace: Option<String>,
}

impl Panic {
    pub(crate) const fn saying(message: String) -> Self {
        Self { message, location: None, backtrace: None }
    }

    /// What it said.
    ///
    /// ```
    /// use phalanx::process::{Process, ProcessError};
    ///
    /// let divided = Process::fork(|| 1 / "".len())?.join();
    /// let Err(ProcessError::Panicked { panic, .. }) = divided else { panic!("it panics") };
    /// assert_eq!(panic.message(), "attempt to divide by zero");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The file, line and column.
    ///
    /// ```
    /// # use phalanx::process::{Process, ProcessError};
    /// let panics = Process::fork(|| -> u64 { panic!("no luck") })?.join();
    /// let Err(ProcessError::Panicked { panic, .. }) = panics else { panic!("it panics") };
    /// let location = panic.location().expect("it is known");
    /// assert_eq!(location.rsplit(':').count(), 3, "file:line:column");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// The calls that led there, innermost first. There are none if the variable `RUST_BACKTRACE` or
    /// `RUST_LIB_BACKTRACE` of that process's environment was `0`.
    ///
    /// ```
    /// # use phalanx::process::{Process, ProcessError};
    /// let process = Process::builder().env("RUST_BACKTRACE", "1");
    /// let panics = process.fork(|| -> u64 { panic!("no luck") })?.join();
    /// let Err(ProcessError::Panicked { panic, .. }) = panics else { panic!("it panics") };
    /// assert!(panic.backtrace().is_some_and(|calls| !calls.is_empty()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn backtrace(&self) -> Option<&str> {
        self.backtrace.as_deref()
    }
}

/// The message and the location; with `{:#}` the backtrace too.
impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(location) = &self.location {
            write!(f, " (at {location})")?;
        }
        match &self.backtrace {
            Some(backtrace) if f.alternate() => write!(f, "\n{backtrace}"),
            _ => Ok(()),
        }
    }
}

thread_local! {
    static RECORDING: Cell<Recording> = const { Cell::new(Recording::Off) };
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// What becomes of a panic of this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recording {
    /// What the program wants.
    Off,
    /// It is told to somebody.
    Told,
    /// It is told to somebody, and besides what the program wants.
    Both,
}

/// Calls `body`; a panic there is returned, with all that is known of it inside of [`recorded`].
#[inline]
pub(crate) fn catch<T>(body: impl FnOnce() -> T) -> Result<T, Box<Panic>> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let last = LAST.take();
        // Nothing is recorded of one that was resumed, or raised before there was a hook.
        Box::new(last.unwrap_or_else(|| Panic::saying(message_of(payload.as_ref()).to_owned())))
    })
}

/// Runs `body` with the panics of this thread recorded for [`catch`]; printed as well if `printed`.
///
/// For processes that run tasks for others: it replaces the panic hook for good, by one that passes
/// all other panics on to the former.
pub(crate) fn recorded<T>(printed: bool, body: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let recording = RECORDING.get();
            if recording != Recording::Off {
                record(info);
            }
            if recording != Recording::Told {
                before(info);
            }
        }));
    });
    let before = RECORDING.replace(if printed { Recording::Both } else { Recording::Told });
    let result = body();
    RECORDING.set(before);
    result
}

fn record(info: &PanicHookInfo<'_>) {
    let wanted = |name| std::env::var_os(name).is_none_or(|value| value != "0");
    let wanted = wanted("RUST_LIB_BACKTRACE") && wanted("RUST_BACKTRACE");
    LAST.set(Some(Panic {
        message: message_of(info.payload()).to_owned(),
        location: info.location().map(ToString::to_string),
        backtrace: wanted.then(|| trim(&Backtrace::force_capture().to_string())),
    }));
}

fn message_of(payload: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a panic without a message"
    }
}

/// Leaves out what led from the panic to us, and from us to the task.
fn trim(backtrace: &str) -> String {
    let frames: Vec<&str> = backtrace.split_inclusive('\n').collect();
    let is = |line: &&str, names: &[&str]| names.iter().any(|name| line.contains(name));
    // The innermost frames end with the panic's own, the outermost begin with ours.
    let first =
        frames.iter().rposition(|line| is(line, &["rust_begin_unwind", "__rustc::rust_begin"]));
    let from = first.map_or(0, |at| at + 1);
    let ours = ["phalanx::task::run::run", "phalanx::task::panic::catch"];
    let until = frames[from..].iter().position(|line| is(line, &ours));
    frames[from..until.map_or(frames.len(), |at| from + at)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        let panic = recorded(false, || catch(|| panic!("no {}", 3))).expect_err("it panics");
        assert_eq!(panic.message(), "no 3");
        assert!(panic.location().is_some_and(|place| place.contains("panic.rs")), "{panic:?}");
        assert!(panic.to_string().starts_with("no 3 (at "));
        let payload = recorded(false, || catch(|| std::panic::panic_any(7)));
        assert_eq!(payload.expect_err("it panics").message(), "a panic without a message");
        let resumed = recorded(false, || catch(|| std::panic::resume_unwind(Box::new("again"))));
        assert_eq!(resumed.expect_err("it panics").message(), "again");
        assert_eq!(recorded(false, || catch(|| 7)).expect("no panic"), 7);
    }

    #[test]
    fn a_backtrace_is_of_the_task_alone() {
        let text = "   0: std::backtrace::capture\n   1: rust_begin_unwind\n   2: mine::inner\n\
                    \u{20}            at src/mine.rs:3:4\n   3: phalanx::task::run::run\n   4: main\n";
        assert_eq!(trim(text), "   2: mine::inner\n             at src/mine.rs:3:4\n");
        assert_eq!(trim("   0: mine\n"), "   0: mine\n");
    }
}
