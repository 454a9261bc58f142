//! The jobs of a run: those of the command line, then those of a file, as its lines come.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::vec;

use phalanx::jobs::{Feed, Job, Next};
use phalanx_os::clock::Deadline;
use phalanx_os::poll::{self, Readiness};

use crate::command;
use crate::options::{Shape, What};
use crate::template::Template;

/// Files up to this size, in bytes, are read as a whole, so that the number of jobs is known.
const SMALL: u64 = 16 << 20;

pub(crate) struct Jobs<'a> {
    named: vec::IntoIter<Job>,
    lines: Option<Lines>,
    template: Option<Template>,
    shape: &'a Shape,
    /// How many jobs were made of lines.
    made: usize,
    null: bool,
}

impl<'a> Jobs<'a> {
    /// # Errors
    /// When the file cannot be opened or read.
    pub(crate) fn new(what: &What, shape: &'a Shape) -> Result<Self, Box<dyn std::error::Error>> {
        let lines = match &what.from {
            Some(path) => Some(Lines::open(path, what.null).map_err(|error| {
                format!("cannot read commands from {}: {error}", path.display())
            })?),
            None => None,
        };
        let named = what.jobs.clone().into_iter();
        Ok(Self { made: 0, named, lines, template: what.template.clone(), shape, null: what.null })
    }

    fn job(&mut self, line: &OsStr) -> Job {
        self.made += 1;
        let python = &self.shape.python;
        let job = match &self.template {
            Some(template) => template.job(&[line.to_owned()], self.made, python),
            None => command::line(line, python),
        };
        self.shape.apply(job)
    }
}

/// Whether a line is one that counts.
fn counts(line: &[u8], null: bool) -> bool {
    null || !matches!(line.trim_ascii_start(), [] | [b'#', ..])
}

impl Feed for Jobs<'_> {
    fn next(&mut self) -> io::Result<Next> {
        if let Some(job) = self.named.next() {
            return Ok(Next::Job(job));
        }
        loop {
            let Some(lines) = &mut self.lines else { return Ok(Next::End) };
            match lines.next()? {
                Line::Whole(line) if counts(line.as_bytes(), self.null) => {
                    lines.left = lines.left.map(|left| left.saturating_sub(1));
                    return Ok(Next::Job(self.job(&line)));
                }
                Line::Whole(_) => {}
                Line::Later => return Ok(Next::Later),
                Line::End => self.lines = None,
            }
        }
    }

    fn remaining(&self) -> Option<usize> {
        let left = match &self.lines {
            None => 0,
            Some(lines) => lines.left?,
        };
        Some(self.named.len() + left)
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        self.lines.as_ref().map(|lines| lines.file.as_fd())
    }
}

enum Line {
    Whole(OsString),
    Later,
    End,
}

/// The lines of a file, read when there is something to read.
struct Lines {
    file: File,
    separator: u8,
    read: Vec<u8>,
    /// What of `read` was given away, and up to where there is no separator.
    taken: usize,
    searched: usize,
    ended: bool,
    /// How many lines that count are left, once all have been read.
    left: Option<usize>,
}

impl Lines {
    fn open(path: &Path, null: bool) -> io::Result<Self> {
        let file = match path.as_os_str() == "-" {
            true => File::from(io::stdin().as_fd().try_clone_to_owned()?),
            false => File::open(path)?,
        };
        let separator = if null { 0 } else { b'\n' };
        let mut lines = Self {
            file,
            separator,
            read: Vec::new(),
            taken: 0,
            searched: 0,
            ended: false,
            left: None,
        };
        let is = lines.file.metadata()?;
        if is.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if is.is_file() && is.len() <= SMALL {
            lines.file.read_to_end(&mut lines.read)?;
            lines.end();
        }
        Ok(lines)
    }

    fn next(&mut self) -> io::Result<Line> {
        loop {
            let found = self.read[self.searched..].iter().position(|&byte| byte == self.separator);
            if let Some(at) = found {
                let end = self.searched + at;
                let line = OsStr::from_bytes(&self.read[self.taken..end]).to_owned();
                (self.taken, self.searched) = (end + 1, end + 1);
                return Ok(Line::Whole(line));
            }
            self.searched = self.read.len();
            if self.ended {
                if self.taken == self.read.len() {
                    return Ok(Line::End);
                }
                let line = OsStr::from_bytes(&self.read[self.taken..]).to_owned();
                self.taken = self.read.len();
                return Ok(Line::Whole(line));
            }
            if poll::readable(self.file.as_fd(), Some(Deadline::from_nanos(0)))? != Readiness::Ready
            {
                return Ok(Line::Later);
            }
            self.read.drain(..self.taken);
            self.searched -= self.taken;
            self.taken = 0;
            let mut piece = [0; 16 << 10];
            match self.file.read(&mut piece) {
                Ok(0) => self.end(),
                Ok(count) => self.read.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// All has been read.
    fn end(&mut self) {
        let rest = &self.read[self.taken..];
        let rest = rest.strip_suffix(&[self.separator]).unwrap_or(rest);
        let null = self.separator == 0;
        let lines = rest.split(|&byte| byte == self.separator);
        let is_empty = self.taken == self.read.len();
        self.left =
            Some(if is_empty { 0 } else { lines.filter(|line| counts(line, null)).count() });
        self.ended = true;
    }
}
