"""Descriptors in messages to processes that run already. The engine's desk hands them out."""

from ._core import collect_fd, deposit_connection

__all__ = ["PassedFd", "reduce"]


class PassedFd:
    """A descriptor that a process has laid out; it can be collected once."""

    def __init__(self, ticket):
        self._ticket = ticket

    def detach(self):
        """Return the descriptor, which the caller has to close."""
        return collect_fd(self._ticket)


def reduce(connection):
    """Reduce an end of a pipe that is put into a message."""
    from .connection import _rebuild

    _, parts = connection._parts()
    handle = PassedFd(deposit_connection(connection))
    return _rebuild, (type(connection), handle, parts, connection.readable, connection.writable)
