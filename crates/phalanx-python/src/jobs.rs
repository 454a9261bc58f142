//! Commands in parallel: the Python side of `phalanx::jobs` and of the command line.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use phalanx::jobs::{
    Captured, Ending, Feed, Halt, Job, Order, Outcome, Output, RunError, Runner, Watch, from_iter,
};
use phalanx_cli::progress::{Place, Progress};
use phalanx_os::clock::{Deadline, earlier};
use phalanx_os::death;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use crate::error::os_error;

/// How often a signal that came at the wrong instant is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// How a command ended that `run` has run, and what it wrote.
#[pyclass(frozen, module = "phalanx")]
pub(crate) struct JobResult {
    outcome: Outcome,
    text: bool,
}

#[pymethods]
impl JobResult {
    /// The place of the command among those that were given, from 0.
    #[getter]
    fn index(&self) -> u64 {
        self.outcome.sequence - 1
    }

    /// The command line.
    #[getter]
    fn command(&self) -> OsString {
        self.outcome.job.name()
    }

    /// Whether the command has ended with the code 0, in this run or an earlier one.
    #[getter]
    fn ok(&self) -> bool {
        self.outcome.ending.is_success()
    }

    /// How the command ended: "ended", "timed out", "stopped", "not started", "not run" or "skipped".
    #[getter]
    fn status(&self) -> &'static str {
        match &self.outcome.ending {
            Ending::Ended(_) => "ended",
            Ending::TimedOut(_) => "timed out",
            Ending::Stopped(_) => "stopped",
            Ending::NotStarted(..) => "not started",
            Ending::NotRun => "not run",
            Ending::Skipped => "skipped",
        }
    }

    /// The exit code, or the negative number of the signal that ended it; 127 or 126 if it could not be
    /// started, None if it was not run.
    #[getter]
    fn returncode(&self) -> Option<i32> {
        match &self.outcome.ending {
            Ending::NotStarted(_, code) => Some(i32::from(*code)),
            ending => ending.status().map(|status| status.as_exitcode()),
        }
    }

    /// Why it is no success, in words; None if it is one.
    #[getter]
    fn error(&self) -> Option<String> {
        (!self.ok()).then(|| self.outcome.ending.to_string())
    }

    /// How many seconds its last attempt took.
    #[getter]
    fn seconds(&self) -> f64 {
        self.outcome.duration.as_secs_f64()
    }

    /// When its last attempt began, in seconds since the epoch.
    #[getter]
    fn started(&self) -> f64 {
        self.outcome.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    /// How often it was run.
    #[getter]
    fn attempts(&self) -> u32 {
        self.outcome.attempts
    }

    /// What its last attempt wrote to its standard output; large output is read from a file each time.
    #[getter]
    fn stdout<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.read(py, &self.outcome.stdout)
    }

    /// What its last attempt wrote to its standard error.
    #[getter]
    fn stderr<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.read(py, &self.outcome.stderr)
    }

    fn __repr__(&self) -> String {
        let Outcome { job, ending, duration, .. } = &self.outcome;
        format!("<JobResult {:?}: {ending}, {:.3} s>", job.to_string(), duration.as_secs_f64())
    }
}

impl JobResult {
    fn read<'py>(&self, py: Python<'py>, captured: &Captured) -> PyResult<Bound<'py, PyAny>> {
        let bytes = py.detach(|| captured.to_vec()).map_err(os_error)?;
        Ok(match self.text {
            true => PyString::new(py, &String::from_utf8_lossy(&bytes)).into_any(),
            false => PyBytes::new(py, &bytes).into_any(),
        })
    }
}

/// Run commands in parallel and return how each of them ended; see `phalanx.run`.
#[pyfunction]
#[pyo3(signature = (
    commands, environment, python, *, jobs, timeout, kill_after, retries, halt, joblog, resume, output, cwd,
    progress, text
))]
#[expect(
    clippy::too_many_arguments,
    reason = "the options of `phalanx.run`, which gives them by name"
)]
pub(crate) fn run_jobs<'py>(
    py: Python<'py>,
    commands: Vec<Bound<'py, PyAny>>,
    environment: Vec<(OsString, OsString)>,
    python: PathBuf,
    jobs: Option<usize>,
    timeout: Option<f64>,
    kill_after: f64,
    retries: u32,
    halt: &str,
    joblog: Option<PathBuf>,
    resume: bool,
    output: Option<Bound<'py, PyAny>>,
    cwd: Option<PathBuf>,
    progress: Bound<'py, PyAny>,
    text: bool,
) -> PyResult<Bound<'py, PyList>> {
    let refused = |text: String| PyValueError::new_err(text);
    let halt = halt.parse::<Halt>().map_err(|error| refused(error.to_string()))?;
    let mut runner = Runner::new().environment(environment).retries(retries).halt(halt);
    runner = runner.grace(seconds("kill_after", kill_after)?).output(chosen_output(output)?);
    match jobs {
        Some(0) => return Err(refused("cannot run 0 jobs at a time: give at least 1".to_owned())),
        Some(limit) => runner = runner.limit(limit),
        None => {}
    }
    if let Some(timeout) = timeout {
        runner = runner.timeout(seconds("timeout", timeout)?);
    }
    match joblog {
        Some(path) => runner = runner.log(path, resume),
        None if resume => {
            return Err(refused(
                "resume=True needs joblog=, the log of the earlier run".to_owned(),
            ));
        }
        None => {}
    }
    let list: Vec<Job> = commands
        .iter()
        .map(|command| {
            let job = job_of(command, &python)?;
            Ok(if let Some(cwd) = &cwd { job.directory(cwd) } else { job })
        })
        .collect::<PyResult<_>>()?;
    let total = list.len();
    let mut watch = Watched {
        results: Vec::with_capacity(total),
        raised: None,
        stop: None,
        shown: None,
        told: None,
        on_main: death::on_main_thread(),
    };
    if let Ok(shows) = progress.extract::<bool>() {
        watch.shown = shows.then(|| Line::new(total));
    } else if progress.hasattr("update")? {
        watch.told = Some(progress.unbind());
    } else {
        return Err(PyTypeError::new_err(
            "progress is True, False, or has a method update(n), as tqdm has",
        ));
    }
    let done = py.detach(|| {
        let mut feed = from_iter(list);
        debug_assert_eq!(feed.remaining(), Some(total));
        let done = runner.run_watched(&mut feed, &mut watch);
        if let Some(line) = &mut watch.shown {
            line.finish();
        }
        done
    });
    if let Some(error) = watch.raised {
        return Err(error);
    }
    done.map_err(|error| match error {
        RunError::Kernel(error) => os_error(error),
        RunError::Log(path, error) | RunError::Folder(path, error)
            if error.raw_os_error().is_some() =>
        {
            let number = error.raw_os_error();
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default().to_owned();
            pyo3::exceptions::PyOSError::new_err((number, text, path))
        }
        other => PyRuntimeError::new_err(other.to_string()),
    })?;
    watch.results.sort_by_key(|outcome| outcome.sequence);
    let results =
        watch.results.into_iter().map(|outcome| Bound::new(py, JobResult { outcome, text }));
    PyList::new(py, results.collect::<PyResult<Vec<_>>>()?)
}

/// Do what the command `phalanx` does with these arguments, and return its exit code.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<OsString>, python: PathBuf) -> i32 {
    py.detach(|| phalanx_cli::main(arguments, &python))
}

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    let given = if value < 0.0 { None } else { Duration::try_from_secs_f64(value).ok() };
    given.ok_or_else(|| PyValueError::new_err(format!("{name}={value} is no number of seconds")))
}

fn chosen_output(output: Option<Bound<'_, PyAny>>) -> PyResult<Output> {
    Ok(match output {
        None => Output::Discarded,
        Some(output) if output.eq("capture")? => Output::Captured,
        Some(output) => Output::Folder(output.extract()?),
    })
}

/// A text is a command line, a path a program or script, and a sequence of those a command in words.
fn job_of(command: &Bound<'_, PyAny>, python: &Path) -> PyResult<Job> {
    if let Ok(text) = command.cast::<PyString>() {
        return Ok(phalanx_cli::command::line(&text.extract::<OsString>()?, python));
    }
    if let Ok(bytes) = command.cast::<PyBytes>() {
        return Ok(phalanx_cli::command::line(OsStr::from_bytes(bytes.as_bytes()), python));
    }
    if let Ok(path) = command.extract::<PathBuf>() {
        return Ok(phalanx_cli::command::words(&[path.into_os_string()], python));
    }
    let word = |word: Bound<'_, PyAny>| -> PyResult<OsString> {
        match word.cast::<PyBytes>() {
            Ok(bytes) => Ok(OsString::from_vec(bytes.as_bytes().to_vec())),
            Err(_) => Ok(word.extract::<PathBuf>()?.into_os_string()),
        }
    };
    let words = command
        .try_iter()
        .and_then(|words| words.map(|one| word(one?)).collect::<PyResult<Vec<_>>>());
    match words {
        Ok(words) if !words.is_empty() => Ok(phalanx_cli::command::words(&words, python)),
        _ => Err(PyTypeError::new_err(format!(
            "a command is a line of text, a path, or a sequence of words, not {}",
            command.repr()?
        ))),
    }
}

/// Collects the outcomes, and listens for Python's signals.
struct Watched {
    results: Vec<Outcome>,
    /// What a signal handler or the progress bar has raised.
    raised: Option<PyErr>,
    /// What that means for the run, until it has been told.
    stop: Option<Order>,
    shown: Option<Line>,
    told: Option<Py<PyAny>>,
    on_main: bool,
}

impl Watched {
    fn stop_for(&mut self, error: PyErr) {
        self.stop = Some(if self.raised.is_some() { Order::Kill } else { Order::Now });
        self.raised.get_or_insert(error);
    }
}

impl Watch for Watched {
    fn started(&mut self, _: u64, job: &Job, _: u32) {
        if let Some(line) = &mut self.shown {
            line.progress.started(&job.to_string());
            line.show();
        }
    }

    fn retried(&mut self, _: &Outcome) {
        if let Some(line) = &mut self.shown {
            line.progress.retried();
        }
    }

    fn ended(&mut self, outcome: Outcome) {
        if let Some(line) = &mut self.shown {
            line.progress.ended(&outcome);
            line.show();
        }
        self.results.push(outcome);
        if let Some(bar) = &self.told
            && let Err(error) = Python::attach(|py| bar.call_method1(py, "update", (1,)).map(drop))
        {
            self.told = None;
            self.stop_for(error);
        }
    }

    fn timer(&self) -> Option<Deadline> {
        let stop = self.stop.map(|_| Deadline::now());
        let signals = self.on_main.then(|| Deadline::after(LOOK));
        earlier(earlier(stop, signals), self.shown.as_ref().and_then(|line| line.progress.timer()))
    }

    fn look(&mut self) -> Order {
        if let Some(line) = &mut self.shown {
            line.show();
        }
        if let Err(error) = Python::attach(|py| py.check_signals()) {
            self.stop_for(error);
        }
        self.stop.take().unwrap_or(Order::GoOn)
    }
}

/// The line that tells how far a run is, on the standard error.
struct Line {
    progress: Progress,
    place: Place,
}

impl Line {
    fn new(total: usize) -> Self {
        let place = Place::standard_error();
        Self { progress: Progress::new(place, Some(total)), place }
    }

    fn show(&mut self) {
        if let Some(line) = self.progress.due() {
            self.write(&line, false);
        }
    }

    fn finish(&mut self) {
        self.write(&self.progress.summary(), true);
    }

    fn write(&self, line: &str, last: bool) {
        let text = match (self.place, last) {
            (Place::Terminal(_), false) => format!("\r\x1b[2K{line}"),
            (Place::Terminal(_), true) => format!("\r\x1b[2K{line}\n"),
            (Place::Plain, _) => format!("{line}\n"),
        };
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}
