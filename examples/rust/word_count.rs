//! How often each word occurs in some files: one file a task, the counts are merged as they come.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use phalanx::pool::Pool;
use phalanx_examples::{Answer, Example, scaled};

const WORDS: [&str; 12] = [
    "river", "bridge", "lamp", "winter", "salt", "paper", "engine", "window", "garden", "stone",
    "clock", "thread",
];

/// The program.
pub(crate) const EXAMPLE: Example =
    Example { title: "count the words of 24 files", serial, parallel };

type Counts = BTreeMap<String, u64>;

#[phalanx::task]
fn count(path: PathBuf) -> Result<Counts, String> {
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut counts = Counts::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_lowercase()).or_insert(0) += 1;
    }
    Ok(counts)
}

/// A folder with the files, which goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(size: f64) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("phalanx-words-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        let folder = Self(path);
        for (number, path) in folder.files().into_iter().enumerate() {
            let mut random = fastrand::Rng::with_seed(number as u64);
            let word = |_| WORDS[random.usize(0..WORDS.len())];
            let words: Vec<&str> = (0..scaled(size, 60_000)).map(word).collect();
            fs::write(path, words.join(" "))?;
        }
        Ok(folder)
    }

    fn files(&self) -> Vec<PathBuf> {
        (0..24).map(|number| Path::new(&self.0).join(format!("{number}.txt"))).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn merge(total: &mut Counts, counts: Counts) {
    for (word, count) in counts {
        *total.entry(word).or_insert(0) += count;
    }
}

fn said(total: &Counts) -> String {
    let all: u64 = total.values().sum();
    let most = total.iter().max_by_key(|(_, count)| **count);
    format!("{all} words, {} different, most often {most:?}", total.len())
}

fn serial(size: f64) -> Answer {
    let folder = Folder::new(size)?;
    let mut total = Counts::new();
    for path in folder.files() {
        merge(&mut total, count(path)?);
    }
    Ok(said(&total))
}

fn parallel(size: f64, workers: usize) -> Answer {
    let folder = Folder::new(size)?;
    let pool = Pool::new(workers)?;
    let mut total = Counts::new();
    for (_, counts) in pool.imap_unordered(count::task(), folder.files()) {
        merge(&mut total, counts??);
    }
    pool.join()?;
    Ok(said(&total))
}

#[phalanx::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    EXAMPLE.main()
}
