"""Connections over sockets, and shared memory with a name."""

from __future__ import annotations

import importlib
import os
import tempfile
from typing import Any

from benchmarks.harness.case import MICROSECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check
from benchmarks.harness.team import Team

ROUND_TRIPS = 5_000
SEGMENTS = 500


def submodule(run: Run, name: str) -> Any:
    """A submodule of the library under measurement."""
    return importlib.import_module(f"{run.mp.__name__}.{name}")


def call_and_return(count: int, state: dict[str, Any], connection: Any, address: str) -> None:
    """Send every message back, over a connection that is made at the first call."""
    if "line" not in state:
        state["line"] = connection.Client(address, authkey=b"key")
    line = state["line"]
    for _ in range(count):
        line.send(line.recv())


@case("Connection over a Unix socket, small message", unit=MICROSECONDS, floor=Times(2))
def unix_socket(run: Run) -> float:
    """There and back between a Listener and a Client."""
    connection = submodule(run, "connection")
    with tempfile.TemporaryDirectory() as folder:
        address = os.path.join(folder, "socket")
        listener = connection.Listener(address, authkey=b"key")
        lines: list[Any] = []
        with listener, Team(run, (call_and_return, ({}, connection, address))) as team:

            def round_of(count: int) -> int:
                team.go(count)
                if not lines:
                    lines.append(listener.accept())
                (line,) = lines
                answer = -1
                for number in range(count):
                    line.send(number)
                    answer = line.recv()
                team.answers()
                return answer

            def verify(last: int, count: int) -> None:
                check(last == count - 1, f"got {last} back instead of {count - 1}")

            return run.measure(round_of, run.count(ROUND_TRIPS), verify=verify)


@case("SharedMemory: create, attach, close", unit=MICROSECONDS, floor=Times(2))
def shared_memory(run: Run) -> float:
    """A page made, opened by its name, and closed twice; the names are removed untimed."""
    kind = submodule(run, "shared_memory").SharedMemory

    def round_of(count: int) -> list[Any]:
        names = []
        for _ in range(count):
            made = kind(create=True, size=4096)
            opened = kind(made.name)
            names.append(opened)
            opened.close()
            made.close()
        return names

    def verify(names: list[Any], count: int) -> None:
        check(len({segment.name for segment in names}) == count, "names were used twice")
        check(all(segment.size == 4096 for segment in names), "attached to another size")
        for segment in names:
            segment.unlink()

    return run.measure(round_of, run.count(SEGMENTS), verify=verify)


@case("SharedMemory: create, attach, write, read, close", unit=MICROSECONDS, floor=Times(1.3))
def shared_memory_in_use(run: Run) -> float:
    """The same with a byte written by one side and read by the other: both map it, and most of it is the kernel."""
    kind = submodule(run, "shared_memory").SharedMemory

    def round_of(count: int) -> list[Any]:
        answers = []
        for number in range(count):
            made = kind(create=True, size=4096)
            opened = kind(made.name)
            made.buf[0] = number % 251
            answers.append((opened, opened.buf[0]))
            opened.close()
            made.close()
        return answers

    def verify(answers: list[Any], count: int) -> None:
        expected = [number % 251 for number in range(count)]
        check([byte for _, byte in answers] == expected, "read something else than was written")
        for segment, _ in answers:
            segment.unlink()

    return run.measure(round_of, run.count(SEGMENTS), verify=verify)
