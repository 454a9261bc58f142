"""Connections between threads: a pair of queues each."""

from queue import Queue

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Client", "Listener", "Pipe"]

families = [None]


class Connection:
    """One end of a connection between threads."""

    def __init__(self, _in: "Queue[Any]", _out: "Queue[Any]") -> None:
        self._out = _out
        self._in = _in
        self.send = self.send_bytes = _out.put
        self.recv = self.recv_bytes = _in.get

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Return whether there is something to receive, waiting for it up to `timeout` seconds."""
        if not self._in.empty():
            return True
        if timeout is not None and timeout <= 0.0:
            return False
        with self._in.not_empty:
            return self._in.not_empty.wait_for(self._in._qsize, timeout) > 0

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self.close()


class Listener:
    """Where threads can connect to; its address is the object that they connect through."""

    def __init__(self, address: "Any" = None, family: None = None, backlog: int = 1) -> None:
        self._backlog: Queue[Any] | None = Queue(backlog)

    def accept(self) -> Connection:
        """Wait for a client; return the connection to it."""
        if self._backlog is None:
            raise OSError("the listener is closed")
        return Connection(*self._backlog.get())

    def close(self) -> None:
        """Accept nobody any more."""
        self._backlog = None

    @property
    def address(self) -> "Any":
        """What `Client` takes."""
        return self._backlog

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self.close()


def Client(address: "Any") -> Connection:
    """Return a connection to the listener with the address."""
    _in: Queue[Any] = Queue()
    _out: Queue[Any] = Queue()
    address.put((_out, _in))
    return Connection(_in, _out)


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Return two connections that are joined."""
    a: Queue[Any] = Queue()
    b: Queue[Any] = Queue()
    return Connection(a, b), Connection(b, a)
