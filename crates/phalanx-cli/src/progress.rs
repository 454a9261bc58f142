//! How far a run is, in a line, at most ten times a second.

use std::io::IsTerminal;
use std::time::Duration;

use phalanx::jobs::{Ending, Outcome};
use phalanx_os::clock::Deadline;
use phalanx_os::terminal;

/// Where the line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the last line of a terminal with so many columns, over and over.
    Terminal(usize),
    /// Line by line in a file or a pipe: less often.
    Plain,
}

impl Place {
    /// The standard error.
    #[must_use]
    pub fn standard_error() -> Self {
        let error = std::io::stderr();
        // A terminal that does not know its size is taken for one of the usual size.
        let columns = error.is_terminal().then(|| terminal::columns(&error).unwrap_or(80));
        columns.map_or(Self::Plain, Self::Terminal)
    }
}

/// Counts jobs, and says when the line has to be shown anew.
#[derive(Debug)]
pub struct Progress {
    place: Place,
    began: Deadline,
    /// How many jobs there are, if that is known.
    total: Option<usize>,
    running: usize,
    succeeded: usize,
    failed: usize,
    skipped: usize,
    not_run: usize,
    latest: String,
    changed: bool,
    next: Deadline,
}

impl Progress {
    /// Of a run that begins now.
    #[must_use]
    pub fn new(place: Place, total: Option<usize>) -> Self {
        let mut progress = Self {
            place,
            began: Deadline::now(),
            total,
            running: 0,
            succeeded: 0,
            failed: 0,
            skipped: 0,
            not_run: 0,
            latest: String::new(),
            changed: false,
            next: Deadline::now(),
        };
        if place == Place::Plain {
            progress.next = Deadline::after(progress.interval());
        }
        progress
    }

    /// A job has begun.
    pub fn started(&mut self, name: &str) {
        self.running += 1;
        name.clone_into(&mut self.latest);
        self.changed = true;
    }

    /// A job's attempt has ended, and it will be run again.
    pub fn retried(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.changed = true;
    }

    /// A job has ended.
    pub fn ended(&mut self, outcome: &Outcome) {
        match &outcome.ending {
            Ending::Skipped => self.skipped += 1,
            Ending::NotRun => self.not_run += 1,
            ending => {
                // One that could not be started never ran.
                if !matches!(ending, Ending::NotStarted(..)) {
                    self.running = self.running.saturating_sub(1);
                }
                *(if ending.is_success() { &mut self.succeeded } else { &mut self.failed }) += 1;
            }
        }
        self.changed = true;
    }

    /// When the line should be shown next.
    #[must_use]
    pub fn timer(&self) -> Option<Deadline> {
        match self.place {
            _ if self.changed => Some(self.next),
            // The seconds go on.
            Place::Terminal(_) if self.running > 0 => {
                Some(self.next.plus(Duration::from_millis(900)))
            }
            _ => None,
        }
    }

    /// The line, if it is time to show it.
    pub fn due(&mut self) -> Option<String> {
        if !self.timer().is_some_and(Deadline::has_passed) {
            return None;
        }
        self.changed = false;
        self.next = Deadline::after(self.interval());
        Some(self.line())
    }

    fn interval(&self) -> Duration {
        match self.place {
            Place::Terminal(_) => Duration::from_millis(100),
            Place::Plain => Duration::from_secs(1),
        }
    }

    fn line(&self) -> String {
        let done = self.succeeded + self.failed + self.skipped;
        let mut line = match self.total {
            Some(total) => format!("{done}/{total} done"),
            None => format!("{done} done"),
        };
        if self.failed > 0 {
            line += &format!(", {} failed", self.failed);
        }
        line += &format!(", {} running, {}", self.running, seconds(self.elapsed()));
        if let Place::Terminal(columns) = self.place {
            line += &format!(": {}", self.latest);
            return shortened(&line, columns.saturating_sub(1));
        }
        line
    }

    /// What there is to say at the end.
    #[must_use]
    pub fn summary(&self) -> String {
        let all = self.succeeded + self.failed + self.skipped + self.not_run;
        let mut parts = vec![format!("{} succeeded", self.succeeded)];
        let others =
            [(self.failed, "failed"), (self.not_run, "not run"), (self.skipped, "done before")];
        parts.extend(
            others
                .iter()
                .filter(|other| other.0 > 0)
                .map(|(count, what)| format!("{count} {what}")),
        );
        let jobs = if all == 1 { "job" } else { "jobs" };
        format!("{all} {jobs} in {}: {}", seconds(self.elapsed()), parts.join(", "))
    }

    /// Whether all jobs have succeeded, now or in an earlier run.
    #[must_use]
    pub fn is_all_success(&self) -> bool {
        self.failed + self.not_run == 0
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(Deadline::now().as_nanos().saturating_sub(self.began.as_nanos()))
    }
}

/// A length of time as people read it.
fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{}:{:02} min", time.as_secs() / 60, time.as_secs() % 60),
        hours => format!("{}:{:02} h", hours / 3600, hours / 60 % 60),
    }
}

/// The text in one line of so many characters, with nothing in it that moves the cursor.
fn shortened(text: &str, columns: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(columns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_at_most_ten_times_a_second() {
        let mut progress = Progress::new(Place::Terminal(60), Some(3));
        progress.started("sleep\n1");
        let line = progress.due().unwrap();
        assert!(line.starts_with("0/3 done, 1 running, ") && line.ends_with(": sleep 1"), "{line}");
        progress.retried();
        assert_eq!(progress.due(), None);
        assert!(progress.timer().unwrap().remaining() <= Duration::from_millis(100));
        std::thread::sleep(progress.timer().unwrap().remaining());
        assert!(progress.due().unwrap().starts_with("0/3 done, 0 running"));
        assert_eq!(progress.timer(), None);
    }

    #[test]
    fn a_line_fits_its_terminal() {
        let mut progress = Progress::new(Place::Terminal(20), None);
        progress.started("a long command line");
        assert_eq!(progress.due().unwrap().chars().count(), 19);
        assert_eq!(seconds(Duration::from_secs(3725)), "1:02 h");
        assert_eq!(seconds(Duration::from_secs(65)), "1:05 min");
    }
}
