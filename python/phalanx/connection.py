"""Pipes, and waiting for several things at once."""

from . import _core, context
from ._core import Connection, wait

__all__ = ["Connection", "Pipe", "wait"]


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Return the two ends of a new pipe; if it is not `duplex` the first only receives.

    >>> here, there = mp.Pipe()
    >>> here.send({"a": 1})
    >>> there.recv()
    {'a': 1}
    """
    return _core._make_pipe(bool(duplex))


def _reduce(connection):
    fd, parts = connection._parts()
    popen = context.get_spawning_popen()
    if popen is None:
        from . import _passing

        return _passing.reduce(connection)
    connection._share()
    handle = popen.DupFd(popen.duplicate_for_child(fd))
    return _rebuild, (type(connection), handle, parts, connection.readable, connection.writable)


def _rebuild(cls, handle, parts, readable, writable):
    fd = handle.detach()
    if parts is None:
        return cls(fd, readable, writable)
    return _core._attach_connection(fd, parts)
