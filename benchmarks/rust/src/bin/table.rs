//! Prints what criterion has measured last, beside the goals.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What a goal says of a measurement.
enum Goal {
    /// So many times as quick as another measurement of the same group, at least.
    TimesAsQuickAs(&'static str, f64),
    /// So many times another measurement of the same group, at most.
    TimesAtMost(&'static str, f64),
    /// Less than so many nanoseconds.
    Under(f64),
    /// Measured to be compared with.
    None,
}

use Goal::{TimesAsQuickAs, TimesAtMost, Under};

const ROWS: &[(&str, &str, Goal)] = &[
    ("one way, u64", "phalanx ring", Goal::None),
    ("one way, u64", "phalanx Queue", TimesAsQuickAs("ipc-channel", 20.0)),
    ("one way, u64", "phalanx Queue", TimesAtMost("phalanx ring", 2.0)),
    ("one way, u64", "phalanx pipe", Goal::None),
    ("one way, u64", "ipc-channel", Goal::None),
    ("one way, u64", "iceoryx2", Goal::None),
    ("one way, u64", "mpsc between threads", Goal::None),
    ("there and back, u64", "two cache lines, nothing else", Goal::None),
    ("there and back, u64", "phalanx Queue", Under(1_000.0)),
    ("there and back, u64", "phalanx pipe", Under(1_000.0)),
    ("there and back, u64", "ipc-channel", Goal::None),
    ("there and back, u64", "iceoryx2", Goal::None),
    ("there and back, u64", "mpsc between threads", Goal::None),
    ("there and back, the other side asleep", "a byte over a Unix socket", Goal::None),
    ("there and back, the other side asleep", "a futex, nothing else", Goal::None),
    (
        "there and back, the other side asleep",
        "phalanx Queue",
        TimesAtMost("a futex, nothing else", 1.25),
    ),
    ("there and back, the other side asleep", "phalanx Queue", Under(15_000.0)),
    (
        "there and back, the other side asleep, on one processor",
        "a byte over a Unix socket",
        Goal::None,
    ),
    (
        "there and back, the other side asleep, on one processor",
        "a futex, nothing else",
        Goal::None,
    ),
    ("there and back, the other side asleep, on one processor", "phalanx Queue", Under(15_000.0)),
    (
        "64 MiB handed over and read by a byte",
        "phalanx SharedBytes, there and back",
        Under(100_000.0),
    ),
    (
        "64 MiB handed over and read by a byte",
        "ipc-channel IpcSharedMemory, there and back",
        Goal::None,
    ),
    ("taken and released, uncontended", "phalanx Lock", Under(15.0)),
    ("taken and released, uncontended", "Mutex in one process", Goal::None),
    ("taken and released by two at once", "phalanx Lock", Goal::None),
    ("taken and released by two at once", "Mutex between threads", Goal::None),
    ("a shared number, add one", "phalanx Value", Goal::None),
    ("a shared number, add one", "AtomicU64 in one process", Goal::None),
    ("a tiny task of many, two workers", "phalanx Pool__map", Under(300.0)),
    ("a tiny task of many, two workers", "procspawn Pool__spawn", Goal::None),
    ("a tiny task of many, two workers", "rayon threads", Goal::None),
    ("a task and its answer, one at a time", "phalanx Pool__submit", Goal::None),
    ("a task and its answer, one at a time", "procspawn Pool__spawn", Goal::None),
    ("a process for one task, start to end", "phalanx zygote", Under(1_000_000.0)),
    ("a process for one task, start to end", "phalanx fork", Goal::None),
    ("a process for one task, start to end", "phalanx spawn", Goal::None),
    ("a process for one task, start to end", "procspawn", Goal::None),
];

/// The median of a measurement in nanoseconds, of one element if it has several.
fn median(results: &Path, group: &str, name: &str) -> Option<f64> {
    let read = |file: &str| -> Option<serde_json::Value> {
        let at = results.join(group).join(name).join("new").join(file);
        serde_json::from_slice(&std::fs::read(at).ok()?).ok()
    };
    let time = read("estimates.json")?["median"]["point_estimate"].as_f64()?;
    let of = read("benchmark.json")?["throughput"]["Elements"].as_f64().unwrap_or(1.0);
    Some(time / of)
}

fn time(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{ns:.1} ns"),
        1e3..1e6 => format!("{:.2} µs", ns / 1e3),
        _ => format!("{:.2} ms", ns / 1e6),
    }
}

fn main() {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let results = target.join("criterion");
    let mut table = "| what | who | median | goal | reached |\n|---|---|---:|---|---|\n".to_owned();
    let mut missed = 0;
    for (group, name, goal) in ROWS {
        let Some(ns) = median(&results, group, name) else { continue };
        let other = |name: &str| median(&results, group, name);
        let (goal, reached) = match *goal {
            Goal::None => (String::new(), None),
            Under(most) => (format!("< {}", time(most)), Some(ns < most)),
            TimesAtMost(than, times) => {
                let Some(other) = other(than) else { continue };
                (format!("≤ {times} × {than}: {:.2}", ns / other), Some(ns <= other * times))
            }
            TimesAsQuickAs(than, times) => {
                let Some(other) = other(than) else { continue };
                (format!("≥ {times} × {than}: {:.1}", other / ns), Some(other >= ns * times))
            }
        };
        let reached = match reached {
            None => "",
            Some(true) => "yes",
            Some(false) => {
                missed += 1;
                "NO"
            }
        };
        let name = name.replace("__", "::");
        let _ = writeln!(table, "| {group} | {name} | {} | {goal} | {reached} |", time(ns));
    }
    println!("{table}\n{missed} goals missed");
}
