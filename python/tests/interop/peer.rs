//! The other side of the tests of programs in two languages: its argument says what to do.

use std::error::Error;
use std::time::Duration;

use phalanx::Queue;
use phalanx::plain::{Plain, PlainFormat};
use phalanx::program::{AnyGuard, Inherited};
use phalanx::sync::LockError;
use serde::{Deserialize, Serialize};

type Outcome = Result<(), Box<dyn Error>>;

#[phalanx::main]
fn main() -> Outcome {
    let arguments: Vec<String> =
        phalanx::program::args().map(|a| a.to_string_lossy().into_owned()).collect();
    let number = |nth: usize| arguments.get(nth).and_then(|a| a.parse().ok()).unwrap_or(0);
    let inherited = phalanx::inherited()?;
    match arguments.get(1).map_or("", String::as_str) {
        "arguments" => inherited.queue("out")?.put(arguments[2..].to_vec())?,
        "echo" => echo(inherited)?,
        "typed" => typed(inherited)?,
        "count" => count(inherited, number(2))?,
        "array" => array(inherited)?,
        "describe" => describe(inherited)?,
        "meet" => meet(inherited)?,
        "hold" => hold(inherited)?,
        "leave" => std::process::exit(number(2) as i32),
        "opaque" => opaque(inherited)?,
        "linger" => {
            inherited.queue("out")?.put(std::process::id())?;
            let never: Queue<Plain, PlainFormat> = inherited.queue("in")?;
            never.take()?;
        }
        other => return Err(format!("what is {other:?}?").into()),
    }
    Ok(())
}

/// Sends back what it gets, up to nothing.
fn echo(inherited: &Inherited) -> Outcome {
    let (from, to) = (inherited.queue("in")?, inherited.queue("out")?);
    loop {
        let value: Plain = from.take()?;
        let last = value == Plain::None;
        to.put(value)?;
        if last {
            return Ok(());
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Job {
    id: u32,
    words: Vec<String>,
    #[serde(default)]
    factor: Option<f64>,
    kind: Kind,
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Count,
    Cut { at: usize },
}

#[derive(Serialize, Deserialize)]
struct Answer {
    id: u32,
    words: Vec<String>,
    score: f64,
    kind: Kind,
    big: u128,
}

/// Reads jobs as a type of its own and answers by another.
fn typed(inherited: &Inherited) -> Outcome {
    let settings: Plain = inherited.plain("settings")?;
    let step = settings.get("step").and_then(Plain::as_int).unwrap_or(0);
    let jobs = inherited.queue::<Job>("in")?;
    let answers: Queue<Answer, PlainFormat> = inherited.queue("out")?;
    let job = jobs.take()?;
    let words = match job.kind {
        Kind::Count => vec![job.words.len().to_string()],
        Kind::Cut { at } => job.words.iter().map(|word| word.chars().take(at).collect()).collect(),
    };
    let score = job.factor.unwrap_or(1.0) * step as f64;
    Ok(answers.put(Answer { id: job.id, words, score, kind: job.kind, big: u128::MAX >> 1 })?)
}

/// Counts in a value under its own lock and in an array under another.
fn count(inherited: &Inherited, times: u64) -> Outcome {
    let total = inherited.value::<i64>("total")?;
    let cells = inherited.array::<f64>("cells")?;
    let lock = inherited.lock("lock")?;
    for _ in 0..times {
        total.update(|n| n + 1);
        let _held = lock.lock().or_else(LockError::recover).map_err(|_| "no lock")?;
        cells.set(0, cells.get(0).unwrap_or(0.0) + 1.0);
    }
    Ok(())
}

/// Fills an array of each kind.
fn array(inherited: &Inherited) -> Outcome {
    inherited.array::<i8>("b")?.write(0, &[-1, 2, -3]);
    inherited.array::<u16>("H")?.write(0, &[1, 65535]);
    inherited.array::<i32>("i")?.set(1, -5);
    inherited.array::<u64>("Q")?.set(0, u64::MAX);
    inherited.array::<f32>("f")?.set(0, 0.5);
    inherited.array::<u8>("c")?.write(0, b"text");
    inherited.value::<f64>("raw")?.set(2.5);
    let values = inherited.array::<f64>("d")?;
    let squares: Vec<f64> = values.to_vec().iter().map(|x| x * x).collect();
    values.write(0, &squares);
    Ok(())
}

/// Says what it was passed, and what happens if one asks for something else.
fn describe(inherited: &Inherited) -> Outcome {
    let out = inherited.queue::<Vec<String>>("out")?;
    let names = inherited.names().map(|name| {
        inherited.named(name).map_or_else(|e| e.to_string(), |passed| format!("{name}: {passed}"))
    });
    out.put(names.collect())?;
    let errors = [
        inherited.queue::<Plain>("nothing").err().map(|e| e.to_string()),
        inherited.lock("out").err().map(|e| e.to_string()),
        inherited.value::<i64>("total").err().map(|e| e.to_string()),
        inherited.array::<i32>("cells").err().map(|e| e.to_string()),
        inherited.plain::<u8>("text").err().map(|e| e.to_string()),
    ];
    Ok(out.put(errors.into_iter().flatten().collect())?)
}

/// Meets the other side by each means.
fn meet(inherited: &Inherited) -> Outcome {
    let permits = inherited.semaphore("permits")?;
    let _permit = permits.acquire(&phalanx::Patience::forever());
    inherited.event("here")?.set();
    inherited.barrier("gate")?.wait()?;
    let again = inherited.rlock("again")?;
    let _once = again.lock().map_err(|_| "once")?;
    let _twice = again.lock().map_err(|_| "twice")?;
    Ok(inherited.queue("out")?.put(again.depth())?)
}

/// Takes a lock and the lock of a value, says so, and waits for its end.
fn hold(inherited: &Inherited) -> Outcome {
    let lock = inherited.lock("lock")?;
    let total = inherited.value::<i64>("total")?;
    let _one = lock.lock().map_err(|_| "no lock")?;
    let _other: Option<AnyGuard<'_>> = total.lock().and_then(|lock| lock.lock().ok());
    inherited.event("here")?.set();
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// Gets a message that it cannot read, and the next one.
fn opaque(inherited: &Inherited) -> Outcome {
    let from = inherited.queue::<Plain>("in")?;
    let to = inherited.queue::<(String, Plain)>("out")?;
    let error = from.take().err().map_or_else(String::new, |e| e.to_string());
    Ok(to.put((error, from.take()?))?)
}
