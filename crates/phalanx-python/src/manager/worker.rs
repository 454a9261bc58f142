//! The threads that serve a manager's clients.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use phalanx::serve::Stream;
use phalanx_shm::patience::Patience;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::call::Desk;

/// How long a thread waits for the next client before it ends.
const IDLE: Duration = Duration::from_secs(5);
/// How long the end of the server waits for threads that are about to end.
const DISMISSAL: Duration = Duration::from_millis(200);

/// A client that has proved itself, with its first request.
pub(super) struct Job {
    pub(super) stream: Stream,
    pub(super) message: Vec<u8>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    alive: usize,
    is_dismissed: bool,
}

/// The threads and what they share.
pub(super) struct Crew {
    owner: Py<PyAny>,
    state: Mutex<State>,
    changed: Condvar,
    stops_after_reply: AtomicBool,
}

impl Crew {
    pub(super) fn new(owner: Py<PyAny>) -> Self {
        let (state, changed) = Default::default();
        Self { owner, state, changed, stops_after_reply: AtomicBool::new(false) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a client to a thread, a new one if none is idle.
    pub(super) fn take(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            drop(state);
            self.changed.notify_one();
            return;
        }
        state.alive += 1;
        drop(state);
        let crew = Arc::clone(self);
        let thread = std::thread::Builder::new().name("manager".into());
        if thread.spawn(move || crew.work()).is_err() {
            // No thread can be had: the client is turned away.
            let mut state = self.state();
            state.alive -= 1;
            state.jobs.pop_back();
        }
    }

    /// Lets the server end once the request that this thread serves has been answered.
    pub(super) fn stop_after_reply(&self) {
        self.stops_after_reply.store(true, Ordering::Release);
    }

    /// Ends the threads that wait. Those that are in a call are left behind.
    pub(super) fn dismiss(&self) {
        let end = Instant::now() + DISMISSAL;
        let mut state = self.state();
        state.is_dismissed = true;
        self.changed.notify_all();
        while state.alive > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A thread's life. It stays attached to the interpreter, as what objects keep for each thread
    /// has to last from one request to the next.
    fn work(&self) {
        Python::attach(|py| {
            while let Some(job) = py.detach(|| self.next_job()) {
                if let Err(error) = self.serve(py, job) {
                    error.write_unraisable(py, None);
                }
            }
        });
        self.state().alive -= 1;
        self.changed.notify_all();
    }

    fn next_job(&self) -> Option<Job> {
        let end = Instant::now() + IDLE;
        let mut state = self.state();
        loop {
            if state.is_dismissed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state.idle += 1;
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
        }
    }

    /// Serves one connection to its end.
    fn serve(&self, py: Python<'_>, job: Job) -> PyResult<()> {
        let Job { mut stream, message } = job;
        let desk = Desk::new(self.owner.bind(py))?;
        let (mut reply, stays) = desk.first(&PyBytes::new(py, &message))?;
        loop {
            let body = reply.as_ref().map(|reply| reply.as_bytes());
            let next = py.detach(|| {
                let forever = Patience::forever();
                if let Some(body) = body {
                    stream.send(body, &forever)?;
                }
                if self.stops_after_reply.load(Ordering::Acquire) || !stays {
                    return Ok(0);
                }
                stream.receive(usize::MAX >> 1, &forever).map(<[u8]>::len)
            });
            if self.stops_after_reply.load(Ordering::Acquire) {
                return desk.stop();
            }
            if next.is_err() || !stays {
                return Ok(());
            }
            match desk.next(&PyBytes::new(py, stream.last()))? {
                Some(answer) => reply = answer,
                None => return Ok(()),
            }
            if let Some(pipe) = desk.pipe()? {
                if let Some(reply) = &reply {
                    let _ = stream.send(reply.as_bytes(), &Patience::forever());
                }
                drop(stream);
                return self.serve_relative(&desk, &pipe);
            }
        }
    }

    /// Serves a relative, which has exchanged its socket for a pipe in shared memory.
    fn serve_relative<'py>(&self, desk: &Desk<'py>, pipe: &Bound<'py, PyAny>) -> PyResult<()> {
        while desk.answer(pipe)? {
            if self.stops_after_reply.load(Ordering::Acquire) {
                return desk.stop();
            }
        }
        Ok(())
    }
}
