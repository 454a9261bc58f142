//! A ring in use, words of which are then arbitrary: operations may say that memory is damaged, but stay
//! inside of it and come to an end.

use std::sync::atomic::Ordering;

use phalanx_shm::patience::Patience;
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::ring::{FIRST_CAPACITY, Memory, Record, Ring, SEGMENT_HEADER, Taken};

use crate::Bytes;
use crate::heap::Heap;
use crate::tolerant::tolerant;

/// Most records that are put; more than are taken are never there.
const STEPS: usize = 24;

fn put(ring: &Ring, heap: &Heap, len: usize) {
    let _ = ring.put(heap, Record::Inline(&vec![7; len]), &Patience::none());
}

fn put_payload(ring: &Ring, heap: &Heap) {
    if let Ok(chunk) = heap.take_chunk(100)
        && ring.put(heap, Record::Payload { chunk, len: 100 }, &Patience::none()).is_err()
    {
        heap.free_chunk(chunk);
    }
}

fn take(ring: &Ring, heap: &Heap) {
    let mut out = Vec::new();
    if let Ok(Taken::Payload { chunk, .. }) = ring.take(heap, &mut out, &Patience::none()) {
        heap.free_chunk(chunk);
    }
    assert!(out.len() <= 1 << 18, "a record longer than all memory");
}

/// Takes the bytes for: a limit, what to put, which words to damage and how, what to do then.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let heap = Heap::new();
    // In the heap itself, so that its own words can be damaged like all others.
    let at = heap.take_chunk(std::mem::size_of::<Ring>()).expect("room");
    let words = heap.slice(at, std::mem::size_of::<Ring>() / 8);
    // SAFETY: zeros are a ring to be prepared, aligned and large enough; atomics only.
    let ring = unsafe { &*words.as_ptr().cast::<Ring>() };
    ring.prepare(&heap, u32::from(bytes.byte() % 3) * 5).expect("room");
    for _ in 0..bytes.byte() % 6 {
        match bytes.byte() % 4 {
            0 => put_payload(ring, &heap),
            1 => take(ring, &heap),
            _ => put(ring, &heap, usize::from(bytes.byte()) * 9),
        }
    }
    for _ in 0..1 + bytes.byte() % 4 {
        let chunks = heap.chunks();
        let (chunk, len) = chunks[usize::from(bytes.byte()) % chunks.len()];
        // Control words more often than the rest.
        let room = if bytes.byte() % 2 == 0 { len } else { len.min(SEGMENT_HEADER) };
        let word = &heap.slice(chunk + u64::from(bytes.short()) * 8 % room as u64, 1)[0];
        word.store(bytes.damage(word.load(Ordering::Relaxed)), Ordering::Relaxed);
    }
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        match bytes.byte() % 8 {
            0 => tolerant(|| put_payload(ring, &heap)),
            1 | 2 => tolerant(|| put(ring, &heap, usize::from(bytes.byte()) * 9)),
            3 => tolerant(|| _ = (ring.len(&heap), ring.is_empty(&heap), ring.task_done(&heap))),
            4 => tolerant(|| ring.repair(&heap, heap.me())),
            5 => tolerant(|| ring.repair(&heap, SlotId::from_raw(2).expect("not 0"))),
            _ => tolerant(|| take(ring, &heap)),
        }
    }
    tolerant(|| ring.empty_for_good(&heap));
    const { assert!(FIRST_CAPACITY < 1 << 16) };
}
