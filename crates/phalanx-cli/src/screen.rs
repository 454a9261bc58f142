//! What the user sees: output of jobs, notes, and the line that tells how far the run is.
//!
//! A thread of its own writes it, so that a reader who does not read (a pager, a stopped terminal) keeps
//! neither the jobs' time limits nor Ctrl-C waiting. What waits to be written lies where outputs lie: a
//! little in memory, the rest in a file without a name.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use phalanx::jobs::{Captured, Stream};
use phalanx_os::eventfd::Doorbell;

enum Piece {
    Output { stream: Stream, captured: Captured, tag: Option<Vec<u8>> },
    Note(String),
    Status(String),
}

/// Takes what is to be shown, and never waits.
pub(crate) struct Screen {
    pieces: Option<Sender<Piece>>,
    bells: Arc<Bells>,
}

struct Bells {
    /// Nobody reads the standard output any more.
    is_broken: AtomicBool,
    /// Rings once when that is so.
    broken: Doorbell,
    /// Everything has been written.
    finished: Doorbell,
}

impl Screen {
    /// # Errors
    /// When the kernel refuses a thread or a descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        let bells = Arc::new(Bells {
            is_broken: AtomicBool::new(false),
            broken: Doorbell::new()?,
            finished: Doorbell::new()?,
        });
        let (pieces, receiver) = channel();
        let (output, error) = (file_of(io::stdout().as_fd()), file_of(io::stderr().as_fd()));
        let is_terminal = io::stderr().is_terminal();
        let mut writer = Writer { output, error, is_terminal, status: None, mid_line: false };
        let theirs = Arc::clone(&bells);
        std::thread::Builder::new().name("phalanx screen".to_owned()).spawn(move || {
            writer.all(&receiver, &theirs);
            theirs.finished.ring();
        })?;
        Ok(Self { pieces: Some(pieces), bells })
    }

    /// Shows what a job has written, each line behind the tag if there is one.
    pub(crate) fn output(&self, stream: Stream, captured: Captured, tag: Option<Vec<u8>>) {
        if !captured.is_empty() {
            self.send(Piece::Output { stream, captured, tag });
        }
    }

    /// Shows a line of the runner's own.
    pub(crate) fn note(&self, text: &str) {
        self.send(Piece::Note(format!("phalanx: {text}\n")));
    }

    /// Shows how far the run is: on a terminal in place of what it said of that before.
    pub(crate) fn status(&self, line: String) {
        self.send(Piece::Status(line));
    }

    fn send(&self, piece: Piece) {
        if let Some(pieces) = &self.pieces {
            // The thread ends after us.
            let _ = pieces.send(piece);
        }
    }

    /// Readable when [`Screen::is_broken`] has something new to tell.
    pub(crate) fn broken(&self) -> BorrowedFd<'_> {
        self.bells.broken.as_fd()
    }

    /// Whether nobody reads the standard output any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.bells.broken.silence();
        self.bells.is_broken.load(Ordering::Acquire)
    }

    /// Nothing more is to be shown: gives what is readable once everything has been written.
    pub(crate) fn finish(&mut self) -> BorrowedFd<'_> {
        self.pieces = None;
        self.bells.finished.as_fd()
    }
}

/// A standard stream, if it is open.
fn file_of(stream: BorrowedFd<'_>) -> Option<File> {
    stream.try_clone_to_owned().ok().map(File::from)
}

struct Writer {
    output: Option<File>,
    error: Option<File>,
    is_terminal: bool,
    status: Option<String>,
    /// What was written last did not end with a newline.
    mid_line: bool,
}

impl Writer {
    fn all(&mut self, pieces: &Receiver<Piece>, bells: &Bells) {
        while let Ok(piece) = pieces.recv() {
            match piece {
                Piece::Output { stream, captured, tag } => {
                    self.clear();
                    let target =
                        if stream == Stream::Output { &mut self.output } else { &mut self.error };
                    if let Some(file) = target {
                        let mut lines = Lines { file, tag: tag.as_deref(), mid_line: false };
                        let written = captured.write_to(&mut lines);
                        self.mid_line = lines.mid_line;
                        if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                            *target = None;
                            if stream == Stream::Output {
                                bells.is_broken.store(true, Ordering::Release);
                                bells.broken.ring();
                            }
                        }
                    }
                    self.draw();
                }
                Piece::Note(text) => {
                    self.clear();
                    self.tell(&text);
                    self.draw();
                }
                Piece::Status(line) if self.is_terminal => {
                    self.clear();
                    self.status = Some(line);
                    self.draw();
                }
                Piece::Status(line) => self.tell(&format!("phalanx: {line}\n")),
            }
        }
        self.clear();
    }

    fn tell(&mut self, text: &str) {
        if let Some(error) = &mut self.error {
            let newline = if self.is_terminal && self.mid_line { "\n" } else { "" };
            let _ = error.write_all(format!("{newline}{text}").as_bytes());
            self.mid_line = false;
        }
    }

    fn clear(&mut self) {
        if let (Some(_), Some(error)) = (&self.status, &mut self.error) {
            let _ = error.write_all(b"\r\x1b[2K");
        }
    }

    fn draw(&mut self) {
        if let (Some(status), Some(error)) = (&self.status, &mut self.error) {
            let newline = if self.mid_line { "\n" } else { "" };
            let _ = error.write_all(format!("{newline}{status}").as_bytes());
            self.mid_line = false;
        }
    }
}

/// Writes, with a tag before each line.
struct Lines<'a> {
    file: &'a mut File,
    tag: Option<&'a [u8]>,
    mid_line: bool,
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.tag {
            None => self.file.write_all(bytes)?,
            Some(tag) => {
                let mut tagged = Vec::with_capacity(bytes.len() * 2);
                for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                    if !self.mid_line {
                        tagged.extend_from_slice(tag);
                        tagged.push(b'\t');
                    }
                    tagged.extend_from_slice(line);
                    self.mid_line = !line.ends_with(b"\n");
                }
                self.file.write_all(&tagged)?;
            }
        }
        self.mid_line = bytes.last().is_some_and(|&last| last != b'\n');
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
