//! Arbitrary bytes as the encoded form of a value that names things in shared memory.

use std::collections::BTreeMap;

use phalanx::prelude::*;
use serde::{Deserialize, Serialize};

/// One of each kind that the wire knows.
#[derive(Debug, Serialize, Deserialize)]
enum Any {
    Plain(u8, i64, f64, bool, Option<String>),
    Text(BTreeMap<String, Vec<u32>>),
    Bytes(SharedBytes),
    Queue(Queue<u8>),
    Lock(Lock<u64>),
    Value(Value<f64>),
    Array(Array<u16>),
    Event(Event),
    Semaphore(Semaphore),
    Receiver(Receiver<u8>),
    Nested(Vec<Any>),
}

/// Decodes, and encodes again what could be decoded.
pub fn run(data: &[u8]) {
    // Deeper nesting than a type like this one has in earnest would be the type's own recursion.
    if data.iter().filter(|byte| **byte == 10).count() > 200 {
        return;
    }
    match phalanx::wire::decode::<Any>(data) {
        Ok(value) => {
            let mut out = Vec::new();
            let _ = phalanx::wire::encode(&value, &mut out);
        }
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}
