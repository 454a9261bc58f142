"""Queues: messages a second from process to process.

The producers are children that wait for the start signal, the parent takes, except where there
are four consumers. Every message is compared with what was sent; numbers also in their order where
one producer meets one consumer.
"""

from __future__ import annotations

import os
from typing import Any

from benchmarks.harness.case import THOUSANDS_PER_SECOND, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check, closing
from benchmarks.harness.team import Team

MESSAGES = 50_000
KILOBYTE = os.urandom(1024)
SMALL_DICT = {"id": 417, "name": "a small item", "price": 2.5}


def put_numbers(count: int, queue: Any) -> None:
    """Produce 0, 1, 2, ..."""
    put = queue.put
    for number in range(count):
        put(number)


def put_same(count: int, queue: Any, payload: object) -> None:
    """Produce the same payload again and again."""
    put = queue.put
    for _ in range(count):
        put(payload)


def take_until_none(_count: int, queue: Any) -> tuple[int, int]:
    """Consume numbers until a None; how many there were, and their sum."""
    get = queue.get
    taken = summed = 0
    while (number := get()) is not None:
        taken += 1
        summed += number
    return taken, summed


def numbers_one_to_one(run: Run, queue: Any) -> float:
    """One producer of numbers, one consumer that checks their order."""
    with closing(queue), Team(run, (put_numbers, (queue,))) as team:

        def round_of(count: int) -> list[int]:
            team.go(count)
            get = queue.get
            received = [get() for _ in range(count)]
            team.answers()
            return received

        def verify(received: list[int], count: int) -> None:
            check(received == list(range(count)), "numbers lost, doubled or out of order")

        return run.measure(round_of, run.count(MESSAGES), verify=verify)


def payloads_one_to_one(run: Run, queue: Any, payload: object) -> float:
    """One producer of the same payload, one consumer that compares each copy and lets it go.

    A consumer that kept them all would measure the kernel: fresh pages for 50 MB of messages cost more
    than the messages do, whoever brings them.
    """
    with closing(queue), Team(run, (put_same, (queue, payload))) as team:

        def round_of(count: int) -> int:
            team.go(count)
            get = queue.get
            whole = 0
            for _ in range(count):
                if get() == payload:
                    whole += 1
            team.answers()
            return whole

        def verify(whole: int, count: int) -> None:
            check(whole == count, "a message was changed")

        return run.measure(round_of, run.count(MESSAGES), verify=verify)


@case("Queue, 1 producer, 1 consumer: ints", unit=THOUSANDS_PER_SECOND, floor=Times(10), headline=True)
def queue_ints(run: Run) -> float:
    """Numbers through a Queue."""
    return numbers_one_to_one(run, run.mp.Queue())


@case("Queue, 1 producer, 1 consumer: 1 KB bytes", unit=THOUSANDS_PER_SECOND, floor=Times(8), headline=True)
def queue_kilobytes(run: Run) -> float:
    """A kilobyte of bytes through a Queue."""
    return payloads_one_to_one(run, run.mp.Queue(), KILOBYTE)


@case("Queue, 1 producer, 1 consumer: small dicts", unit=THOUSANDS_PER_SECOND, floor=Times(8))
def queue_dicts(run: Run) -> float:
    """A dict of three through a Queue."""
    return payloads_one_to_one(run, run.mp.Queue(), SMALL_DICT)


@case("SimpleQueue, 1 producer, 1 consumer: ints", unit=THOUSANDS_PER_SECOND, floor=Times(10))
def simple_queue_ints(run: Run) -> float:
    """Numbers through a SimpleQueue."""
    return numbers_one_to_one(run, run.mp.SimpleQueue())


@case("SimpleQueue, 1 producer, 1 consumer: 1 KB bytes", unit=THOUSANDS_PER_SECOND, floor=Times(8))
def simple_queue_kilobytes(run: Run) -> float:
    """A kilobyte of bytes through a SimpleQueue."""
    return payloads_one_to_one(run, run.mp.SimpleQueue(), KILOBYTE)


@case("SimpleQueue, 1 producer, 1 consumer: small dicts", unit=THOUSANDS_PER_SECOND, floor=Times(8))
def simple_queue_dicts(run: Run) -> float:
    """A dict of three through a SimpleQueue."""
    return payloads_one_to_one(run, run.mp.SimpleQueue(), SMALL_DICT)


@case("Queue, 4 producers, 1 consumer: ints", unit=THOUSANDS_PER_SECOND, floor=Times(10))
def queue_four_producers(run: Run) -> float:
    """Numbers from four producers; each number has to arrive four times."""
    queue = run.mp.Queue()
    with closing(queue), Team(run, *[(put_numbers, (queue,))] * 4) as team:

        def round_of(count: int) -> list[int]:
            team.go(count // 4)
            get = queue.get
            received = [get() for _ in range(count // 4 * 4)]
            team.answers()
            return received

        def verify(received: list[int], count: int) -> None:
            expected = [number for number in range(count // 4) for _ in range(4)]
            check(sorted(received) == expected, "numbers lost or doubled")

        return run.measure(round_of, run.count(MESSAGES) // 4 * 4, verify=verify)


@case("Queue, 1 producer, 4 consumers: ints", unit=THOUSANDS_PER_SECOND, floor=Times(10))
def queue_four_consumers(run: Run) -> float:
    """Numbers to four consumers; together they have to see each once."""
    queue = run.mp.Queue()
    with closing(queue), Team(run, *[(take_until_none, (queue,))] * 4) as team:

        def round_of(count: int) -> list[tuple[int, int]]:
            team.go(count)
            put_numbers(count, queue)
            for _ in range(4):
                queue.put(None)
            return team.answers()

        def verify(answers: list[tuple[int, int]], count: int) -> None:
            check(sum(taken for taken, _ in answers) == count, "numbers lost or doubled")
            summed = sum(part for _, part in answers)
            check(summed == count * (count - 1) // 2, "numbers changed on the way")

        return run.measure(round_of, run.count(MESSAGES), verify=verify)
