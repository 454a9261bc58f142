"""Commands and scripts in parallel."""

import os
import sys

from ._core import JobResult, run_jobs
from .errors import JobError

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Protocol

    _Word = str | bytes | os.PathLike[str]
    _Command = _Word | Sequence[_Word]

    class _Bar(Protocol):
        def update(self, n: int, /) -> object: ...


__all__ = ["JobError", "JobResult", "run"]


def run(
    commands: "Iterable[_Command]",
    *,
    jobs: int | None = None,
    timeout: float | None = None,
    kill_after: float = 5.0,
    retries: int = 0,
    halt: str = "never",
    joblog: "str | os.PathLike[str] | None" = None,
    resume: bool = False,
    progress: "bool | _Bar" = False,
    check: bool = False,
    text: bool = False,
    output: "str | os.PathLike[str] | None" = "capture",
    env: "Mapping[str, str] | None" = None,
    cwd: "str | os.PathLike[str] | None" = None,
) -> list[JobResult]:
    """Run commands in parallel, `jobs` at a time, and return their results in the order of the commands.

    A command is a line for the shell, or a sequence of words, which no shell sees. If its first word ends in
    `.py`, this interpreter runs it. Each runs in a process group of its own, with nothing to read.

    After `timeout` seconds a command's group gets SIGTERM, and SIGKILL `kill_after` seconds later. A command
    that has failed is run again up to `retries` times. `halt="soon"` starts no more commands after a failure,
    `halt="now"` ends the running ones too; `"soon,fail=3"` and `"now,fail=20%"` set how many failures it takes.

    `joblog` names a file that gets a line for each command that has ended, as GNU parallel writes it. With
    `resume` commands that have succeeded according to it are skipped.

    What the commands write is captured: as `bytes`, or with `text` as `str`, in which replacement characters
    stand for what is no UTF-8. `output=None` discards it; any other `output` than `"capture"` names a folder for
    it. `env` replaces the environment, `cwd` is the folder to run in. `progress=True` shows how far it is on the
    standard error; an object with a method `update`, such as a bar of tqdm, is told of each command's end.

    Commands that fail are no error, unless `check` is true: then `JobError` is raised when all have ended.
    Ctrl-C ends the commands, and is raised then. If this process is killed, so are they.

    >>> results = mp.run(["echo one", ["echo", "two words"], "exit 3"], text=True)
    >>> [result.stdout for result in results]
    ['one\\n', 'two words\\n', '']
    >>> results[2].returncode
    3
    """
    if isinstance(commands, (str, bytes, os.PathLike)):
        raise TypeError(f"run takes a list of commands, not one: run([{commands!r}])")
    results = run_jobs(
        list(commands),
        list((os.environ if env is None else env).items()),
        sys.executable,
        jobs=jobs,
        timeout=timeout,
        kill_after=kill_after,
        retries=retries,
        halt=halt,
        joblog=joblog,
        resume=resume,
        output=output,
        cwd=cwd,
        progress=progress,
        text=text,
    )
    if check and not all(result.ok for result in results):
        raise JobError(results)
    return results
