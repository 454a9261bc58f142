//! Removing what a program has left behind: the work of a process of its own.
//!
//! The tracker reads lines from a pipe whose writing end all processes of the program have:
//!
//! ```text
//!   REGISTER:name:kind      UNREGISTER:name:kind      PROBE:0:noop
//! ```
//!
//! When all of them have ended, however that happened, what is still registered has been left
//! behind. A process that did not inherit the pipe starts a tracker of its own; since what it made may
//! have been handed on, that one also waits for the end of the program's first process.
//!
//! Of shared memory the tracker remembers what the name stood for. If somebody else has removed it
//! and another program has taken the name since, it is left alone.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use phalanx_os::{named, pidfd, poll};

/// The kind that shared memory is registered as.
pub const SHARED_MEMORY: &str = "shared_memory";

/// What is registered: by kind and name, with what the name stood for if that is known.
#[derive(Debug, Default)]
pub struct Book(BTreeMap<(String, String), Option<named::Identity>>);

/// A line that says nothing.
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
    pub fn note(&mut self, line: &str, knows: impl Fn(&str) -> bool) -> Result<(), BadLine> {
        let bad = || BadLine(line.to_owned());
        let (command, rest) = line.split_once(':').ok_or_else(bad)?;
        // Names may contain colons.
        let (name, kind) = rest.rsplit_once(':').ok_or_else(bad)?;
        let key = || (kind.to_owned(), name.to_owned());
        match command {
            "PROBE" => {}
            "REGISTER" if knows(kind) => {
                let stood_for = (kind == SHARED_MEMORY).then(|| named::identity(name).ok());
                self.0.insert(key(), stood_for.flatten());
            }
            // Who removes what another has made tells its own tracker, which does not know it.
            "UNREGISTER" if knows(kind) => drop(self.0.remove(&key())),
            _ => return Err(bad()),
        }
        Ok(())
    }

    /// What is left that still is what was registered, by kind.
    #[must_use]
    pub fn left_behind(&self) -> BTreeMap<String, Vec<String>> {
        let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((kind, name), stood_for) in &self.0 {
            let is_same = || named::identity(name).is_ok_and(|now| *stood_for == Some(now));
            if kind != SHARED_MEMORY || is_same() {
                left.entry(kind.clone()).or_default().push(name.clone());
            }
        }
        left
    }
}

/// Reads lines until all who could write have ended, and then waits for the end of process `root`.
/// `bad` is told of lines that say nothing.
///
/// # Errors
/// When the kernel refuses to read.
pub fn keep_book(
    lines: impl io::Read,
    root: Option<u32>,
    knows: impl Fn(&str) -> bool,
    mut bad: impl FnMut(&BadLine),
) -> io::Result<Book> {
    let mut book = Book::default();
    // Opened now, while the number is that process's.
    let root = root.and_then(|pid| pidfd::open(pid).ok());
    for line in io::BufReader::new(lines).split(b'\n') {
        let line = line?;
        if let Err(e) = book.note(String::from_utf8_lossy(&line).trim(), &knows) {
            bad(&e);
        }
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
