"""Pipes, sockets that others can connect to, and waiting for several things at once."""

from . import _core, context
from ._core import (
    Connection as Connection,
    answer_challenge as answer_challenge,
    deliver_challenge as deliver_challenge,
    wait as wait,
)
from .errors import AuthenticationError as AuthenticationError, BufferTooShort as BufferTooShort

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from typing_extensions import Buffer, Self

    Address = str | bytes | tuple[Any, ...]

__all__ = ["Client", "Connection", "Listener", "Pipe", "wait"]

_ConnectionBase = Connection

BUFSIZE = 8192
CONNECTION_TIMEOUT = 20.0
MESSAGE_LENGTH = 40

default_family = "AF_UNIX"
families = ["AF_INET", "AF_UNIX"]

# The words of the challenge, under their names of 3.10 and of 3.12.
CHALLENGE = _CHALLENGE = b"#CHALLENGE#"
WELCOME = _WELCOME = b"#WELCOME#"
FAILURE = _FAILURE = b"#FAILURE#"
_ALLOWED_DIGESTS = frozenset({b"md5", b"sha256", b"sha384", b"sha3_256", b"sha3_384"})
_MAX_DIGEST_LEN = max(map(len, _ALLOWED_DIGESTS))
_MD5ONLY_MESSAGE_LENGTH = 20
_MD5_DIGEST_LEN = 16
_LEGACY_LENGTHS = (_MD5ONLY_MESSAGE_LENGTH, _MD5_DIGEST_LEN)
_create_response = _core.create_response
_verify_challenge = _core.verify_challenge


def __getattr__(name):
    if name == "_ForkingPickler":
        from .reduction import ForkingPickler

        return globals().setdefault(name, ForkingPickler)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Return the two ends of a new pipe; if it is not `duplex` the first only receives.

    >>> here, there = mp.Pipe()
    >>> here.send({"a": 1})
    >>> there.recv()
    {'a': 1}
    """
    return _core._make_pipe(bool(duplex))


def arbitrary_address(family: str) -> "Address":
    """Return an address of the family at which nobody listens."""
    if family in ("AF_INET", "AF_INET6"):
        return ("localhost", 0)
    if family == "AF_UNIX":
        import os
        import secrets

        from . import util

        # The folder is nobody else's.
        return os.path.join(util.get_temp_dir(), f"listener-{secrets.token_hex(8)}")
    raise ValueError("unrecognized family")


def _validate_family(family):
    """Refuse the families of sockets that cannot be used."""
    if family not in (*families, "AF_INET6"):
        raise ValueError(f"Family {family} is not recognized.")


def address_type(address: "Address") -> str:
    """Return the name of the family that an address is of."""
    if type(address) is tuple:
        return "AF_INET"
    if type(address) is str and address.startswith("\\\\"):
        return "AF_PIPE"
    from . import util

    if type(address) is str or util.is_abstract_socket_namespace(address):
        return "AF_UNIX"
    raise ValueError(f"address type of {address!r} unrecognized")


def _numeric(address, family):
    """Return an address with numbers in the place of names."""
    if not isinstance(address, tuple):
        return address
    import socket

    host, port = address[:2]
    if family is None:
        family = "AF_INET6" if ":" in host else "AF_INET"
    kind = getattr(socket, family)
    found = socket.getaddrinfo(host or None, port, kind, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    numeric = found[0][4]
    return (*numeric[:2], *address[2:]) if len(address) > 2 else numeric


def _check_key(authkey):
    if authkey is not None and not isinstance(authkey, bytes):
        raise TypeError("authkey should be a byte string")


class Listener:
    """Waits at an address for others to connect.

    The address is a path, a name outside of the file system (which begins with a zero byte) or a
    tuple of host and port; without one, one is chosen. Who connects has to know the `authkey`, if
    there is one; at a local address, it also has to run as the same user or as the superuser, unless
    `any_user` is true. Who is silent or slow keeps nobody else waiting.

    >>> def say_hello(address):
    ...     with mp.connection.Client(address, authkey=b"secret") as connection:
    ...         connection.send("hello")
    >>> with mp.connection.Listener(authkey=b"secret") as listener:
    ...     child = mp.get_context("fork").Process(target=say_hello, args=(listener.address,))
    ...     child.start()
    ...     with listener.accept() as connection:
    ...         connection.recv()
    'hello'
    """

    def __init__(
        self,
        address: "Address | None" = None,
        family: str | None = None,
        backlog: int = 1,
        authkey: bytes | None = None,
        *,
        any_user: bool = False,
    ) -> None:
        family = family or (address and address_type(address)) or default_family
        _validate_family(family)
        address = address or arbitrary_address(family)
        _check_key(authkey)
        self._listener: SocketListener | None = SocketListener(address, family, backlog)
        self._authkey = authkey
        self._any_user = any_user

    def accept(self) -> Connection:
        """Wait for somebody to connect; return the connection.

        Raises `AuthenticationError` if somebody has connected who does not know the key, or runs as
        another user.
        """
        if self._listener is None:
            raise OSError("listener is closed")
        return self._listener.accept(self._authkey, self._any_user)

    def close(self) -> None:
        """Stop listening."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    @property
    def address(self) -> "Any":
        """The address, to be given to `Client`."""
        return self._open()._address

    @property
    def last_accepted(self) -> "Any":
        """The address of the last who has connected; an empty string if it has none."""
        return self._open()._last_accepted

    def _open(self):
        if self._listener is None:
            raise OSError("listener is closed")
        return self._listener

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()


def Client(
    address: "Address",
    family: str | None = None,
    authkey: bytes | None = None,
    *,
    any_user: bool = False,
) -> Connection:
    """Connect to the address of a `Listener`; return the connection.

    With an `authkey` both sides have to prove that they know it, or `AuthenticationError` is raised.
    At a local address the listener also has to run as the same user or as the superuser, unless
    `any_user` is true.
    """
    _validate_family(family or address_type(address))
    _check_key(authkey)
    return _core.connect(_numeric(address, family), authkey, any_user)


class SocketListener:
    """A socket that others can connect to."""

    def __init__(self, address: "Address", family: str, backlog: int = 1) -> None:
        self._core = _core.SocketListener(_numeric(address, family), backlog)
        self._address = self._core.address
        self._family = family
        self._last_accepted: Any = None
        self._python_socket: Any = None
        self._unlink: Any = None
        from . import util

        if family == "AF_UNIX" and not util.is_abstract_socket_namespace(address):
            import os

            self._unlink = util.Finalize(self, os.unlink, args=(address,), exitpriority=0)

    @property
    def _socket(self):
        """The socket as an object of Python's; a timeout that is set on it holds for `accept`."""
        if self._python_socket is None:
            import os
            import socket

            self._python_socket = socket.socket(fileno=os.dup(self._core.fileno()))
        return self._python_socket

    def accept(self, authkey: bytes | None = None, any_user: bool = False) -> Connection:
        """Wait for somebody to connect; return the connection."""
        own = self._python_socket
        timeout = own and own.gettimeout()
        connection, self._last_accepted = self._core.accept(authkey, any_user, timeout)
        return connection

    def close(self) -> None:
        """Stop listening, and remove the address if it is a file."""
        try:
            self._core.close()
            if self._python_socket is not None:
                self._python_socket.close()
        finally:
            unlink, self._unlink = self._unlink, None
            if unlink is not None:
                unlink()


def SocketClient(address: "Address") -> Connection:
    """Connect to an address; return the connection."""
    address_type(address)
    return _core.connect(_numeric(address, None))


class ConnectionWrapper:
    """A connection whose objects are made into bytes in another way."""

    def __init__(
        self,
        conn: Connection,
        dumps: "Callable[[Any], Buffer]",
        loads: "Callable[[bytes], Any]",
    ) -> None:
        self._conn = conn
        self._dumps = dumps
        self._loads = loads
        self.fileno = conn.fileno
        self.close = conn.close
        self.poll = conn.poll
        self.recv_bytes = conn.recv_bytes
        self.send_bytes = conn.send_bytes

    def send(self, obj: "Any") -> None:
        """Send an object."""
        self._conn.send_bytes(self._dumps(obj))

    def recv(self) -> "Any":
        """Receive an object."""
        return self._loads(self._conn.recv_bytes())


def _xml_dumps(obj):
    from xmlrpc.client import dumps

    return dumps((obj,), None, None, None, True).encode("utf-8")


def _xml_loads(s):
    from xmlrpc.client import loads

    (obj,), _method = loads(s.decode("utf-8"))
    return obj


class XmlListener(Listener):
    """A listener whose connections send objects in the format of XML-RPC."""

    def accept(self) -> "Any":
        """Wait for somebody to connect; return the connection."""
        return ConnectionWrapper(super().accept(), _xml_dumps, _xml_loads)


def XmlClient(*args: "Any", **kwds: "Any") -> "Any":
    """Connect to an `XmlListener`; return the connection."""
    return ConnectionWrapper(Client(*args, **kwds), _xml_dumps, _xml_loads)


def reduce_connection(connection: Connection) -> tuple["Any", ...]:
    """Reduce a connection for another process."""
    fd, parts = connection._parts()
    popen = context.get_spawning_popen()
    if popen is None:
        from . import _passing

        return _passing.reduce(connection)
    connection._share()
    handle = popen.DupFd(popen.duplicate_for_child(fd))
    return rebuild_connection, (type(connection), handle, parts, connection.readable, connection.writable)


def rebuild_connection(cls, handle, parts, readable, writable):
    """Make the connection that another process has reduced."""
    fd = handle.detach()
    if parts is None:
        return cls(fd, readable, writable)
    return _core._attach_connection(fd, parts)


_reduce = reduce_connection
_rebuild = rebuild_connection
