//! The command line, and what it asks for.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::prelude::*;
use phalanx::jobs::{Halt, Job, Output, Runner};

use crate::template::Template;
use crate::{command, usage};

/// What the command line asks for.
pub(crate) enum Asked {
    Run(Box<Options>),
    Text(String),
}

/// How to run what.
pub(crate) struct Options {
    pub(crate) runner: Runner,
    pub(crate) what: What,
    pub(crate) shape: Shape,
    pub(crate) dry_run: bool,
    pub(crate) quiet: bool,
    pub(crate) progress: bool,
    pub(crate) tag: bool,
}

/// Where the jobs come from.
pub(crate) struct What {
    /// Those that the command line names.
    pub(crate) jobs: Vec<Job>,
    /// A file with more of them, `-` for standard input.
    pub(crate) from: Option<PathBuf>,
    pub(crate) null: bool,
    /// What its lines are values for; if nothing, they are commands.
    pub(crate) template: Option<Template>,
}

/// What all jobs have in common.
#[derive(Default)]
pub(crate) struct Shape {
    pub(crate) python: PathBuf,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// Whether what they write is shown while they run.
    pub(crate) shows_lines: bool,
}

impl Shape {
    pub(crate) fn apply(&self, mut job: Job) -> Job {
        if let Some(directory) = &self.directory {
            job = job.directory(directory);
        }
        // Or a script's lines would come when it ends: it writes to a pipe.
        if self.shows_lines {
            job = job.env("PYTHONUNBUFFERED", "1");
        }
        self.variables.iter().fold(job, |job, (name, value)| job.env(name, value))
    }
}

type Refused = Box<dyn Error>;

/// Reads the command line.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    python: &Path,
) -> Result<Asked, Refused> {
    let mut arguments = arguments.into_iter();
    match arguments.next().as_deref().and_then(OsStr::to_str) {
        Some("run") => parse_run(lexopt::Parser::from_args(arguments), python),
        Some("-h" | "--help" | "help") => Ok(Asked::Text(usage::BRIEF.to_owned())),
        Some("-V" | "--version") => Ok(Asked::Text(version())),
        Some(other) => {
            Err(format!("there is no command '{other}'; `phalanx run` runs commands").into())
        }
        None => Err(usage::BRIEF.trim_end().into()),
    }
}

fn version() -> String {
    format!("phalanx {}\n", env!("CARGO_PKG_VERSION"))
}

fn parse_run(mut parser: lexopt::Parser, python: &Path) -> Result<Asked, Refused> {
    let mut runner = Runner::new();
    let mut shape = Shape { python: python.to_owned(), ..Shape::default() };
    let mut words: Vec<OsString> = Vec::new();
    let mut lines: Vec<OsString> = Vec::new();
    let (mut lists, mut behind) = (Vec::<Vec<OsString>>::new(), None);
    let (mut from, mut log) = (None::<PathBuf>, None::<PathBuf>);
    let (mut null, mut resume, mut dry_run, mut quiet, mut tag) =
        (false, false, false, false, false);
    let mut progress = true;
    loop {
        // From here on nothing is an option; what is a list of values begins with `:::`.
        if behind.is_none()
            && let Some(mut raw) = parser.try_raw_args()
        {
            let next = raw.peek().and_then(OsStr::to_str);
            if next == Some(":::") {
                behind = Some(false);
            } else if next == Some("--") {
                raw.next();
                behind = Some(true);
            }
        }
        if let Some(has_words) = behind {
            let rest: Vec<OsString> = parser.raw_args()?.collect();
            let mut parts = rest.split(|word| word == ":::");
            let first = parts.next().unwrap_or_default();
            if has_words || !first.is_empty() {
                words.extend_from_slice(first);
            }
            lists.extend(parts.map(<[_]>::to_vec));
            break;
        }
        let Some(argument) = parser.next()? else { break };
        match argument {
            Short('j') | Long("jobs") => runner = runner.limit(at_least_one(&parser.value()?)?),
            Short('c') | Long("command") => lines.push(parser.value()?),
            Long("from") => from = Some(parser.value()?.into()),
            Short('0') | Long("null") => null = true,
            Long("python") => shape.python = parser.value()?.into(),
            Long("cwd") => shape.directory = Some(parser.value()?.into()),
            Long("env") => shape.variables.push(variable(&parser.value()?)?),
            Long("timeout") => runner = runner.timeout(duration(&parser.value()?)?),
            Long("kill-after") => runner = runner.grace(duration(&parser.value()?)?),
            Long("retries") => runner = runner.retries(parser.value()?.parse()?),
            Long("halt") => runner = runner.halt(parser.value()?.parse::<Halt>()?),
            Long("joblog") => log = Some(parser.value()?.into()),
            Long("resume") => resume = true,
            Long("dry-run") => dry_run = true,
            Long("output") => {
                let output = output(parser.value()?);
                shape.shows_lines = output == Output::Lines;
                runner = runner.output(output);
            }
            Long("tag") => tag = true,
            Long("progress") => progress = shows_progress(&parser.value()?)?,
            Short('q') | Long("quiet") => quiet = true,
            Short('h') | Long("help") => return Ok(Asked::Text(usage::HELP.to_owned())),
            Short('V') | Long("version") => return Ok(Asked::Text(version())),
            Value(word) if word == "-" => from = Some("-".into()),
            Value(word) => words.push(word),
            other => {
                let hint = "options of a command go behind `--`, or into one word with it";
                return Err(format!("{}; {hint}", other.unexpected()).into());
            }
        }
    }
    match (log, resume) {
        (Some(log), resume) => runner = runner.log(log, resume),
        (None, true) => {
            return Err("--resume needs --joblog FILE, the log of the earlier run".into());
        }
        (None, false) => {}
    }
    let is_template = !lists.is_empty() || (from.is_some() && behind == Some(true));
    let mut jobs: Vec<Job> = lines.iter().map(Job::shell).collect();
    let mut template = None;
    if is_template {
        if words.is_empty() {
            return Err("there is no command before `:::`".into());
        }
        let made = Template::new(words);
        for (number, values) in (1..).zip(combinations(&lists)) {
            jobs.push(made.job(&values, number, &shape.python));
        }
        template = Some(made);
    } else {
        jobs.splice(0..0, words.iter().map(|word| command::line(word, &shape.python)));
    }
    if jobs.is_empty() && from.is_none() && lists.is_empty() {
        return Err(
            "nothing to run: give commands, or --from FILE; `phalanx run --help` tells more".into(),
        );
    }
    let jobs = jobs.into_iter().map(|job| shape.apply(job)).collect();
    let what = What { jobs, from, null, template };
    runner = runner.dry_run(dry_run);
    Ok(Asked::Run(Box::new(Options { runner, what, shape, dry_run, quiet, progress, tag })))
}

/// One value of each list, in all combinations; the last list's change first.
fn combinations(lists: &[Vec<OsString>]) -> Vec<Vec<OsString>> {
    if lists.is_empty() {
        return Vec::new();
    }
    lists.iter().fold(vec![Vec::new()], |all, list| {
        let with = |begun: &Vec<OsString>| {
            let begun = begun.clone();
            list.iter().map(move |value| [&begun[..], std::slice::from_ref(value)].concat())
        };
        all.iter().flat_map(with).collect()
    })
}

fn at_least_one(text: &OsStr) -> Result<usize, Refused> {
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|&n| n > 0);
    number.ok_or_else(|| {
        format!("cannot run '{}' jobs at a time: give a number", text.display()).into()
    })
}

fn duration(text: &OsStr) -> Result<Duration, Refused> {
    let refused =
        || format!("'{}' is no time: give seconds, or 500ms, 90s, 5m, 2h", text.display());
    let word = text.to_str().ok_or_else(refused)?;
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let with_unit = units.iter().find_map(|(unit, size)| Some((word.strip_suffix(unit)?, *size)));
    let (number, size) = with_unit.unwrap_or((word, 1.0));
    let seconds = number.trim().parse::<f64>().map_err(|_| refused())? * size;
    Ok(Duration::try_from_secs_f64(seconds).map_err(|_| refused())?)
}

fn variable(text: &OsStr) -> Result<(OsString, OsString), Refused> {
    let bytes = text.as_bytes();
    let at = bytes.iter().position(|&byte| byte == b'=').filter(|&at| at > 0);
    let at = at.ok_or_else(|| format!("cannot set '{}': give NAME=VALUE", text.display()))?;
    Ok((OsStr::from_bytes(&bytes[..at]).to_owned(), OsStr::from_bytes(&bytes[at + 1..]).to_owned()))
}

fn output(how: OsString) -> Output {
    match how.to_str() {
        Some("group") => Output::Captured,
        Some("line") => Output::Lines,
        Some("none") => Output::Discarded,
        _ => Output::Folder(how.into()),
    }
}

fn shows_progress(when: &OsStr) -> Result<bool, Refused> {
    match when.to_str() {
        Some("auto") => Ok(true),
        Some("never") => Ok(false),
        _ => Err(format!("cannot show progress '{}': give auto or never", when.display()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Box<Options>, String> {
        let words = std::iter::once("run").chain(words.iter().copied()).map(OsString::from);
        match parse(words, Path::new("python3")) {
            Ok(Asked::Run(options)) => Ok(options),
            Ok(Asked::Text(text)) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }

    fn names(words: &[&str]) -> Vec<String> {
        asked(words).unwrap().what.jobs.iter().map(Job::to_string).collect()
    }

    #[test]
    fn commands_come_from_everywhere() {
        assert_eq!(names(&["a.py", "b.py", "c.py", "-j", "3"]), ["a.py", "b.py", "c.py"]);
        assert_eq!(names(&["-c", "ls | wc", "a.py"]), ["a.py", "ls | wc"]);
        assert_eq!(names(&["-j2", "--", "-odd", "x"]), ["-odd", "x"]);
        assert_eq!(names(&["gzip", "-", "x"]), ["gzip", "x"]);
        assert_eq!(names(&["echo", ":::", "a", "b c"]), ["echo a", "echo 'b c'"]);
        assert_eq!(
            names(&["-j2", "--", "gzip", "-k", "{}", ":::", "a", "-b"]),
            ["gzip -k a", "gzip -k -b"]
        );
        let both = ["echo {2}{1}", ":::", "a", "b", ":::", "1", "2"];
        assert_eq!(names(&both), ["echo 1a", "echo 2a", "echo 1b", "echo 2b"]);
        assert!(asked(&["--from", "x", "--", "wc", "-l"]).unwrap().what.template.is_some());
        assert!(asked(&["--from", "x", "wc"]).unwrap().what.template.is_none());
        assert!(names(&["echo", ":::"]).is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (words, hint) in [
            (&["x", "--seed", "3"][..], "behind `--`"),
            (&["--resume", "x"], "--joblog"),
            (&["-j", "0", "x"], "give a number"),
            (&["--timeout", "soon", "x"], "500ms"),
            (&["--timeout", "-1", "x"], "500ms"),
            (&["--env", "=x", "x"], "NAME=VALUE"),
            (&["--halt", "later", "x"], "now,fail=20%"),
            (&[":::", "x"], "no command"),
            (&["-j2"], "nothing to run"),
        ] {
            let error = asked(words).err().unwrap();
            assert!(error.contains(hint), "{words:?}: {error}");
        }
    }

    #[test]
    fn times_have_units() {
        let read = |text: &str| duration(text.as_ref()).unwrap().as_millis();
        assert_eq!(
            [read("1.5"), read("500ms"), read("2m"), read("1h")],
            [1500, 500, 120_000, 3_600_000]
        );
    }
}
