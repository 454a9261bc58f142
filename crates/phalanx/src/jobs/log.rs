//! The log of a run, by which a later one knows what has been done.
//!
//! One line a job, written by one system call when the job has ended, in the columns of GNU parallel's job
//! log: `Seq Host Starttime JobRuntime Send Receive Exitval Signal Command`, with tabs between them. So it
//! tells of all jobs that had ended when the runner died, at whatever instruction. In commands a backslash,
//! a tab and a newline are written as `\\`, `\t` and `\n`. A line that was torn counts as not written.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use phalanx_os::temporary;
use phalanx_os::wait::ExitStatus;

use super::{Job, Outcome};

const COLUMNS: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Commands that have succeeded, and how many jobs with each.
    done: HashMap<Vec<u8>, u64>,
}

impl Log {
    /// Opens a log, or makes it. What it says is kept if the run goes on from it, else forgotten.
    pub(super) fn open(path: &Path, resume: bool) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        temporary::lock_alone(&file).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::new(error.kind(), "another run is writing it"),
            _ => error,
        })?;
        let mut text = Vec::new();
        if resume {
            file.read_to_end(&mut text)?;
        } else if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        let mut log = Self { file, done: HashMap::new() };
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            if let Some(command) = succeeded(line) {
                *log.done.entry(command.to_owned()).or_default() += 1;
            }
        }
        match text.last() {
            None => log.file.write_all(COLUMNS.as_bytes())?,
            Some(b'\n') => {}
            Some(_) => log.file.write_all(b"\n")?,
        }
        Ok(log)
    }

    /// Whether the job has succeeded before. Of several equal ones as many have as the log names.
    pub(super) fn take_done(&mut self, job: &Job) -> bool {
        if self.done.is_empty() {
            return false;
        }
        match self.done.get_mut(&escaped(&job.name())) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    /// Adds a job that has ended.
    pub(super) fn write(&mut self, outcome: &Outcome) -> io::Result<()> {
        let started = outcome.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (code, signal) = match outcome.ending.status() {
            Some(ExitStatus::Signal(signal)) => (-1, signal),
            _ => (outcome.ending.code().unwrap_or(-1), 0),
        };
        let (duration, received) = (outcome.duration.as_secs_f64(), outcome.stdout.len());
        let sequence = outcome.sequence;
        let mut line = Vec::new();
        write!(
            line,
            "{sequence}\t:\t{started:.3}\t{duration:9.3}\t0\t{received}\t{code}\t{signal}\t"
        )?;
        line.extend_from_slice(&escaped(&outcome.job.name()));
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

/// The command of a whole line of a job that has succeeded.
fn succeeded(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let fields: Vec<_> = line.splitn(9, |&byte| byte == b'\t').collect();
    let [sequence, .., code, signal, command] =
        fields.try_into().ok().map(|all: [&[u8]; 9]| all)?;
    // Tabs of a command are escaped, so one that is left tells of a torn line and another behind it.
    let whole = !sequence.is_empty()
        && sequence.iter().all(u8::is_ascii_digit)
        && !command.contains(&b'\t');
    (whole && code == b"0" && signal == b"0").then_some(command)
}

fn escaped(command: &OsStr) -> Vec<u8> {
    let mut escaped = Vec::new();
    for &byte in command.as_bytes() {
        match byte {
            b'\\' => escaped.extend_from_slice(br"\\"),
            b'\t' => escaped.extend_from_slice(br"\t"),
            b'\n' => escaped.extend_from_slice(br"\n"),
            _ => escaped.push(byte),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_successes_count() {
        let good = b"1\t:\t17.000\t    0.003\t0\t0\t0\t0\techo\\ta \\\\ \\n";
        let line = [&good[..], b"\n"].concat();
        assert_eq!(succeeded(&line), Some(&b"echo\\ta \\\\ \\n"[..]));
        for end in 0..line.len() {
            assert_eq!(succeeded(&line[..end]), None, "torn after {end} bytes");
        }
        assert_eq!(succeeded(COLUMNS.as_bytes()), None);
        assert_eq!(succeeded(b"1\t:\t1.0\t0.1\t0\t0\t1\t0\tfalse\n"), None);
        assert_eq!(succeeded(b"1\t:\t1.0\t0.1\t0\t0\t0\t9\tfalse\n"), None);
        // A torn line and a whole one behind it, which is lost with it: it is run again.
        assert_eq!(succeeded(b"1\t:\t1.02\t:\t1.0\t0.1\t0\t0\t0\t0\ttrue\n"), None);
    }

    #[test]
    fn commands_with_tabs_and_newlines_are_told_apart() {
        assert_eq!(escaped("a\tb\n\\n".as_ref()), br"a\tb\n\\n");
    }
}
