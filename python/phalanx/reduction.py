"""Making objects ready for another process: pickling, and passing descriptors."""

import io
import sys
from _pickle import Pickler, loads as _loads
from abc import ABCMeta

from . import _core, _standard, context
from ._core import receive_fds, register_reducer, send_fds

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["send_handle", "recv_handle", "ForkingPickler", "register", "dump"]
__all__ += ["DupFd", "sendfds", "recvfds"]

HAVE_SEND_HANDLE = True
ACKNOWLEDGE = False


class ForkingPickler(Pickler):
    """The pickler of what travels between processes; knows the reducers that were registered."""

    _extra_reducers: "dict[type, Callable[[Any], Any]]" = {}  # noqa: RUF012

    def __init__(self, *args):
        super().__init__(*args)
        import copyreg

        if "socket" in sys.modules:
            register_sockets()
        self.dispatch_table = {**copyreg.dispatch_table, **self._extra_reducers}

    @classmethod
    def register(cls, type: "type[Any]", reduce: "Callable[[Any], Any]") -> None:
        """Let `reduce(obj)` reduce objects of exactly this type, wherever phalanx pickles them."""
        cls._extra_reducers[type] = reduce
        register_reducer(type, reduce)

    @classmethod
    def dumps(cls, obj: "Any", protocol: int | None = None) -> memoryview:
        """Return the pickle of an object, as a buffer."""
        buffer = io.BytesIO()
        cls(buffer, protocol).dump(obj)
        return buffer.getbuffer()

    loads = _loads


register = ForkingPickler.register


def dump(obj: "Any", file: "Any", protocol: int | None = None) -> None:
    """Pickle an object to a file."""
    ForkingPickler(file, protocol).dump(obj)


def sendfds(sock: "Any", fds: "Iterable[int]") -> None:
    """Send descriptors over a local socket."""
    send_fds(sock.fileno(), list(fds))


def recvfds(sock: "Any", size: int) -> list[int]:
    """Receive at most `size` descriptors from a local socket."""
    return receive_fds(sock.fileno(), size)


def send_handle(conn: "Any", handle: int, destination_pid: int | None) -> None:
    """Send a descriptor over a local connection; the process id is of no use here."""
    _core.send_handle(conn, handle)


def recv_handle(conn: "Any") -> int:
    """Receive a descriptor from a local connection."""
    return _core.receive_handle(conn)


def DupFd(fd):
    """Return a picklable stand-in for a descriptor, for the child that is being started.

    When none is, the stand-in may be sent to one other process that runs already.
    """
    popen = context.get_spawning_popen()
    if popen is None:
        from .resource_sharer import DupFd

        return DupFd(fd)
    return popen.DupFd(popen.duplicate_for_child(fd))


def _reduce_method(m):
    if m.__self__ is None:
        return getattr, (m.__class__, m.__func__.__name__)
    return getattr, (m.__self__, m.__func__.__name__)


def _reduce_method_descriptor(m):
    return getattr, (m.__objclass__, m.__name__)


def _reduce_partial(p):
    return _rebuild_partial, (p.func, p.args, p.keywords or {})


def _rebuild_partial(func, args, keywords):
    from functools import partial

    return partial(func, *args, **keywords)


def _reduce_socket(s):
    return _rebuild_socket, (DupFd(s.fileno()), s.family, s.type, s.proto)


def _rebuild_socket(df, family, type, proto):
    import socket

    return socket.socket(family, type, proto, fileno=df.detach())


reduce_socket, rebuild_socket = _reduce_socket, _rebuild_socket


def register_sockets():
    """Let sockets be passed to processes that are started."""
    import socket

    if socket.socket not in ForkingPickler._extra_reducers:
        register(socket.socket, _reduce_socket)


def adopt_neighbours():
    """Learn how objects are reduced that would not arrive as they should by pickle alone.

    These are sockets, and whatever was registered with the standard library's pickler: its own
    connections, the tensors of other packages. Returns whether there was anything to learn.
    """
    known_before = len(ForkingPickler._extra_reducers)
    if "socket" in sys.modules:
        register_sockets()
    neighbour = _standard.loaded("reduction")
    if neighbour is not None:
        for kind, reduce in neighbour.ForkingPickler._extra_reducers.items():
            known = kind in ForkingPickler._extra_reducers
            if not known and kind.__module__ not in ("builtins", "functools"):
                register(kind, reduce)
    return len(ForkingPickler._extra_reducers) > known_before


class AbstractReducer(metaclass=ABCMeta):  # noqa: B024 - as in multiprocessing
    """The base of what may be set as a context's `reducer`."""

    ForkingPickler = ForkingPickler
    register = staticmethod(register)
    dump = staticmethod(dump)
    send_handle = staticmethod(send_handle)
    recv_handle = staticmethod(recv_handle)
    sendfds = staticmethod(sendfds)
    recvfds = staticmethod(recvfds)
    DupFd = staticmethod(DupFd)
    _reduce_method = staticmethod(_reduce_method)
    _reduce_method_descriptor = staticmethod(_reduce_method_descriptor)
    _rebuild_partial = staticmethod(_rebuild_partial)
    _reduce_socket = staticmethod(_reduce_socket)
    _rebuild_socket = staticmethod(_rebuild_socket)

    def __init__(self, *args):
        register_sockets()
