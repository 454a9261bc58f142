"""Log records of workers, handled by the process that owns the pool.

In the worker one handler takes the place of all others and sends each record along the way that
results take; the owner gives it to the handlers of the logger with the record's name.
"""

import logging
import os

from . import process

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

_PLAIN = (type(None), bool, int, float, str, bytes)


def levels() -> "dict[str, int]":
    """Return the levels that loggers of this process have been set to; the root's name is empty."""
    known = logging.root.manager.loggerDict
    found = {
        name: logger.level
        for name, logger in list(known.items())
        if isinstance(logger, logging.Logger) and logger.level
    }
    found[""] = logging.root.level
    return found


def forward(bench: "Any", levels: "dict[str, int]") -> None:
    """Send what this worker logs to the owner of its pool."""
    logging.root.handlers[:] = [_Sender(bench)]
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True
    for name, level in levels.items():
        (logging.getLogger(name) if name else logging.root).setLevel(level)


def handle(state: "dict[str, Any]") -> None:
    """Give a worker's record to the handlers of this process."""
    record = logging.makeLogRecord(state)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


class _Sender(logging.Handler):
    """Sends records to the pool's owner. What a worker's own children log goes to standard error."""

    def __init__(self, bench):
        super().__init__()
        self._bench = bench
        self._pid = os.getpid()

    def emit(self, record):
        if os.getpid() != self._pid:
            if logging.lastResort is not None and record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)
            return
        try:
            self._send(record)
        except Exception:
            self.handleError(record)

    def _send(self, record):
        state = dict(vars(record))
        if record.exc_info and not record.exc_text:
            state["exc_text"] = logging.Formatter().formatException(record.exc_info)
        # The record as its handler would write it: arguments may be of no use elsewhere.
        state.update(msg=record.getMessage(), args=None, exc_info=None)
        state["processName"] = process.current_process().name
        try:
            self._bench.log(state)
        except Exception:
            for key, value in state.items():
                if type(value) not in _PLAIN:
                    state[key] = repr(value)
            self._bench.log(state)
