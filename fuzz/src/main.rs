//! The plain driver: runs the corpora, and then what it makes of them by chance, on a stable toolchain.
//!
//! ```text
//! phalanx-fuzz [--seconds N] [--seed S] [--corpora FOLDER] [TARGET]...
//! phalanx-fuzz --input FILE TARGET
//! ```
//!
//! Each target runs in a process of its own. The input that it runs lies in a file meanwhile, which stays
//! when it fails, whatever way it does. N is the time for all targets together.

use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use phalanx_fuzz::TARGETS;

/// An execution that takes longer has not come to an end.
const LIMIT: Duration = Duration::from_secs(20);
const LONGEST: usize = 4096;

struct Options {
    seconds: u64,
    seed: u64,
    corpora: PathBuf,
    input: Option<PathBuf>,
    is_child: bool,
    targets: Vec<String>,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Self {
            seconds: 30,
            seed: std::process::id().into(),
            corpora: Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"),
            input: None,
            is_child: false,
            targets: Vec::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let number = |text: String| text.parse().map_err(|_| format!("{text:?} is no number"));
            match word.as_str() {
                "--seconds" => options.seconds = number(value()?)?,
                "--seed" => options.seed = number(value()?)?,
                "--corpora" => options.corpora = value()?.into(),
                "--input" => options.input = Some(value()?.into()),
                "--child" => options.is_child = true,
                name if TARGETS.iter().any(|(target, _)| *target == name) => {
                    options.targets.push(word);
                }
                _ => return Err(format!("there is no target {word:?}")),
            }
        }
        if options.targets.is_empty() {
            options.targets = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::from(2);
        }
    };
    if let Some(input) = &options.input {
        let data = std::fs::read(input).expect("the input can be read");
        options.targets.iter().for_each(|name| target(name)(&data));
        return ExitCode::SUCCESS;
    }
    if options.is_child {
        options.targets.iter().for_each(|name| explore(name, &options));
        return ExitCode::SUCCESS;
    }
    let each = options.seconds / options.targets.len() as u64;
    let mut failed = false;
    for name in &options.targets {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--child", "--seconds", &each.max(1).to_string()]);
        child.args(["--seed", &options.seed.to_string(), "--corpora"]).arg(&options.corpora);
        let status = child.arg(name).status().expect("this program runs again");
        if !status.success() {
            failed = true;
            println!("{name}: FAILED ({status}); its input is {}", current(name).display());
        }
    }
    ExitCode::from(u8::from(failed))
}

fn target(name: &str) -> fn(&[u8]) {
    TARGETS.iter().find(|(target, _)| *target == name).expect("a target").1
}

/// Where the input of a running target lies.
fn current(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(name)
}

struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Changes an input a little.
    fn mutate(&mut self, data: &mut Vec<u8>, others: &[Vec<u8>]) {
        for _ in 0..1 + self.below(6) {
            let at = self.below(data.len() + 1);
            match self.below(7) {
                0 if at < data.len() => data[at] = self.next() as u8,
                1 if at < data.len() => data[at] ^= 1 << self.below(8),
                2 => data.insert(at, self.next() as u8),
                3 if at < data.len() => _ = data.remove(at),
                4 => data.truncate(at),
                5 if !others.is_empty() => {
                    let other = &others[self.below(others.len())];
                    let from = self.below(other.len());
                    data.splice(at.., other[from..].iter().copied());
                }
                _ => {
                    let more: Vec<u8> = (0..self.below(24)).map(|_| self.next() as u8).collect();
                    data.splice(at..at, more);
                }
            }
        }
        data.truncate(LONGEST);
    }
}

/// Milliseconds since the start at which the present execution began.
static BEGAN: AtomicU64 = AtomicU64::new(0);

fn watch(start: Instant) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let began = Duration::from_millis(BEGAN.load(Ordering::Relaxed));
            if start.elapsed().saturating_sub(began) > LIMIT {
                eprintln!("an execution has not come to an end");
                std::process::abort();
            }
        }
    });
}

fn explore(name: &str, options: &Options) {
    let run = target(name);
    let mut corpus = Vec::new();
    if let Ok(folder) = options.corpora.join(name).read_dir() {
        let mut files: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
        files.sort();
        corpus.extend(files.iter().flat_map(std::fs::read));
    }
    let path = current(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for the inputs");
    let mut file = std::fs::File::create(&path).expect("a file for the input");
    let start = Instant::now();
    watch(start);
    let mut chance = Chance(options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut executions = 0usize;
    let end = Duration::from_secs(options.seconds);
    while start.elapsed() < end || executions < corpus.len() {
        let data = match corpus.get(executions) {
            Some(data) => data.clone(),
            None => {
                let mut data = match corpus.len() {
                    0 => Vec::new(),
                    count => corpus[chance.below(count)].clone(),
                };
                chance.mutate(&mut data, &corpus);
                data
            }
        };
        file.rewind().and_then(|()| file.set_len(0)).expect("the input is written down");
        file.write_all(&data).expect("the input is written down");
        BEGAN.store(start.elapsed().as_millis() as u64, Ordering::Relaxed);
        run(&data);
        executions += 1;
    }
    let _ = std::fs::remove_file(&path);
    println!(
        "{name}: {executions} executions in {:.1} s, {} of them from the corpus, seed {}",
        start.elapsed().as_secs_f64(),
        corpus.len(),
        options.seed
    );
}
