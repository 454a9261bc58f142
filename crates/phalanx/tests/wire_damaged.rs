//! Bytes that nobody encoded: they are an error, whatever they say about shared memory.

mod support;

use phalanx::message::Outgoing;
use phalanx::prelude::*;
use phalanx::wire;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use support::{FOREVER, alone, shared};

/// All that names something outside of the bytes.
#[derive(Debug, Serialize, Deserialize)]
enum Any {
    Bytes(SharedBytes),
    Queue(Queue<u8>),
    Lock(Lock<u64>),
    Value(Value<f64>),
    Array(Array<u16>),
    Event(Event),
    Semaphore(Semaphore),
    Receiver(Receiver<u8>),
    Several(Vec<SharedBytes>, u64),
}

/// Numbers as postcard writes them: often those of objects that there are.
fn offsets() -> Vec<u64> {
    let value = Value::new(1.5f64).expect("memory");
    let bytes = SharedBytes::copy_from(&[1; 5000]).expect("memory");
    let queue = Queue::<u8>::unbounded().expect("memory");
    let all = vec![value.offset(), queue.offset(), 0, 64, u64::MAX, u64::MAX / 2];
    // For as long as the test runs.
    std::mem::forget((value, bytes, queue));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_bytes_are_an_error(
        kind in 0u8..10,
        form in 0u8..5,
        which in 0usize..6,
        numbers in vec(any::<u64>(), 0..3),
        rest in vec(any::<u8>(), 0..40),
        is_message in any::<bool>(),
    ) {
        let _alone = alone();
        static OFFSETS: std::sync::LazyLock<Vec<u64>> = std::sync::LazyLock::new(offsets);
        let mut bytes = vec![kind];
        if kind == 0 || kind == 8 {
            bytes.push(form);
        }
        wire::encode(&OFFSETS[which], &mut bytes).expect("a number");
        for number in numbers {
            wire::encode(&number, &mut bytes).expect("a number");
        }
        bytes.extend(rest);
        let before = shared();
        // Whatever comes of it, it is a value or an error.
        if is_message {
            let queue = Queue::<Any>::unbounded().expect("a queue");
            queue.raw().put(&mut Some(Outgoing::Inline(&bytes)), &FOREVER).expect("room");
            if let Err(RecvError::Decode(e)) = queue.take() {
                prop_assert_eq!(e.bytes(), &bytes[..]);
            }
        } else if let Err(e) = wire::decode::<Any>(&bytes) {
            prop_assert_eq!(e.bytes(), &bytes[..]);
        }
        prop_assert_eq!(shared(), before, "nothing is made or lost");
    }
}
