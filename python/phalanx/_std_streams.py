"""The standard streams of a child, and those of its parent before it is forked."""

import os
import sys

from ._core import read_nothing

_empty_stdin = None


def _prepare_stdin():
    """Before a fork: make the object that will be the child's standard input.

    It is never read from here, so it holds no input of ours. Made in the parent, it costs the
    children nothing: what a forked child builds, it pays for with copies of its parent's pages.
    """
    global _empty_stdin
    if _empty_stdin is None:
        try:
            _empty_stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open
        except OSError:
            pass


def _close_stdin():
    """Give a child, which must not read the terminal, an empty standard input."""
    stdin = sys.stdin
    if stdin is None:
        return
    if _empty_stdin is not None and stdin is sys.__stdin__:
        try:
            read_nothing()
        except OSError:
            return
        sys.stdin = _empty_stdin
        return
    try:
        stdin.close()
    except (OSError, ValueError):
        pass
    try:
        fd = os.open(os.devnull, os.O_RDONLY)
        try:
            sys.stdin = open(fd, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open
        except BaseException:
            os.close(fd)
            raise
    except (OSError, ValueError):
        pass


def _flush_std_streams():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError):
            pass
