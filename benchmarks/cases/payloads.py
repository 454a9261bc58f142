"""Payloads: large bytes to a child and back."""

from __future__ import annotations

import os
from collections.abc import Callable

from benchmarks.cases.pingpong import return_from_pipe, return_from_queue
from benchmarks.cases.targets import echo
from benchmarks.harness.case import MILLISECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check, closing
from benchmarks.harness.team import Team

MEGABYTE = 1_000_000
# Bytes moved in one round: as many trips as make a round long enough to time.
MOVED = 100 * MEGABYTE


def measure_trips(run: Run, size: int, trip: Callable[[bytes], bytes], team: Team | None = None) -> float:
    """Time round trips of random bytes; what comes back last has to equal what was sent."""
    payload = os.urandom(size)

    def round_of(count: int) -> bytes:
        if team is not None:
            team.go(count)
        answer = b""
        for _ in range(count):
            answer = trip(payload)
            check(len(answer) == size, f"{len(answer)} bytes came back instead of {size}")
        if team is not None:
            team.answers()
        return answer

    def verify(answer: bytes, _count: int) -> None:
        check(answer == payload, "the bytes were changed on the way")

    return run.measure(round_of, max(2, run.count(MOVED) // size), verify=verify, warm=2)


def by_queue(run: Run, size: int) -> float:
    """There and back over two queues."""
    there, back = run.mp.Queue(), run.mp.Queue()

    def trip(payload: bytes) -> bytes:
        there.put(payload)
        return back.get()

    with closing(there, back), Team(run, (return_from_queue, (there, back))) as team:
        return measure_trips(run, size, trip, team)


def by_pipe(run: Run, size: int) -> float:
    """There and back over a duplex pipe."""
    near, far = run.mp.Pipe()

    def trip(payload: bytes) -> bytes:
        near.send(payload)
        return near.recv()

    with closing(near, far), Team(run, (return_from_pipe, (far,))) as team:
        return measure_trips(run, size, trip, team)


def by_pool(run: Run, size: int) -> float:
    """As the argument of a task, and back as its result."""
    with run.mp.Pool(2) as pool:
        return measure_trips(run, size, lambda payload: pool.apply(echo, (payload,)))


@case("Queue round trip of 1 MB bytes", unit=MILLISECONDS, floor=Times(5))
def queue_one_megabyte(run: Run) -> float:
    """1 MB over two queues."""
    return by_queue(run, MEGABYTE)


@case("Queue round trip of 10 MB bytes", unit=MILLISECONDS, floor=Times(5))
def queue_ten_megabytes(run: Run) -> float:
    """10 MB over two queues."""
    return by_queue(run, 10 * MEGABYTE)


@case("Pipe round trip of 1 MB bytes", unit=MILLISECONDS, floor=Times(5))
def pipe_one_megabyte(run: Run) -> float:
    """1 MB over a duplex pipe."""
    return by_pipe(run, MEGABYTE)


@case("Pipe round trip of 10 MB bytes", unit=MILLISECONDS, floor=Times(5), headline=True)
def pipe_ten_megabytes(run: Run) -> float:
    """10 MB over a duplex pipe."""
    return by_pipe(run, 10 * MEGABYTE)


@case("Pool.apply round trip of 1 MB bytes", unit=MILLISECONDS, floor=Times(5))
def pool_one_megabyte(run: Run) -> float:
    """1 MB as argument and result of a task."""
    return by_pool(run, MEGABYTE)


@case("Pool.apply round trip of 10 MB bytes", unit=MILLISECONDS, floor=Times(5))
def pool_ten_megabytes(run: Run) -> float:
    """10 MB as argument and result of a task."""
    return by_pool(run, 10 * MEGABYTE)
