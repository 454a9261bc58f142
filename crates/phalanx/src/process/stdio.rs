//! Where the standard streams of a new process lead.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;

use phalanx_os::surroundings::Stream;

/// What a standard stream of a new process is connected to.
///
/// ```
/// use std::fs::File;
/// use phalanx::process::{Process, Stdio};
///
/// # let log = std::env::temp_dir().join(format!("phalanx-doc-stdio-{}", std::process::id()));
/// let to_file = Stdio::from(File::create(&log)?);
/// Process::builder().stdout(to_file).fork(|| println!("begun"))?.join()?;
/// assert_eq!(std::fs::read_to_string(&log)?, "begun\n");
/// # std::fs::remove_file(log)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Stdio(pub(super) Kind);

#[derive(Debug, Default)]
pub(super) enum Kind {
    #[default]
    Inherit,
    Null,
    Piped,
    File(OwnedFd),
}

impl Stdio {
    /// The same as the stream of the calling process.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// // What it prints goes where this process prints; so it is if nothing is said.
    /// let process = Process::builder().stdout(Stdio::inherit()).fork(|| println!("hello"))?;
    /// assert!(process.join().is_ok());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub const fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// Nothing: reading gives the end of file, and what is written is gone.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let process = Process::builder().stdout(Stdio::null()).fork(|| println!("to nobody"))?;
    /// assert!(process.join().is_ok());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub const fn null() -> Self {
        Self(Kind::Null)
    }

    /// A pipe, whose other end the [`Process`](super::Process) has.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use phalanx::prelude::*;
    ///
    /// let echo = || std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).ok();
    /// let builder = Process::builder().stdin(Stdio::piped()).stdout(Stdio::piped());
    /// let mut process = builder.fork(echo)?;
    /// process.take_stdin().expect("it is piped").write_all(b"hello")?; // and closed
    /// let mut text = String::new();
    /// process.take_stdout().expect("it is piped").read_to_string(&mut text)?;
    /// assert_eq!(text, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn piped() -> Self {
        Self(Kind::Piped)
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self(Kind::File(fd))
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self(Kind::File(file.into()))
    }
}

/// The calling process's ends of pipes.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) input: Option<PipeWriter>,
    pub(super) output: Option<PipeReader>,
    pub(super) error: Option<PipeReader>,
}

/// What the child's streams are replaced by, and our ends of them.
pub(super) fn open(streams: [Stdio; 3], ends: &mut Ends) -> io::Result<Vec<(Stream, OwnedFd)>> {
    let mut given = Vec::new();
    let [input, output, error] = streams;
    for (stream, stdio) in
        [(Stream::Input, input), (Stream::Output, output), (Stream::Error, error)]
    {
        let fd: OwnedFd = match stdio.0 {
            Kind::Inherit => continue,
            Kind::Null if stream == Stream::Input => File::open("/dev/null")?.into(),
            Kind::Null => File::options().write(true).open("/dev/null")?.into(),
            Kind::File(fd) => fd,
            Kind::Piped => {
                let (reader, writer) = io::pipe()?;
                match stream {
                    Stream::Input => {
                        ends.input = Some(writer);
                        reader.into()
                    }
                    Stream::Output => {
                        ends.output = Some(reader);
                        writer.into()
                    }
                    Stream::Error => {
                        ends.error = Some(reader);
                        writer.into()
                    }
                }
            }
        };
        given.push((stream, fd));
    }
    Ok(given)
}

/// Forks with this thread in possession of the locks of the standard streams, which it then has in the
/// child too: another thread that holds one would never give it up there. What was printed and not
/// written yet is written first, or both would write it.
pub(crate) fn settled<T>(fork: impl FnOnce() -> T) -> T {
    let (mut output, mut error) = (io::stdout().lock(), io::stderr().lock());
    let _ = output.flush();
    let _ = error.flush();
    fork()
}
