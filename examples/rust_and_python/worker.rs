//! The worker of `parent.py`: takes texts, sends back what it counted, and keeps shared totals.

use std::collections::BTreeMap;

use phalanx::program::Inherited;
use phalanx::sync::LockError;
use serde::{Deserialize, Serialize};

/// What the parent puts into the queue: a dictionary there, a structure here.
#[derive(Serialize, Deserialize)]
struct Text {
    name: String,
    text: String,
}

/// What goes back.
#[derive(Serialize, Deserialize)]
struct Counted {
    name: String,
    words: BTreeMap<String, u64>,
    longest: Option<String>,
}

#[phalanx::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let inherited: &Inherited = phalanx::inherited()?;
    let texts = inherited.queue::<Option<Text>>("texts")?;
    let results = inherited.queue::<Counted>("results")?;
    let total = inherited.value::<i64>("total")?;
    let lengths = inherited.array::<i64>("lengths")?;
    let lock = inherited.lock("lock")?;
    let ignored: Vec<String> = inherited.plain("ignored")?;

    // The parent puts nothing for each worker when there are no more texts.
    while let Some(Text { name, text }) = texts.take()? {
        let mut words = BTreeMap::new();
        let found = text.split_whitespace().map(str::to_lowercase);
        for word in found.filter(|word| !ignored.contains(word)) {
            *words.entry(word).or_insert(0) += 1;
        }
        let count: u64 = words.values().sum();
        // The value has a lock of its own, which the parent takes too.
        total.update(|total| total + count as i64);
        {
            let _held = lock.lock().or_else(LockError::recover).map_err(|_| "no lock")?;
            for (word, count) in &words {
                let place = word.chars().count().min(lengths.len() - 1);
                lengths.set(place, lengths.get(place).unwrap_or(0) + *count as i64);
            }
        }
        let longest = words.keys().max_by_key(|word| word.chars().count()).cloned();
        results.put(Counted { name, words, longest })?;
    }
    Ok(())
}
