//! Messages between two: one way in bulk, there and back one by one, and large ones.

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use ipc_channel::ipc::{self, IpcSharedMemory};
use phalanx::message::Outgoing;
use phalanx::prelude::*;
use phalanx::queue::RawQueue;
use phalanx_benchmarks::{Peer, stay_on};
use phalanx_os::futex;
use phalanx_os::memory::SharedRegion;

/// So many messages may be on their way, where that can be chosen.
const LIMIT: u32 = 1024;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Sends here, receives there.
fn one_way(group: &mut Group<'_>, name: &str, peer: &Peer, mut send: impl FnMut()) {
    group.bench_function(name, |b| b.iter_custom(|count| peer.rounds(count, &mut send)));
}

fn in_bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("one way, u64");
    group.throughput(Throughput::Elements(1));

    let ring = RawQueue::new(std::num::NonZeroU32::new(LIMIT)).expect("a ring");
    let mut frame = Vec::new();
    let peer = Peer::process(|| {
        frame.clear();
        black_box(ring.take(&mut frame, &Patience::forever()).expect("a message"));
    });
    one_way(&mut group, "phalanx ring", &peer, || {
        let message = black_box(7u64).to_ne_bytes();
        ring.put(&mut Some(Outgoing::Inline(&message)), &Patience::forever()).expect("room");
    });

    let queue = Queue::<u64>::bounded(LIMIT).expect("a queue");
    let peer = Peer::process(|| drop(black_box(queue.take())));
    one_way(&mut group, "phalanx Queue", &peer, || queue.put(black_box(7)).expect("room"));

    let (here, there) = pipe::<u64>().expect("a pipe");
    let peer = Peer::process(|| drop(black_box(there.recv())));
    one_way(&mut group, "phalanx pipe", &peer, || here.send(black_box(7)).expect("room"));
    drop((peer, here, there));

    let (sender, receiver) = ipc::channel::<u64>().expect("a channel");
    let peer = Peer::process(|| drop(black_box(receiver.recv())));
    one_way(&mut group, "ipc-channel", &peer, || sender.send(black_box(7)).expect("sent"));

    let (sender, receiver) = mpsc::sync_channel::<u64>(LIMIT as usize);
    let peer = Peer::thread(move || _ = black_box(receiver.recv()));
    one_way(&mut group, "mpsc between threads", &peer, || sender.send(black_box(7)).expect("sent"));
}

fn there_and_back(c: &mut Criterion) {
    let mut group = c.benchmark_group("there and back, u64");

    let (here, there) = (Array::<u64>::zeroed(16), Array::<u64>::zeroed(16));
    let lines = (here.expect("memory"), there.expect("memory"));
    let mut seen = 0;
    let peer = Peer::process(|| {
        seen += 1;
        lines.1.store(0, await_line(&lines.0, seen));
    });
    let mut sent = 0;
    one_way(&mut group, "two cache lines, nothing else", &peer, || {
        sent += 1;
        lines.0.store(0, sent);
        await_line(&lines.1, sent);
    });
    drop(peer);

    let (there, back) = (queue(), queue());
    let peer = Peer::process(|| back.put(there.take().expect("a message")).expect("room"));
    one_way(&mut group, "phalanx Queue", &peer, || {
        there.put(7).expect("room");
        black_box(back.take().expect("a message"));
    });

    let (here, other) = pipe::<u64>().expect("a pipe");
    let peer = Peer::process(|| other.send(other.recv().expect("a message")).expect("room"));
    one_way(&mut group, "phalanx pipe", &peer, || {
        here.send(7).expect("room");
        black_box(here.recv().expect("a message"));
    });

    let (to, at) = ipc::channel::<u64>().expect("a channel");
    let (from, home) = ipc::channel::<u64>().expect("a channel");
    let peer = Peer::process(|| from.send(at.recv().expect("a message")).expect("sent"));
    one_way(&mut group, "ipc-channel", &peer, || {
        to.send(7).expect("sent");
        black_box(home.recv().expect("a message"));
    });

    let (to, at) = mpsc::channel::<u64>();
    let (from, home) = mpsc::channel::<u64>();
    let peer = Peer::thread(move || {
        let _ = at.recv().map(|message| from.send(message));
    });
    one_way(&mut group, "mpsc between threads", &peer, || {
        to.send(7).expect("sent");
        black_box(home.recv().expect("a message"));
    });
    // The thread waits for nothing more than its orders.
    drop(peer);
}

/// Looks at a number until it is `wanted`, and returns it: the limit of what goes there and back.
fn await_line(line: &Array<u64>, wanted: u64) -> u64 {
    while line.load(0) != wanted {
        std::hint::spin_loop();
    }
    wanted
}

/// The other side has slept for a while, and has to be woken: on a processor that has nothing else to do, which
/// has to be woken too, or on the one that the question comes from.
fn parked(c: &mut Criterion) {
    let mut group = c.benchmark_group("there and back, the other side asleep");
    asleep(&mut group, 1);
    group.finish();
    let mut group = c.benchmark_group("there and back, the other side asleep, on one processor");
    asleep(&mut group, 0);
}

fn asleep(group: &mut Group<'_>, processor: usize) {
    const NAP: Duration = Duration::from_micros(500);
    group.sample_size(10).measurement_time(Duration::from_millis(500));
    let mut after_a_nap = |name: &str, peer: &Peer, mut round: Box<dyn FnMut() + '_>| {
        group.bench_function(name, |b| {
            b.iter_custom(|count| {
                let mut naps = Duration::ZERO;
                let all = peer.rounds(count, || {
                    let begun = Instant::now();
                    std::thread::sleep(NAP);
                    naps += begun.elapsed();
                    round();
                });
                all - naps
            });
        });
    };

    // What the kernel takes to wake a process, and to be woken by it, whoever asks for it.
    let (mut here, mut other) = UnixStream::pair().expect("sockets");
    let mut byte = [7];
    let peer = Peer::process_on(processor, || {
        // The end of the stream is the end of the measurement.
        if other.read_exact(&mut byte).is_ok() {
            other.write_all(&byte).expect("sent");
        }
    });
    let mut answer = [0];
    let round = || {
        here.write_all(&[7]).expect("sent");
        here.read_exact(&mut answer).expect("a byte");
    };
    after_a_nap("a byte over a Unix socket", &peer, Box::new(round));
    drop(peer);

    // The least that it takes: a sleeper is woken, and answers to somebody who is looking, or who sleeps
    // as well, since there is no other processor to look from.
    let memory = SharedRegion::create("words", 4096).expect("memory");
    // SAFETY: the memory is zero, as long as a page and shared with the peer, which is forked; both use atomic
    // operations only. Should either die, the other waits: it is a benchmark.
    let words = unsafe { std::slice::from_raw_parts(memory.base().cast::<AtomicU32>(), 256) };
    let (there, back) = (&words[0], &words[128]);
    let tell = |word: &AtomicU32, number| {
        word.store(number, Ordering::Release);
        futex::wake(word, 1);
    };
    let sleep_until = |word: &AtomicU32, number: u32| {
        while word.load(Ordering::Acquire) != number {
            let _ = futex::wait(word, number - 1, None);
        }
    };
    let shares = processor == 0;
    let mut seen = 0;
    let peer = Peer::process_on(processor, || {
        seen += 1;
        sleep_until(there, seen);
        if shares { tell(back, seen) } else { back.store(seen, Ordering::Release) }
    });
    let mut sent = 0;
    let round = || {
        sent += 1;
        tell(there, sent);
        if shares {
            sleep_until(back, sent);
        }
        while back.load(Ordering::Acquire) != sent {
            std::hint::spin_loop();
        }
    };
    after_a_nap("a futex, nothing else", &peer, Box::new(round));
    drop(peer);

    let (there, back) = (queue(), queue());
    let peer =
        Peer::process_on(processor, || back.put(there.take().expect("a message")).expect("room"));
    let round = || {
        there.put(7).expect("room");
        black_box(back.take().expect("a message"));
    };
    after_a_nap("phalanx Queue", &peer, Box::new(round));
}

fn queue() -> Queue<u64> {
    Queue::unbounded().expect("a queue")
}

fn large(c: &mut Criterion) {
    const LEN: usize = 64 << 20;
    let mut group = c.benchmark_group("64 MiB handed over and read by a byte");
    group.sample_size(10);

    let (there, back) = (Queue::<SharedBytes>::bounded(1), Queue::<SharedBytes>::bounded(1));
    let (there, back) = (there.expect("a queue"), back.expect("a queue"));
    let peer = Peer::process(|| {
        let bytes = there.take().expect("a message");
        black_box(bytes[LEN / 2]);
        back.put(bytes).expect("room");
    });
    let mut bytes = Some(SharedBytesMut::zeroed(LEN).expect("memory").freeze());
    one_way(&mut group, "phalanx SharedBytes, there and back", &peer, || {
        there.put(bytes.take().expect("it came back")).expect("room");
        bytes = Some(back.take().expect("a message"));
    });

    let (to, at) = ipc::channel::<IpcSharedMemory>().expect("a channel");
    let (from, home) = ipc::channel::<IpcSharedMemory>().expect("a channel");
    let peer = Peer::process(|| {
        let bytes = at.recv().expect("a message");
        black_box(bytes[LEN / 2]);
        from.send(bytes).expect("sent");
    });
    let mut bytes = IpcSharedMemory::from_byte(0, LEN);
    one_way(&mut group, "ipc-channel IpcSharedMemory, there and back", &peer, || {
        to.send(bytes.clone()).expect("sent");
        bytes = home.recv().expect("a message");
    });
}

fn main() {
    stay_on(0);
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    in_bulk(&mut criterion);
    there_and_back(&mut criterion);
    parked(&mut criterion);
    large(&mut criterion);
    criterion.final_summary();
}
