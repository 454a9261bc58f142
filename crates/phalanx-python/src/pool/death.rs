//! What happens when a worker ends, and when all have to.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use phalanx::pool::{Ended, Span};
use phalanx_shm::sync::Deadline;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::answer::{Answer, Piece};
use super::job::Job;
use super::owner::{Owner, locked};
use super::raised::Raised;
use crate::once::intern;
use crate::undisturbed::undisturbed;

/// So many workers more than there are seats that die one after another without ever getting ready
/// mean that none will.
const EARLY_DEATHS: usize = 3;
/// Between asking workers to end and killing them.
const GRACE: Duration = Duration::from_secs(1);

/// Takes in what ended workers leave, and fills their seats.
pub(super) fn bury_the_dead(owner: &Owner, py: Python<'_>) -> PyResult<()> {
    if owner.terminated.load(Ordering::Relaxed) {
        return Ok(());
    }
    reap_leavers(owner, py)?;
    for seat in 0..owner.seats {
        let Some(process) = locked(&owner.processes)[seat].as_ref().map(|p| p.clone_ref(py)) else {
            let is_vacant = locked(&owner.vacant)[seat];
            if is_vacant && !needs_nobody(owner) {
                refill(owner, py, seat)?;
            }
            continue;
        };
        let left = owner.crew.is_leaving(seat);
        let code = if left { Some(0) } else { exit_code(py, &process)? };
        let Some(code) = code else { continue };
        // Somebody else may have seen it at the same time.
        let Some(process) = locked(&owner.processes)[seat].take() else { continue };
        let mut raised = Raised::default();
        if left {
            // It has said everything that it had to say, and ends while others work on.
            owner.bury(py, seat);
            owner.staff.has_left();
            locked(&owner.leavers).push(process);
        } else {
            // What is raised from here on comes later: the task that is lost must not be forgotten.
            raised.note(process.call_method0(py, intern!(py, "join")).map(drop));
            let pid = process.getattr(py, intern!(py, "pid"));
            let pid: Option<u32> = raised.note(pid.and_then(|pid| pid.extract(py)));
            let death =
                Death { seat, pid: pid.unwrap_or(0), code, memory: Memory::of(py, &process) };
            let was_ready = locked(&owner.ready)[seat];
            let is_expected = owner.manners.take_condemned(seat);
            let (ended, _) = owner.bury(py, seat);
            if !is_expected && owner.manners.breaks(asked_of_the_running(owner, &ended)) {
                owner.give_up(py, &death.of_the_pool(owner, py));
                send_away(owner, py, &mut raised);
                return raised.into_result();
            }
            settle(owner, py, &ended, &death, &mut raised);
            if !was_ready && !locked(&owner.ready)[seat] && !needs_nobody(owner) {
                let early = owner.early_deaths.fetch_add(1, Ordering::Relaxed) + 1;
                let is_without_workers = !locked(&owner.ready).iter().any(|ready| *ready);
                if code > 0 || (is_without_workers && early >= EARLY_DEATHS + owner.seats) {
                    owner.give_up(py, &death.of_a_beginner(owner, py));
                    return raised.into_result();
                }
            }
        }
        if needs_nobody(owner) || !owner.staff.replaces(!locked(&owner.jobs).is_empty()) {
            owner.staff.free(seat);
        } else if raised.is_nothing() {
            refill(owner, py, seat)?;
        } else {
            // It is filled at the next look.
            locked(&owner.vacant)[seat] = true;
        }
        raised.into_result()?;
    }
    Ok(())
}

/// Whether a worker's death is to end everything, as far as the call says that was running.
fn asked_of_the_running(owner: &Owner, ended: &Ended) -> Option<bool> {
    let job = owner.job(ended.lost?.job)?;
    job.work.as_ref().and_then(|work| work.terms.breaks)
}

/// Asks the workers to end of a pool that cannot go on. (Those of an executor are ended by its thread.)
fn send_away(owner: &Owner, py: Python<'_>, raised: &mut Raised) {
    if owner.manners.is_executor() {
        return;
    }
    let processes: Vec<_> =
        locked(&owner.processes).iter().flatten().map(|process| process.clone_ref(py)).collect();
    for process in processes {
        raised.note(process.call_method0(py, intern!(py, "terminate")).map(drop));
    }
}

/// Puts a new worker on a seat. If none can be started just now, the others do its work, and it is
/// tried again at the next look; without others the pool cannot go on.
fn refill(owner: &Owner, py: Python<'_>, seat: usize) -> PyResult<()> {
    let hired = owner.hire(py, seat);
    locked(&owner.vacant)[seat] = hired.is_err();
    let Err(error) = hired else { return Ok(()) };
    if !error.is_instance_of::<PyException>(py) {
        // Ctrl-C, for one, while it was being started.
        return Err(error);
    }
    if locked(&owner.processes).iter().all(Option::is_none) {
        owner.give_up(py, &error);
    }
    Ok(())
}

fn exit_code(py: Python<'_>, process: &Py<PyAny>) -> PyResult<Option<i32>> {
    process.getattr(py, intern!(py, "exitcode"))?.extract(py)
}

/// Reaps workers that left, as far as they have ended.
fn reap_leavers(owner: &Owner, py: Python<'_>) -> PyResult<()> {
    let leavers = std::mem::take(&mut *locked(&owner.leavers));
    let mut raised = Raised::default();
    for process in leavers {
        if raised.note(exit_code(py, &process)).is_some() {
            raised.note(process.call_method0(py, intern!(py, "join")).map(drop));
        } else {
            locked(&owner.leavers).push(process);
        }
    }
    raised.into_result()
}

/// The pool is closing and has nothing more to do, or cannot start workers.
fn needs_nobody(owner: &Owner) -> bool {
    locked(&owner.broken).is_some()
        || (owner.is_closing() && locked(&owner.streams).is_empty() && owner.crew.queued() == 0)
}

/// Answers the task that died with its worker, and sends the others of its batch again.
fn settle(owner: &Owner, py: Python<'_>, ended: &Ended, death: &Death, raised: &mut Raised) {
    for span in [ended.unpublished, ended.lost].into_iter().flatten() {
        if let Some(job) = owner.job(span.job) {
            fail(owner, py, &job, span, death, raised);
        }
    }
    let Some(span) = ended.again else { return };
    let Some(job) = owner.job(span.job) else { return };
    if ended.begun {
        send_again(owner, py, &job, span.first, u64::from(span.count));
    } else if job.together {
        fail(owner, py, &job, span, death, raised);
    } else {
        // One of them may kill whoever reads it: singly it only takes itself along.
        for task in span.first..span.first + u64::from(span.count) {
            send_again(owner, py, &job, task, 1);
        }
    }
}

fn fail(
    owner: &Owner,
    py: Python<'_>,
    job: &Arc<Job>,
    span: Span,
    death: &Death,
    raised: &mut Raised,
) {
    if let Some(work) = &job.work {
        work.cost_a_worker();
    }
    let answer = Answer::Raised(death.of(owner, py, job, span.first, raised));
    owner.settle(job, Piece { first: span.first, count: u64::from(span.count), answer });
}

/// Sends tasks again that were sent already and that no worker has begun.
pub(super) fn send_again(owner: &Owner, py: Python<'_>, job: &Arc<Job>, first: u64, count: u64) {
    if let Some(work) = &job.work {
        return owner.send_work(py, job, work);
    }
    let Some(place) = job.state().place_of(py, first) else { return };
    let part = place.at..place.at + count as usize;
    owner.send_calling(py, job, place.call.as_ref(), first, place.tasks.bind(py), part, false);
}

/// What is known of the memory that a worker had; nothing of one that is no process of ours.
#[derive(Default)]
struct Memory {
    peak: Option<u64>,
    /// As the end of a sentence.
    words: String,
}

impl Memory {
    fn of(py: Python<'_>, process: &Py<PyAny>) -> Self {
        let ask = || -> PyResult<Self> {
            let child = process.bind(py).getattr("_popen")?.getattr("_child")?;
            let peak = child.getattr("peak_memory")?.extract()?;
            Ok(Self { peak, words: child.call_method0("describe_memory")?.extract()? })
        };
        ask().unwrap_or_default()
    }
}

/// How a worker ended.
struct Death {
    seat: usize,
    pid: u32,
    /// As in `Process.exitcode`: minus the signal, if one ended it.
    code: i32,
    memory: Memory,
}

impl Death {
    fn how(&self) -> String {
        match self.code {
            0.. => format!("left with exit code {}", self.code),
            -9 => "was killed by signal 9 (SIGKILL)".to_owned(),
            code => format!("was ended by signal {}{}", -code, signal_name(-code)),
        }
    }

    /// What it had of memory, and what may have been its end.
    fn hint(&self) -> String {
        let crash = match self.code {
            -11 | -7 | -4 | -8 => "; a native extension may have crashed",
            -6 => "; a library may have called abort()",
            _ => "",
        };
        format!("{}{crash}", self.memory.words)
    }

    /// The error of the task that was running.
    fn of(
        &self,
        owner: &Owner,
        py: Python<'_>,
        job: &Job,
        task: u64,
        raised: &mut Raised,
    ) -> PyErr {
        let called = job.state().place_of(py, task).and_then(|place| place.call);
        let args = job.task(py, task).and_then(|task| {
            let short = py.import("reprlib").and_then(|m| m.getattr("repr")?.call1((task,)));
            raised.note(short.and_then(|short| short.extract::<String>().map(Some)))
        });
        let name = match &called {
            Some(call) => Cow::Borrowed(call.name.as_str()),
            None => job.name_of_function(py),
        };
        let call = match args {
            Some(args) if args.starts_with('(') => {
                // One argument: as it is written in a call.
                let args = args.strip_suffix(",)").map_or(args.clone(), |args| format!("{args})"));
                format!("{name}{args}")
            }
            Some(args) => format!("{name}({args})"),
            None => name.into_owned(),
        };
        let message = format!(
            "worker {} (pid {}) {} while it ran task {task}, {call}{}; no other task is affected",
            self.seat,
            self.pid,
            self.how(),
            self.hint(),
        );
        self.error(owner, py, &message, Some(&format!("{task}: {call}")))
    }

    /// The error of a pool whose workers end before they are ready.
    fn of_a_beginner(&self, owner: &Owner, py: Python<'_>) -> PyErr {
        let message = format!(
            "worker {} (pid {}) {} before it was ready for work, so the pool cannot start; its own \
             message is on standard error",
            self.seat,
            self.pid,
            self.how()
        );
        self.error(owner, py, &message, None)
    }

    /// The error of a pool that is not to outlive any of its workers.
    fn of_the_pool(&self, owner: &Owner, py: Python<'_>) -> PyErr {
        let message = format!(
            "worker {} (pid {}) {}{}, and that was to be the end of its pool (on_worker_death='break')",
            self.seat,
            self.pid,
            self.how(),
            self.hint(),
        );
        self.error(owner, py, &message, None)
    }

    fn error(&self, owner: &Owner, py: Python<'_>, message: &str, task: Option<&str>) -> PyErr {
        let make = || -> PyResult<Bound<'_, PyAny>> {
            let class = owner.manners.worker_died(py)?;
            let details = PyDict::new(py);
            details.set_item("pid", self.pid)?;
            details.set_item("exitcode", self.code)?;
            details.set_item("signal", (self.code < 0).then_some(-self.code))?;
            details.set_item("peak_memory", self.memory.peak)?;
            details.set_item("task", task)?;
            class.call((message,), Some(&details))
        };
        make().map_or_else(|e| e, PyErr::from_value)
    }
}

fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        _ => return String::new(),
    };
    format!(" ({name})")
}

/// Ends all workers: asks, waits a moment, then kills. An interrupt (Ctrl-C, once more) ends the waiting
/// at once, and is returned when everything is over.
pub(super) fn terminate(owner: &Owner, py: Python<'_>) -> PyResult<()> {
    owner.closed.store(true, Ordering::SeqCst);
    if owner.terminated.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    owner.crew.close();
    owner.crew.discard_queued();
    let processes = all_processes(owner);
    let mut outcome = Ok(());
    for process in &processes {
        outcome = outcome.and(process.call_method0(py, intern!(py, "terminate")).map(drop));
    }
    let deadline = Deadline::after(GRACE);
    for process in &processes {
        let left = if outcome.is_ok() { deadline.remaining().as_secs_f64() } else { 0.0 };
        outcome = outcome.and(process.call_method1(py, intern!(py, "join"), (left,)).map(drop));
    }
    for process in &processes {
        let code = exit_code(py, process);
        let has_ended = matches!(code, Ok(Some(_)));
        outcome = outcome.and(code.map(drop));
        if !has_ended {
            outcome = outcome.and(process.call_method0(py, intern!(py, "kill")).map(drop));
            outcome = outcome.and(process.call_method0(py, intern!(py, "join")).map(drop));
        }
    }
    owner.collect(py);
    owner.fail_everything(py, &was_terminated());
    owner.wake_callbacks();
    owner.crew.pass_on();
    outcome.and(let_go(py, processes))
}

/// Drops processes: the interpreter calls functions of Python's then, of weak references, and what is raised in these it
/// prints and forgets.
fn let_go(py: Python<'_>, processes: Vec<Py<PyAny>>) -> PyResult<()> {
    undisturbed(py, |_| {
        drop(processes);
        Ok(())
    })
}

/// What becomes of a task in progress when its pool is terminated.
pub(super) fn was_terminated() -> PyErr {
    PyRuntimeError::new_err("the pool was terminated before the task was done")
}

/// Ends the workers of a pool that could not be made as a whole.
pub(super) fn dismiss(owner: &Owner, py: Python<'_>) -> PyResult<()> {
    let mut raised = Raised::default();
    owner.terminated.store(true, Ordering::SeqCst);
    owner.crew.close();
    let processes = all_processes(owner);
    for name in [intern!(py, "terminate"), intern!(py, "join")] {
        for process in &processes {
            // Ctrl-C apart, what kept the last worker from starting is what the caller has to know.
            raised.note(process.call_method0(py, name).map(drop));
        }
    }
    raised.into_result()
}

/// Waits for what is left of the worker processes.
pub(super) fn join_all(owner: &Owner, py: Python<'_>) -> PyResult<()> {
    let processes = all_processes(owner);
    for process in &processes {
        process.call_method0(py, intern!(py, "join"))?;
    }
    let_go(py, processes)
}

fn all_processes(owner: &Owner) -> Vec<Py<PyAny>> {
    let mut processes: Vec<_> =
        locked(&owner.processes).iter_mut().filter_map(Option::take).collect();
    processes.append(&mut locked(&owner.leavers));
    processes
}
