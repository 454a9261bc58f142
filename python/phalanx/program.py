"""Programs in other languages as child processes, which use the same shared objects."""

import os

from . import popen_fork
from ._core import start_program
from .process import BaseProcess

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    _Part = str | bytes | os.PathLike[str] | os.PathLike[bytes]

__all__ = ["Program"]


class Program(BaseProcess):
    """An executable file, run in a process of its own with the objects of `passing`.

    `command` is the path of the file and its arguments; a path without a slash is looked for along
    `PATH`. The program finds the objects under their names: queues, locks, semaphores, events, barriers,
    values and arrays (`RawValue` and `RawArray` too) are shared with it, and what is made of `None`, `bool`,
    `int`, `float`, `str`, `bytes`, `list`, `tuple` and `dict` is copied. In Rust that is done by
    `phalanx::inherited()`. In queues that it shares, the program understands messages made of the same types.

    Behind the arguments of `command` the program gets one of the form `--phalanx-handover=N`, which tells it
    where to look; `phalanx::program::args()` leaves it out.

    The other methods and attributes are those of `Process`. The program dies with this process once it has
    taken over what it was passed.

    >>> program = mp.Program(["/bin/true"])
    >>> program.start()
    >>> program.join()
    >>> program.exitcode
    0
    """

    _start_method = None

    def __init__(
        self,
        command: "_Part | Sequence[_Part]",
        passing: "Mapping[str, Any] | None" = None,
        *,
        name: str | None = None,
        daemon: bool | None = None,
    ) -> None:
        super().__init__(name=name, daemon=daemon)
        whole = [command] if isinstance(command, (str, bytes, os.PathLike)) else command
        self._command = [os.fsdecode(part) for part in whole]
        self._passing = dict(passing or {})

    @staticmethod
    def _Popen(process_obj):
        return _Popen(process_obj)

    def run(self) -> None:
        """Raise an error: what the program does is not for Python to say."""
        raise TypeError("a program is run by start(), in a process of its own")

    def __reduce__(self):
        raise TypeError("a program cannot be pickled")


class _Popen(popen_fork.Popen):
    """A started program."""

    method = "program"

    def _launch(self, process_obj):
        start_program(process_obj._command, process_obj._passing, self._noting(process_obj))
        # The program holds what it was passed.
        process_obj._passing = None
