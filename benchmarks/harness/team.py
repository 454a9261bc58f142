"""A team: child processes that do their part of a case whenever the parent says go."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any

from benchmarks.harness.measure import Run, WrongAnswer

Member = Callable[..., Any]


class Team:
    """Processes of the library under measurement, started by fork and steered by pipes.

    The steering pipes are the standard library's for every library, because they are not what
    is measured; they carry one message a round and member. Each member is a function and its
    arguments; a round calls it with the count first.
    """

    def __init__(self, run: Run, *members: tuple[Member, tuple[Any, ...]]) -> None:
        self._controls: list[Connection] = []
        self._processes = []
        for function, arguments in members:
            near, far = Pipe()
            process = run.fork.Process(target=_serve, args=(far, function, arguments))
            process.start()
            far.close()
            self._controls.append(near)
            self._processes.append(process)

    def __enter__(self) -> Team:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            # Members may be stuck in the very call that failed: the harness kills what is left.
            for process in self._processes:
                process.terminate()
            return
        for control in self._controls:
            control.send(None)
        for process in self._processes:
            process.join()
            if process.exitcode != 0:
                raise WrongAnswer(f"a member ended with exit code {process.exitcode}")

    @property
    def pids(self) -> list[int]:
        """The members' process ids, in the order in which they were given."""
        return [process.pid for process in self._processes]

    def go(self, count: int) -> None:
        """Start a round of ``count`` in every member; returns at once."""
        for control in self._controls:
            control.send(count)

    def answers(self) -> list[Any]:
        """Wait until every member has ended its round; their answers, in order."""
        received = []
        for control in self._controls:
            answer, failure = control.recv()
            if failure is not None:
                raise WrongAnswer(f"a member failed:\n{failure}")
            received.append(answer)
        return received


def _serve(control: Connection, function: Member, arguments: tuple[Any, ...]) -> None:
    while (count := control.recv()) is not None:
        try:
            control.send((function(count, *arguments), None))
        except BaseException:
            control.send((None, traceback.format_exc()))
            raise
