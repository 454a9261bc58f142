//! What to run.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A command to be run: a program with its arguments, or a line for the shell.
///
/// ```
/// use phalanx::jobs::Job;
///
/// let job = Job::new("gzip").arg("--keep").arg("a file").directory("/tmp").env("LANG", "C");
/// assert_eq!(job.to_string(), "gzip --keep 'a file'");
/// assert_eq!(Job::shell("ls | wc -l").to_string(), "ls | wc -l");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a job does nothing before a runner runs it"]
pub struct Job {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    pub(super) changes: Vec<(OsString, Option<OsString>)>,
    pub(super) directory: Option<PathBuf>,
    name: Option<OsString>,
}

impl Job {
    /// A program: a path, or a name that is looked for along `PATH`.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run([Job::new("true"), Job::new("/bin/false")])?;
    /// assert!(outcomes[0].ending.is_success() && !outcomes[1].ending.is_success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            changes: Vec::new(),
            directory: None,
            name: None,
        }
    }

    /// A line that `/bin/sh` runs.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run([Job::shell("printf '%s' one two | wc -c")])?;
    /// assert_eq!(outcomes[0].stdout.to_vec()?.trim_ascii(), b"6");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        let line = line.as_ref();
        Self::new("/bin/sh").arg("-c").arg(line).named(line)
    }

    /// Adds an argument.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run([Job::new("echo").arg("*").arg("a  b")])?;
    /// assert_eq!(outcomes[0].stdout.to_vec()?, b"* a  b\n"); // no shell looks at them
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    ///
    /// ```
    /// use phalanx::jobs::Job;
    ///
    /// let job = Job::new("tar").arg("-cf").args(["all.tar", "one", "two"]);
    /// assert_eq!(job.name(), "tar -cf all.tar one two");
    /// ```
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run([Job::shell("echo $PLACE").env("PLACE", "here")])?;
    /// assert_eq!(outcomes[0].stdout.to_vec()?, b"here\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.changes.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes a variable from its environment.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let jobs = [Job::shell("echo ${HOME-none}").env_remove("HOME")];
    /// assert_eq!(Runner::new().run(jobs)?[0].stdout.to_vec()?, b"none\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.changes.push((name.as_ref().to_owned(), None));
        self
    }

    /// Sets its working directory.
    ///
    /// ```
    /// use phalanx::jobs::{Job, Runner};
    ///
    /// let outcomes = Runner::new().run([Job::new("pwd").directory("/")])?;
    /// assert_eq!(outcomes[0].stdout.to_vec()?, b"/\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// What it is called in logs and messages, in place of its command line.
    ///
    /// ```
    /// use phalanx::jobs::Job;
    ///
    /// let job = Job::new("curl").arg("-H").arg("Authorization: secret").named("fetch");
    /// assert_eq!(job.to_string(), "fetch", "nothing of the secret");
    /// ```
    pub fn named(mut self, name: impl AsRef<OsStr>) -> Self {
        self.name = Some(name.as_ref().to_owned());
        self
    }

    /// Its name, or else its command line with what the shell would need quoted.
    ///
    /// ```
    /// use phalanx::jobs::Job;
    ///
    /// assert_eq!(Job::new("cat").arg("a file").name(), "cat 'a file'");
    /// assert_eq!(Job::shell("cat *").name(), "cat *");
    /// ```
    #[must_use]
    pub fn name(&self) -> OsString {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let mut line = quoted(&self.program);
        for argument in &self.arguments {
            line.push(" ");
            line.push(quoted(argument));
        }
        line
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().to_string_lossy())
    }
}

/// The word as a shell takes it for one word: in quotes if need be.
///
/// ```
/// assert_eq!(phalanx::jobs::quoted("it's".as_ref()), r"'it'\''s'");
/// assert_eq!(phalanx::jobs::quoted("plain.txt".as_ref()), "plain.txt");
/// ```
#[must_use]
pub fn quoted(word: &OsStr) -> OsString {
    let bytes = word.as_bytes();
    let plain =
        |&byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte) || byte >= 0x80;
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return word.to_owned();
    }
    let mut quoted = vec![b'\''];
    for &byte in bytes {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}
