//! What the feature `tracing` tells.

mod support;

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use phalanx::pool::{Pool, PoolError};
use phalanx_os::proc;
use support::{alone, child, joined_well};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Writes down all that phalanx tells, a line each.
struct Clerk(AtomicU64);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Clerk {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "phalanx"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let line = format!("span {}", span.metadata().name());
        TOLD.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Id::from_u64(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        TOLD.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

fn told() -> Vec<String> {
    std::mem::take(&mut TOLD.lock().unwrap_or_else(PoisonError::into_inner))
}

#[test]
fn processes_and_workers_are_told_of() {
    let _alone = alone();
    tracing::subscriber::set_global_default(Clerk(AtomicU64::new(1))).expect("the first one");

    let process = child(|| ());
    joined_well(&process);
    let pid = process.pid();
    let lines = told();
    assert_eq!(
        lines,
        [
            format!("DEBUG message=process started pid={pid} method=\"fork\""),
            format!("DEBUG message=process ended pid={pid} status=Code(0)"),
        ]
    );

    let (pool, task) = Pool::fork(1, |n: u64| {
        if n == 1 {
            proc::kill(std::process::id(), 9);
        }
        n
    })
    .expect("a pool");
    let first = pool.pids()[0];
    assert!(matches!(pool.map(task, 0..3), Err(PoolError::WorkerDied(_))));
    pool.join().expect("the end");
    let lines = told();
    let died = format!("WARN message=worker died worker=0 pid={first} status=Signal(9)");
    assert_eq!(lines.iter().filter(|line| **line == died).count(), 1, "{lines:#?}");
    assert!(lines.iter().filter(|line| line.contains("worker hired")).count() >= 2, "{lines:#?}");
}
