"""The server of a manager: its objects, and what clients may ask it to do.

The engine accepts connections, checks who has come, and reads and answers requests, one thread for each
client. Here is what it does not decide: the functions of the server itself, methods whose result
stays here, and whatever is out of the ordinary.
"""

import sys
from _thread import RLock

from .. import process, util
from .._core import ManagerServer, _encode_whole as encode_whole, _share_with
from .links import HELLO, Token, _listener_client

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any


def all_methods(obj: "Any") -> list[str]:
    """Return the names of an object's methods."""
    return [name for name in dir(obj) if callable(getattr(obj, name))]


def public_methods(obj: "Any") -> list[str]:
    """Return the names of an object's methods that do not begin with `_`."""
    exposed = getattr(type(obj), "_public_methods_", None)
    return [name for name in all_methods(obj) if name[0] != "_"] if exposed is None else list(exposed)


def format_exc():
    """Return the text of the exception that is being handled."""
    import traceback

    return traceback.format_exc()


class _Caller:
    """What the server remembers of a connection."""

    is_ours = False
    #: The client's place in the family, if it can have shared objects.
    place: "tuple[int, int] | None" = None
    #: The pipe that the client wants to go on with.
    pipe: "Any" = None

    def send(self, obj: "Any") -> None:
        """Do nothing: replies go their own way."""


class Server:
    """The objects of a manager, and the functions that its clients can call."""

    public = [  # noqa: RUF012
        "shutdown",
        "create",
        "accept_connection",
        "get_methods",
        "debug_info",
        "number_of_objects",
        "dummy",
        "incref",
        "decref",
    ]
    #: What only clients of phalanx call.
    _own = ("hello", "make", "attach", "keep", "go_on_with")

    def __init__(self, registry: "Any", address: "Any", authkey: bytes, serializer: str) -> None:
        if not isinstance(authkey, bytes):
            raise TypeError(f"Authkey {authkey!r} is type {type(authkey)!s}, not bytes")
        self.registry = registry
        self.authkey = process.AuthenticationString(authkey)
        self._serializer = serializer
        listener_type = _listener_client(serializer)[0]
        self.listener = listener_type(address=address or _own_address(), backlog=128)
        self.address = self.listener.address
        self.id_to_obj: dict[Any, Any] = {"0": (None, (), None)}
        self.id_to_refcount: dict[Any, int] = {}
        self.id_to_local_proxy_obj: dict[Any, Any] = {}
        self.mutex = RLock()
        self._engine: Any = None

    def serve_forever(self) -> None:
        """Serve until a client asks for the end, or Ctrl-C; then raise `SystemExit`."""
        process.current_process()._manager_server = self  # type: ignore[attr-defined]
        listener = self.listener._listener._core
        self._engine = ManagerServer(listener.fileno(), bytes(self.authkey), self)
        try:
            self._engine.run()
        except KeyboardInterrupt:
            pass
        finally:
            self.listener.close()
            if sys.stdout is not sys.__stdout__:
                util.debug("resetting stdout, stderr")
                sys.stdout = sys.__stdout__
                sys.stderr = sys.__stderr__
        sys.exit(0)

    def _stop(self):
        self._engine.stop()

    # What the engine asks.

    def _new_client(self):
        return _Caller()

    def _serve_first(self, client, request):
        """Answer a connection's first request; say whether it stays."""
        stays = False
        try:
            _, funcname, args, kwds = self._loads(client, request)
            assert funcname in self.public, f"{funcname!r} unrecognized"
            stays = funcname == "accept_connection"
            reply = "#RETURN", getattr(self, funcname)(client, *args, **kwds)
        except Exception:
            stays = False
            reply = "#TRACEBACK", format_exc()
        return self._pack(client, reply), stays

    def _serve_next(self, client, request):
        """Answer a request that the engine does not answer itself.

        Returns the reply, `False` for none, or `None` to close the connection.
        """
        try:
            request = self._loads(client, request)
        except Exception:
            return self._pack(client, ("#TRACEBACK", format_exc()))
        return self._serve_and_pack(client, request)

    def _serve_and_pack(self, client, request):
        """The same for a request that is an object."""
        reply = self._serve(client, request)
        return self._pack(client, reply) if reply else reply

    def _serve(self, client, request):
        """The same for requests and replies that are objects."""
        ident = None
        try:
            ident, methodname, args, *rest = request
            kwds = rest[0] if rest else {}
            if ident is None or ident is False:
                if methodname not in self.public and methodname not in self._own:
                    raise AttributeError(f"{methodname!r} unrecognized")
                reply = "#RETURN", getattr(self, methodname)(client, *args, **kwds)
            else:
                reply = self._call(client, ident, methodname, args, kwds)
        except Exception:
            reply = "#TRACEBACK", format_exc()
        except SystemExit:
            return None
        if ident is False:
            if reply[0] != "#RETURN":
                util.debug("a request without reply failed: %s", reply[1])
            return False
        return reply

    def _call(self, client, ident, methodname, args, kwds):
        try:
            obj, exposed, gettypeid = self._entry(ident)
            try:
                if methodname not in exposed:
                    raise AttributeError(
                        f"method {methodname!r} of {type(obj)!r} object is not in exposed={exposed!r}"
                    )
                function = getattr(obj, methodname)
            except AttributeError:
                fallback = self.fallback_mapping.get(methodname)
                if fallback is None:
                    raise
                return "#RETURN", fallback(self, client, ident, obj, *args, **kwds)
        except Exception:
            return "#TRACEBACK", format_exc()
        try:
            result = function(*args, **kwds)
        except Exception as e:
            return "#ERROR", e
        typeid = gettypeid and gettypeid.get(methodname, None)
        if not typeid:
            return "#RETURN", result
        ident, exposed = self.create(client, typeid, result)
        return "#PROXY", (exposed, Token(typeid, self.address, ident))

    def _entry(self, ident):
        try:
            return self.id_to_obj[ident]
        except KeyError as e:
            try:
                return self.id_to_local_proxy_obj[ident]
            except KeyError:
                raise e from None

    # Objects to bytes and back.

    def _loads(self, client, request):
        if self._serializer != "pickle":
            from ..connection import _xml_loads

            return _xml_loads(request)
        if b"multiprocessing." in request:
            from .foreign import loads
        else:
            from _pickle import loads
        return loads(request)

    def _dumps(self, client, reply):
        if self._serializer != "pickle":
            from ..connection import _xml_dumps

            return _xml_dumps(reply)
        data = encode_whole(reply)
        if client.is_ours or b"phalanx." not in data:
            return data
        from .foreign import dumps

        return dumps(reply)

    def _pack(self, client, reply):
        """Return the bytes of a reply; of another, if this one cannot be sent."""
        try:
            return self._dumps(client, reply)
        except Exception:
            kind = "#TRACEBACK" if reply[0] == "#TRACEBACK" else "#UNSERIALIZABLE"
            return self._dumps(client, (kind, format_exc()))

    def _sendable(self, reply, error):
        """Return what is sent in place of a reply that cannot be."""
        kind = "#TRACEBACK" if reply[0] == "#TRACEBACK" else "#UNSERIALIZABLE"
        try:
            raise error
        except Exception:
            return kind, format_exc()

    # What any object can be asked for.

    def fallback_getvalue(self, conn: "Any", ident: "Any", obj: "Any") -> "Any":
        """Return an object itself, to be copied to the client."""
        copied = getattr(type(obj), "_copied", None)
        return obj if copied is None else copied(obj)

    def fallback_str(self, conn: "Any", ident: "Any", obj: "Any") -> str:
        """Return an object's `str`."""
        return str(obj)

    def fallback_repr(self, conn: "Any", ident: "Any", obj: "Any") -> str:
        """Return an object's `repr`."""
        return repr(obj)

    fallback_mapping = {  # noqa: RUF012
        "__str__": fallback_str,
        "__repr__": fallback_repr,
        "#GETVALUE": fallback_getvalue,
    }

    # What clients ask the server itself.

    def dummy(self, c: "Any") -> str:
        """Do nothing."""
        return HELLO

    def debug_info(self, c: "Any") -> str:
        """Return a line for each object, with its count of references."""
        with self.mutex:
            return "\n".join(
                f"  {ident}:       refcount={self.id_to_refcount[ident]}\n"
                f"    {str(self.id_to_obj[ident][0])[:75]}"
                for ident in sorted(self.id_to_refcount)
                if ident != "0"
            )

    def number_of_objects(self, c: "Any") -> int:
        """Return how many objects there are."""
        return len(self.id_to_refcount)

    def shutdown(self, c: "Any") -> None:
        """End the server, once this request has been answered."""
        util.debug("manager received shutdown message")
        self._engine.stop_after_reply()

    def create(self, c: "Any", typeid: str, /, *args: "Any", **kwds: "Any") -> "tuple[str, tuple[str, ...]]":
        """Make an object; return its id and the names of its methods."""
        with self.mutex:
            callable, exposed, method_to_typeid, _proxytype = self.registry[typeid]
            if callable is None:
                if kwds or len(args) != 1:
                    raise ValueError("Without callable, must have one non-keyword argument")
                obj = args[0]
            else:
                obj = callable(*args, **kwds)
            if exposed is None:
                exposed = public_methods(obj)
            if method_to_typeid is not None:
                if not isinstance(method_to_typeid, dict):
                    raise TypeError(
                        f"Method_to_typeid {method_to_typeid!r}: type {type(method_to_typeid)!s}, not dict"
                    )
                exposed = list(exposed) + list(method_to_typeid)
            ident = f"{id(obj):x}"
            util.debug("%r callable returned object with id %r", typeid, ident)
            self.id_to_obj[ident] = (obj, set(exposed), method_to_typeid)
            self.id_to_refcount.setdefault(ident, 0)
        self.incref(c, ident)
        return ident, tuple(exposed)

    def get_methods(self, c: "Any", token: "Any") -> "tuple[str, ...]":
        """Return the names of an object's methods."""
        return tuple(self.id_to_obj[token.id][1])

    def accept_connection(self, c: "Any", name: str) -> str:
        """Serve a client's further requests from this thread."""
        threading = sys.modules.get("threading")
        if threading is not None:
            threading.current_thread().name = name
        return HELLO

    def incref(self, c: "Any", ident: str) -> None:
        """Count one reference more."""
        with self.mutex:
            if ident in self.id_to_refcount:
                self.id_to_refcount[ident] += 1
                return
            # Only other objects of this server refer to it: it becomes a client's again.
            self.id_to_obj[ident] = self.id_to_local_proxy_obj[ident]
            self.id_to_refcount[ident] = 1
            util.debug("Server re-enabled tracking & INCREF %r", ident)

    def decref(self, c: "Any", ident: str) -> None:
        """Count one reference less; the last gives the object up."""
        if ident not in self.id_to_refcount and ident in self.id_to_local_proxy_obj:
            util.debug("Server DECREF skipping %r", ident)
            return
        with self.mutex:
            if self.id_to_refcount[ident] <= 0:
                raise AssertionError(
                    f"Id {ident!s} ({self.id_to_obj[ident]!r}) has refcount {self.id_to_refcount[ident]:n}, "
                    "not 1+"
                )
            self.id_to_refcount[ident] -= 1
            if self.id_to_refcount[ident] > 0:
                return
            del self.id_to_refcount[ident]
            util.debug("disposing of obj with id %r", ident)
            entry = self.id_to_obj.pop(ident)
        # Its end may give up other objects.
        del entry

    # What clients of phalanx ask.

    def hello(self, c: "Any", family: "Any", place: "Any") -> bool:
        """Say whether the client is a relative, which can have shared objects."""
        c.is_ours = True
        own = process.current_process()._config.get("family")
        if family is not None and family == own:
            c.place = place
        return c.place is not None

    def go_on_with(self, c: "Any", pipe: "Any") -> None:
        """Serve the client over a pipe from now on."""
        c.pipe = pipe

    def make(self, c: "Any", typeid: str, /, *args: "Any", **kwds: "Any") -> "Any":
        """Do as `create`, and hand the object out if it is shared."""
        ident, exposed = self.create(c, typeid, *args, **kwds)
        return ident, exposed, self._share(c, ident)

    def attach(self, c: "Any", ident: str) -> bytes | None:
        """Count one reference more, and hand the object out if it is shared."""
        self.incref(c, ident)
        return self._share(c, ident)

    def keep(self, c: "Any", ident: str) -> None:
        """Keep an object for good: another object of this server refers to it."""
        self._keep(ident)

    def _keep(self, ident):
        if ident not in self.id_to_local_proxy_obj:
            self.id_to_local_proxy_obj[ident] = self.id_to_obj[ident]

    def _shared_part(self, ident):
        """Return what relatives can use of an object without the server, if anything."""
        obj = self._entry(ident)[0]
        part = getattr(type(obj), "_shared_part", None)
        return None if part is None else part(obj)

    def _share(self, client, ident):
        """Return the pickle of what a client can use without the server, if anything."""
        if client.place is None:
            return None
        shared = self._shared_part(ident)
        if shared is None:
            return None
        from .managed import pack

        return _share_with(client.place, lambda: pack(shared))


def _own_address():
    """Return an address that nobody has, outside of the file system."""
    import os

    return f"\0phalanx-{os.getpid()}-{os.urandom(8).hex()}"
