"""Ping-pong: one small message to a child and back."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.case import MICROSECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check, closing
from benchmarks.harness.team import Team

ROUND_TRIPS = 5_000


def return_from_queue(count: int, there: Any, back: Any) -> None:
    """Put every message of one queue into the other."""
    for _ in range(count):
        back.put(there.get())


def return_from_pipe(count: int, connection: Any) -> None:
    """Send every message back."""
    for _ in range(count):
        connection.send(connection.recv())


def verify(last: int, count: int) -> None:
    """The last message that came back is the last one sent."""
    check(last == count - 1, f"got {last} back instead of {count - 1}")


@case("Queue ping-pong, small message", unit=MICROSECONDS, floor=Times(3), headline=True)
def queue(run: Run) -> float:
    """There and back over two queues."""
    there, back = run.mp.Queue(), run.mp.Queue()
    with closing(there, back), Team(run, (return_from_queue, (there, back))) as team:

        def round_of(count: int) -> int:
            team.go(count)
            answer = -1
            for number in range(count):
                there.put(number)
                answer = back.get()
            team.answers()
            return answer

        return run.measure(round_of, run.count(ROUND_TRIPS), verify=verify)


@case("Pipe ping-pong, small message", unit=MICROSECONDS, floor=Times(3))
def pipe(run: Run) -> float:
    """There and back over a duplex pipe."""
    near, far = run.mp.Pipe()
    with closing(near, far), Team(run, (return_from_pipe, (far,))) as team:

        def round_of(count: int) -> int:
            team.go(count)
            answer = -1
            for number in range(count):
                near.send(number)
                answer = near.recv()
            team.answers()
            return answer

        return run.measure(round_of, run.count(ROUND_TRIPS), verify=verify)
