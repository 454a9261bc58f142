"""The exceptions that phalanx raises, beside the built-in ones and those of `queue`."""

from . import _standard

__all__ = [
    "AuthenticationError",
    "BufferTooShort",
    "InputTooLongError",
    "JobError",
    "MaybeEncodingError",
    "OwnerDiedError",
    "ProcessError",
    "RemoteError",
    "RemoteTraceback",
    "ShutDown",
    "TimeoutError",
    "WorkerDiedError",
]


def _join_standard_names():
    """Make these classes subclasses of the standard library's of the same names, if it is in use.

    A program that catches `multiprocessing.TimeoutError` then goes on working. Importing
    `multiprocessing` for it would cost more than importing phalanx, and who has not imported it
    catches none of its classes.
    """
    standard = _standard.loaded("context")
    if standard is None or ProcessError.__bases__ != (_Root,):
        return
    ProcessError.__bases__ = (standard.ProcessError,)
    for mine in (BufferTooShort, TimeoutError, AuthenticationError):
        mine.__bases__ = (ProcessError, getattr(standard, mine.__name__))


class _Root(Exception):
    """A base that can be exchanged: bases of a built-in type cannot."""


class ProcessError(_Root):
    """The base of the exceptions that concern processes and what connects them."""

    def __new__(cls, *args, **kwargs):
        _join_standard_names()
        return super().__new__(cls, *args, **kwargs)


class BufferTooShort(ProcessError):
    """A message does not fit into the buffer it was to be received into.

    The message is not lost: it is `args[0]`.
    """


class TimeoutError(ProcessError):
    """A result was not there when the time given for it was over."""


class ShutDown(Exception):
    """A queue has been shut down: `queue.ShutDown`, for versions of Python that do not have it."""


class AuthenticationError(ProcessError):
    """The other end of a connection could not show that it knows the key."""


class WorkerDiedError(ProcessError, RuntimeError):
    """A worker process ended while it ran a task; that task, and no other, has no result.

    `pid` is the worker's process id. `exitcode` is as in `Process.exitcode`: negative for a worker
    that a signal ended, and then `signal` is the signal's number. `task` names the task, and
    `peak_memory` is the most memory that the worker had resident at a time, in bytes (a forked one begins
    with its parent's). Each is `None` where it is not known.
    """

    def __init__(
        self,
        message: str = "",
        *,
        pid: int | None = None,
        exitcode: int | None = None,
        signal: int | None = None,
        task: str | None = None,
        peak_memory: int | None = None,
    ) -> None:
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode
        self.signal = signal
        self.task = task
        self.peak_memory = peak_memory


class OwnerDiedError(RuntimeError):
    """The process that held a lock ended without releasing it.

    `acquire()` raises it to the next acquirer, which holds the lock from then on: what the lock
    protects may be half changed and is now its to mend. A `with` statement raises it too, but its
    body does not run, so the lock has been released again. `held` tells the two apart, `pid` is the
    dead process, `what` the kind of lock.
    """

    def __init__(
        self,
        message: str = "",
        *,
        pid: int | None = None,
        what: str | None = None,
        held: bool = True,
    ) -> None:
        super().__init__(message)
        self.pid = pid
        self.what = what
        self.held = held


class InputTooLongError(MemoryError):
    """An input without a length has not ended, and has to be read to its end.

    `Pool.map`, `starmap` and `Parallel` return a list of all results, so that an input that never ends leaves
    them nothing to return. They give up when half of the memory that was free has been taken, before
    a task was run or, with `Parallel`, with the tasks that run; a pool or executor that is closed
    gives up what streams have not read by then. `count` is how many items were read, `memory` how many
    bytes were taken meanwhile. `imap`, and `Parallel` with `return_as="generator"`, read an input a
    little ahead of the results that are fetched; a list, or whatever else has a length, is taken as it is.
    """

    def __init__(self, message: str = "", *, count: int | None = None, memory: int | None = None) -> None:
        super().__init__(message)
        self.count = count
        self.memory = memory


class RemoteError(ProcessError):
    """Stands for an exception of another process whose class cannot be rebuilt in this one.

    `type_name` is the full name of its class, `repr` what `repr` said of it there, and `traceback`
    the text of its traceback.
    """

    def __init__(self, type_name: str, repr: str = "", traceback: str = "") -> None:
        super().__init__(type_name, repr, traceback)
        self.type_name = type_name
        self.repr = repr
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.repr or self.type_name} (a {self.type_name}, which cannot be rebuilt here)"


class RemoteTraceback(Exception):
    """The text of a traceback in another process, shown as the cause of the exception it sent."""

    def __init__(self, tb: str) -> None:
        super().__init__(tb)
        self.tb = tb

    def __str__(self) -> str:
        return self.tb


class MaybeEncodingError(Exception):
    """The result of a task could not be sent back; `exc` says why, `value` what it was."""

    def __init__(self, exc: object, value: object) -> None:
        self.exc = repr(exc)
        self.value = repr(value)
        super().__init__(self.exc, self.value)

    def __reduce__(self):
        return _rebuild_encoding_error, (self.exc, self.value)

    def __str__(self) -> str:
        return f"Error sending result: '{self.value}'. Reason: '{self.exc}'"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def _rebuild_encoding_error(exc, value):
    error = MaybeEncodingError.__new__(MaybeEncodingError, exc, value)
    error.exc, error.value = exc, value
    return error


class JobError(ProcessError):
    """Commands that `run(..., check=True)` has run have failed.

    `results` holds the results of all commands, `failed` those of the ones that are no success.
    """

    def __init__(self, results=()):
        self.results = list(results)
        self.failed = [result for result in self.results if not result.ok]
        super().__init__(self.results)

    def __str__(self):
        shown = "".join(f"\n  {result.error}: {result.command}" for result in self.failed[:5])
        more = f"\n  and {len(self.failed) - 5} more" if len(self.failed) > 5 else ""
        return f"{len(self.failed)} of {len(self.results)} commands failed:{shown}{more}"
