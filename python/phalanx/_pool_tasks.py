"""What the standard library's pool makes tasks and their errors of, for programs that extend pools."""

from .errors import RemoteTraceback

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any


def mapstar(args: "Any") -> "list[Any]":
    """Call a function for each item: a task of the standard library's `map`."""
    return list(map(*args))


def starmapstar(args: "Any") -> "list[Any]":
    """Call a function with the parts of each item: a task of the standard library's `starmap`."""
    function, items = args
    return [function(*item) for item in items]


class ExceptionWithTraceback:
    """An exception that keeps the text of its traceback when it is pickled."""

    def __init__(self, exc: BaseException, tb: "TracebackType | None") -> None:
        import traceback

        text = "".join(traceback.format_exception(type(exc), exc, tb))
        self.exc = exc
        self.exc.__traceback__ = None
        self.tb = f'\n"""\n{text}"""'

    def __reduce__(self):
        return rebuild_exc, (self.exc, self.tb)


def rebuild_exc(exc: BaseException, tb: str) -> BaseException:
    """Return an exception with the text of its traceback as its cause."""
    exc.__cause__ = RemoteTraceback(tb)
    return exc
