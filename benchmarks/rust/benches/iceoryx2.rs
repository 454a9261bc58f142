//! The same messages by iceoryx2: publish and subscribe, with both sides looking for them all the time.
//!
//! A set of its own, since it needs libclang to be built. Nothing is lost: a full buffer makes the publisher
//! wait, as a bounded queue does.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe;
use phalanx::prelude::Event;
use phalanx_benchmarks::{Peer, stay_on};

/// So many messages may be on their way, as in the other sets.
const LIMIT: usize = 1024;

type Topic = publish_subscribe::PortFactory<ipc::Service, u64, ()>;

/// A node belongs to its process, so each side of a measurement opens what it uses itself.
fn open(node: &Node<ipc::Service>, name: &str) -> Topic {
    let name = format!("phalanx-benchmarks/{name}");
    node.service_builder(&name.as_str().try_into().expect("a name"))
        .publish_subscribe::<u64>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(LIMIT)
        .open_or_create()
        .expect("a service")
}

fn node() -> Node<ipc::Service> {
    NodeBuilder::new().create::<ipc::Service>().expect("a node")
}

fn publisher(topic: &Topic) -> Publisher<ipc::Service, u64, ()> {
    let builder =
        topic.publisher_builder().backpressure_strategy(BackpressureStrategy::RetryUntilDelivered);
    builder.create().expect("a publisher")
}

fn subscriber(topic: &Topic) -> Subscriber<ipc::Service, u64, ()> {
    topic.subscriber_builder().buffer_size(LIMIT).create().expect("a subscriber")
}

fn receive(subscriber: &Subscriber<ipc::Service, u64, ()>) -> u64 {
    loop {
        if let Some(sample) = subscriber.receive().expect("a healthy service") {
            return *sample;
        }
        std::hint::spin_loop();
    }
}

fn one_way(c: &mut Criterion) {
    let mut group = c.benchmark_group("one way, u64");
    group.throughput(Throughput::Elements(1));
    let listens = Event::new().expect("an event");
    let name = format!("one-way-{}", std::process::id());
    let mut there = None;
    let peer = Peer::process(|| {
        let (_, subscriber) = there.get_or_insert_with(|| {
            let node = node();
            let subscriber = subscriber(&open(&node, &name));
            listens.set();
            (node, subscriber)
        });
        black_box(receive(subscriber));
    });
    let node = node();
    let publisher = publisher(&open(&node, &name));
    group.bench_function("iceoryx2", |b| {
        b.iter_custom(|count| {
            peer.rounds(count, || {
                listens.wait();
                publisher.send_copy(black_box(7)).expect("sent");
            })
        });
    });
}

fn there_and_back(c: &mut Criterion) {
    let mut group = c.benchmark_group("there and back, u64");
    let listens = Event::new().expect("an event");
    let (there, back) =
        (format!("there-{}", std::process::id()), format!("back-{}", std::process::id()));
    let mut other = None;
    let peer = Peer::process(|| {
        let (_, subscriber, publisher) = other.get_or_insert_with(|| {
            let node = node();
            let ports = (subscriber(&open(&node, &there)), publisher(&open(&node, &back)));
            listens.set();
            (node, ports.0, ports.1)
        });
        publisher.send_copy(receive(subscriber)).expect("sent");
    });
    let node = node();
    let (publisher, subscriber) =
        (publisher(&open(&node, &there)), subscriber(&open(&node, &back)));
    group.bench_function("iceoryx2", |b| {
        b.iter_custom(|count| {
            peer.rounds(count, || {
                listens.wait();
                publisher.send_copy(7).expect("sent");
                black_box(receive(&subscriber));
            })
        });
    });
}

fn main() {
    stay_on(0);
    set_log_level(LogLevel::Error);
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    one_way(&mut criterion);
    there_and_back(&mut criterion);
    criterion.final_summary();
}
