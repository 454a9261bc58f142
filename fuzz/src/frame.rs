//! A parcel with arbitrary bytes, as it arrives from a queue: its frame is read and its buffers are viewed.

use phalanx::Patience;
use phalanx::message::Incoming;
use phalanx::queue::RawQueue;
use phalanx_shm::family::Family;
use phalanx_shm::object::{PAYLOAD_START, Shared};
use phalanx_shm::ring::{Record, Ring};

use crate::Bytes;

/// Takes the bytes for: how many buffers and how long, how long the parcel says it is, and the parcel.
pub fn run(data: &[u8]) {
    let family = Family::get().expect("an arena");
    // Free chunks that this process keeps for later count as its own.
    let in_use = || (family.arena().census().parts, family.arena().census().objects);
    let before = in_use();
    let mut bytes = Bytes(data);
    let lengths: Vec<u64> = (0..bytes.byte() % 5).map(|_| bytes.damage(64)).collect();
    let body = bytes.0.get(..bytes.0.len().min(20_000)).unwrap_or_default();
    let queue = RawQueue::new(None).expect("a queue");
    let ring = Shared::<Ring>::from_offset(family, queue.offset()).expect("it is held");
    let chunk = family.alloc(PAYLOAD_START + body.len()).expect("memory");
    family.arena().write(chunk, PAYLOAD_START, body);
    let record = Record::Payload { chunk: chunk.offset(), len: body.len() as u64 };
    ring.put(family, record, &Patience::none()).expect("room");
    let mut frame = Vec::new();
    let Ok(Incoming::Parcel(parcel)) = queue.take(&mut frame, &Patience::none()) else {
        panic!("what was put does not arrive as a parcel");
    };
    let is_read = parcel.read_frame(&mut frame).is_ok();
    assert!(frame.len() <= body.len(), "a frame longer than its parcel");
    if let Ok(slices) = parcel.into_buffers(lengths) {
        assert!(is_read, "buffers behind a frame that cannot be read");
        for slice in slices {
            let mut out = Vec::new();
            slice.read(&mut out);
            assert!(out.len() <= body.len(), "a buffer longer than its parcel");
        }
    }
    drop((queue, ring));
    assert_eq!(in_use(), before, "something was left behind");
}
