//! Removing what a program has left behind: the work of a process of its own.
//!
//! The tracker reads lines from a pipe whose writing end all processes of the program have:
//!
//! ```text
//!   REGISTER:name:kind      UNREGISTER:name:kind      PROBE:0:noop
//! ```
//!
//! In `REGISTER-HEX:` and `UNREGISTER-HEX:` the name is in hexadecimal digits, two a byte: one with ends of
//! lines in it has no other form.
//!
//! When all of them have ended, however that happened, what is still registered has been left
//! behind. A process that did not inherit the pipe starts a tracker of its own; since what it made may
//! have been handed on, that one also waits for the end of the program's first process.
//!
//! Of shared memory the tracker remembers what the name stood for. If somebody else has removed it
//! and another program has taken the name since, it is left alone.
//!
//! ```
//! use phalanx::named::tracker::Book;
//!
//! let mut book = Book::default();
//! book.note("REGISTER:/semaphore-1:semaphore", |kind| kind == "semaphore")?;
//! for (kind, names) in book.left_behind() {
//!     println!("{kind}: {names:?} are left behind");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use phalanx_os::{named, pidfd, poll};

/// The kind that shared memory is registered as.
pub const SHARED_MEMORY: &str = "shared_memory";

/// How long lines may lie in the pipe before they are read. Who writes need not wake anybody in that
/// time, and what is registered and taken back within it is not looked at.
const LIE: Duration = Duration::from_millis(2);

/// What is registered: by kind and name.
///
/// ```
/// use phalanx::named::tracker::Book;
///
/// let mut book = Book::default();
/// book.note("REGISTER:/semaphore-1:semaphore", |_| true)?;
/// book.note("REGISTER:/semaphore-2:semaphore", |_| true)?;
/// book.note("UNREGISTER:/semaphore-1:semaphore", |_| true)?;
/// assert_eq!(book.left_behind()["semaphore"], ["/semaphore-2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Book(BTreeMap<(String, String), StoodFor>);

/// What a name stood for when it was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoodFor {
    NotAsked,
    Nothing,
    This(named::Identity),
}

impl StoodFor {
    fn ask(name: &str) -> Self {
        named::identity(name).map_or(Self::Nothing, Self::This)
    }
}

/// A line that says nothing.
///
/// ```
/// let mut book = phalanx::named::tracker::Book::default();
/// assert!(book.note("no such thing", |_| true).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine(String);

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unrecognized command {:?}: expected COMMAND:NAME:KIND", self.0)
    }
}

impl std::error::Error for BadLine {}

impl Book {
    /// Does what a line says. `knows` tells which kinds can be removed.
    ///
    /// # Errors
    /// [`BadLine`].
    ///
    /// ```
    /// let mut book = phalanx::named::tracker::Book::default();
    /// let knows = |kind: &str| kind == "semaphore";
    /// book.note("REGISTER:/mine:semaphore", knows)?;
    /// assert!(book.note("REGISTER:/mine:carpet", knows).is_err());
    /// assert_eq!(book.left_behind().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn note(&mut self, line: &str, knows: impl Fn(&str) -> bool) -> Result<(), BadLine> {
        let bad = || BadLine(line.to_owned());
        let (command, rest) = line.split_once(':').ok_or_else(bad)?;
        // Names may contain colons.
        let (name, kind) = rest.rsplit_once(':').ok_or_else(bad)?;
        let (command, name) = match command.strip_suffix("-HEX") {
            Some(command) => (command, unhex(name).ok_or_else(bad)?),
            None => (command, name.to_owned()),
        };
        let key = || (kind.to_owned(), name);
        match command {
            "PROBE" => {}
            "REGISTER" if knows(kind) => drop(self.0.insert(key(), StoodFor::NotAsked)),
            // Who removes what another has made tells its own tracker, which does not know it.
            "UNREGISTER" if knows(kind) => drop(self.0.remove(&key())),
            _ => return Err(bad()),
        }
        Ok(())
    }

    /// Finds out what the names stand for that are new.
    ///
    /// ```
    /// use phalanx::named::tracker::{Book, SHARED_MEMORY};
    /// use phalanx::named::{Segment, remove};
    ///
    /// let segment = Segment::create(None, 100)?;
    /// let mut book = Book::default();
    /// book.note(&format!("REGISTER:{}:{SHARED_MEMORY}", segment.name()), |_| true)?;
    /// book.look(); // remembers what the name stands for
    /// remove(segment.name())?;
    /// assert!(book.left_behind().is_empty(), "somebody has removed it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn look(&mut self) {
        for ((kind, name), stood_for) in &mut self.0 {
            if kind == SHARED_MEMORY && *stood_for == StoodFor::NotAsked {
                *stood_for = StoodFor::ask(name);
            }
        }
    }

    /// What is left that still is what was registered, by kind.
    ///
    /// ```
    /// let mut book = phalanx::named::tracker::Book::default();
    /// book.note("REGISTER:/one:semaphore", |_| true)?;
    /// book.note("REGISTER:/two:semaphore", |_| true)?;
    /// assert_eq!(book.left_behind()["semaphore"], ["/one", "/two"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn left_behind(&self) -> BTreeMap<String, Vec<String>> {
        let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((kind, name), stood_for) in &self.0 {
            let now = || StoodFor::ask(name);
            let is_same = || matches!(stood_for, StoodFor::This(_)) && now() == *stood_for;
            if kind != SHARED_MEMORY || is_same() {
                left.entry(kind.clone()).or_default().push(name.clone());
            }
        }
        left
    }
}

/// The text that is given in hexadecimal digits, two a byte.
fn unhex(digits: &str) -> Option<String> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let bytes = pairs.iter().map(|[high, low]| Some((value(*high)? * 16 + value(*low)?) as u8));
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

/// Reads lines until all who could write have ended, and then waits for the end of process `root`.
/// `bad` is told of lines that say nothing.
///
/// # Errors
/// When the kernel refuses to read.
///
/// ```
/// use phalanx::named::tracker::keep_book;
///
/// // In a program of its own the lines come from a pipe that all others can write to.
/// let lines: &[u8] = b"REGISTER:/semaphore-1:semaphore\n";
/// let book = keep_book(lines, None, |_| true, |bad| eprintln!("{bad}"))?;
/// assert_eq!(book.left_behind()["semaphore"], ["/semaphore-1"]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn keep_book(
    mut lines: impl io::Read,
    root: Option<u32>,
    knows: impl Fn(&str) -> bool,
    mut bad: impl FnMut(&BadLine),
) -> io::Result<Book> {
    let mut book = Book::default();
    // Opened now, while the number is that process's.
    let root = root.and_then(|pid| pidfd::open(pid).ok());
    let mut rest = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = match lines.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        rest.extend_from_slice(&buffer[..len]);
        let whole = rest.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        for line in String::from_utf8_lossy(&rest[..whole]).lines() {
            if let Err(e) = book.note(line.trim(), &knows) {
                bad(&e);
            }
        }
        rest.drain(..whole);
        book.look();
        std::thread::sleep(LIE);
    }
    if let Some(root) = root {
        use std::os::fd::AsFd;
        while poll::readable(root.as_fd(), None)? == poll::Readiness::Interrupted {}
    }
    Ok(book)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::{Segment, remove};

    fn all(_: &str) -> bool {
        true
    }

    #[test]
    fn what_is_not_taken_back_is_left_behind() {
        let lines = "REGISTER:a:x\nREGISTER:b:c:x\nPROBE:0:noop\nREGISTER:d:y\nUNREGISTER:a:x\n";
        let book = keep_book(lines.as_bytes(), None, all, |e| panic!("{e}")).expect("it is read");
        let left: Vec<_> = book.left_behind().into_iter().collect();
        let expected =
            [("x".to_owned(), vec!["b:c".to_owned()]), ("y".to_owned(), vec!["d".to_owned()])];
        assert_eq!(left, expected);
    }

    #[test]
    fn a_name_may_be_in_digits() {
        let lines =
            "REGISTER-HEX:610A62:x\nREGISTER-HEX:c3bc:x\nREGISTER:c:x\nUNREGISTER-HEX:63:x\n";
        let book = keep_book(lines.as_bytes(), None, all, |e| panic!("{e}")).expect("it is read");
        assert_eq!(book.left_behind()["x"], ["a\nb", "ü"]);
        let mut book = Book::default();
        for line in
            ["REGISTER-HEX:6:x", "REGISTER-HEX:+1:x", "REGISTER-HEX:ff:x", "REGISTER-HEX:é:x"]
        {
            assert_eq!(book.note(line, all), Err(BadLine(line.to_owned())));
        }
    }

    #[test]
    fn lines_that_say_nothing_are_told() {
        let mut told = Vec::new();
        let lines = "nothing\nSHOUT:a:x\nREGISTER:a\nREGISTER:a:unknown\nUNREGISTER:never:x\n";
        let knows = |kind: &str| kind == "x";
        keep_book(lines.as_bytes(), None, knows, |e| told.push(e.0.clone())).expect("it is read");
        assert_eq!(told, ["nothing", "SHOUT:a:x", "REGISTER:a", "REGISTER:a:unknown"]);
    }

    #[test]
    fn a_name_that_another_program_has_taken_is_left_alone() -> io::Result<()> {
        let name = format!("/phalanx-tracked-{}", std::process::id());
        let line = format!("REGISTER:{name}:{SHARED_MEMORY}");
        let mut book = Book::default();
        let first = Segment::create(Some(&name), 1)?;
        book.note(&line, all).expect("it says something");
        book.look();
        assert_eq!(book.left_behind()[SHARED_MEMORY], std::slice::from_ref(&name));
        remove(&name)?;
        assert!(book.left_behind().is_empty());
        let second = Segment::create(Some(&name), 1)?;
        assert!(book.left_behind().is_empty());
        remove(&name)?;
        drop((first, second));
        Ok(())
    }
}
