//! One of the two streams that a job writes: a pipe that is read, and what was read.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use phalanx_os::epoll::Epoll;
use phalanx_os::pipe;

use super::process::{Pending, Shared};
use super::runner::Output;
use super::spool::Spool;
use super::{Captured, RunError, Stream, Watch};

/// How much of a line is waited for, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// What there is of one of the two streams.
#[derive(Debug)]
pub(super) struct Side {
    stream: Stream,
    pub(super) end: Option<OwnedFd>,
    pub(super) captured: Captured,
    /// The beginning of a line, if lines are wanted.
    line: Option<Vec<u8>>,
}

impl Side {
    pub(super) fn new(
        stream: Stream,
        end: Option<OwnedFd>,
        output: &Output,
        spool: &Arc<Spool>,
    ) -> Self {
        let line = matches!(output, Output::Lines).then(Vec::new);
        Self { stream, end, captured: Captured::new(spool), line }
    }

    /// Reads once; returns whether there may be more.
    pub(super) fn read(
        &mut self,
        pending: &Pending,
        shared: &mut Shared,
        watch: &mut dyn Watch,
    ) -> io::Result<bool> {
        let Some(end) = &self.end else { return Ok(false) };
        let count = match &mut self.line {
            None => self.captured.take_from(end, &mut shared.buffer)?,
            Some(line) => {
                let count = pipe::read_now(end, &mut shared.buffer)?;
                line.extend_from_slice(&shared.buffer[..count.unwrap_or(0)]);
                count
            }
        };
        if count == Some(0) {
            self.close(&shared.epoll);
        }
        self.tell(pending, &shared.spool, watch, self.end.is_none());
        Ok(count.is_some_and(|count| count > 0))
    }

    pub(super) fn close(&mut self, epoll: &Epoll) {
        if let Some(end) = self.end.take() {
            // A process that was forked meanwhile may have a copy.
            let _ = epoll.remove(&end);
        }
    }

    /// Tells the watcher the lines that there are; at the end what there is of the last one too.
    pub(super) fn tell(
        &mut self,
        pending: &Pending,
        spool: &Arc<Spool>,
        watch: &mut dyn Watch,
        all: bool,
    ) {
        let Some(line) = &mut self.line else { return };
        let whole = match line.iter().rposition(|&byte| byte == b'\n') {
            _ if all || line.len() > LONGEST_LINE => line.len(),
            last => last.map_or(0, |at| at + 1),
        };
        if whole > 0 {
            let mut lines = Captured::new(spool);
            lines.add(&line[..whole]);
            line.drain(..whole);
            watch.lines(pending.sequence, &pending.job, self.stream, lines);
        }
    }
}

/// Our end and the job's, of both streams. Fails for the run, or for lack of descriptors.
#[expect(clippy::type_complexity, reason = "made and taken apart in one place")]
pub(super) fn ends(
    output: &Output,
    sequence: u64,
    shared: &Shared,
) -> Result<[(Option<OwnedFd>, OwnedFd); 2], Result<RunError, io::Error>> {
    let one = |suffix: &str| match output {
        Output::Captured | Output::Lines => {
            let (read, write) = pipe::pair().map_err(Err)?;
            pipe::set_nonblocking(&read).map_err(Err)?;
            Ok((Some(read), write))
        }
        Output::Discarded => Ok((None, shared.null.try_clone().map_err(Err)?)),
        Output::Folder(folder) => {
            let path = folder.join(format!("{sequence}.{suffix}"));
            let file = File::create(&path).map_err(|error| Ok(RunError::Folder(path, error)))?;
            Ok((None, pipe::beyond_standard(file.into()).map_err(Err)?))
        }
    };
    Ok([one("out")?, one("err")?])
}
