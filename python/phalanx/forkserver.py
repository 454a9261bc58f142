"""The forkserver: a prepared process that forks on request. Its work is the engine's zygote's."""

import sys

from . import spawn
from ._bootstrap import UNSAFE_MAIN
from ._core import Spawning, ensure_zygote, zygote_exitcode, zygote_pid, zygote_stop

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ensure_running",
    "get_inherited_fds",
    "set_forkserver_preload",
]


class ForkServer:
    """What this process knows of the forkserver of its family."""

    def __init__(self):
        self._inherited_fds: Any = None
        self._preload_modules = ["__main__"]
        self._preload_main = True
        self._preload_on_error = "ignore"

    @property
    def _forkserver_pid(self):
        return zygote_pid()

    def _stop(self):
        zygote_stop()

    def set_forkserver_preload(self, modules_names: list[str], *, on_error: str = "ignore") -> None:
        """Set the modules that the forkserver imports; `__main__` stands for the main module.

        `on_error` is `"ignore"`, `"warn"` or `"fail"`, for a module that cannot be imported.
        """
        if not all(type(name) is str for name in modules_names):
            raise TypeError("module_names must be a list of strings")
        if on_error not in ("ignore", "warn", "fail"):
            raise ValueError(f"on_error must be 'ignore', 'warn' or 'fail', not {on_error!r}")
        self._preload_modules = list(modules_names)
        self._preload_on_error = on_error

    def get_inherited_fds(self) -> "Any":
        """Return the descriptors that the forkserver passed to this process, if it started it."""
        return self._inherited_fds

    def _plan(self, process_obj=None):
        data = spawn.get_preparation_data("forkserver")
        modules = [name for name in self._preload_modules if name != "__main__"]
        wanted = self._preload_main and "__main__" in self._preload_modules
        by_value = spawn._main_by_value(data)
        if wanted:
            modules += _modules_of(process_obj)
        main_path = data.get("init_main_from_path") if wanted and not by_value else None
        return Spawning().pack(
            {
                "sys_path": data["sys_path"],
                "sys_argv": data["sys_argv"],
                "start_method": data["start_method"],
                "patched": data["patched"],
                "main_path": main_path,
                "main_by_value": by_value,
                "modules": modules,
                "wanted": self._preload_modules,
                "on_error": self._preload_on_error,
            },
            False,
        )

    def ensure_running(self) -> None:
        """Start the forkserver now if this process knows of none."""
        command = spawn.encode_command(spawn.get_command_line(run="zygote_main", fd="{fd}"))
        ensure_zygote(*command, self._plan)

    def start(self, payload_for, process_obj, fds, started):
        """Start a child; `started` is given the engine's handle.

        A main module that starts threads when it is imported makes forking unsafe: then the
        forkserver is started again without it, and each child imports it by itself.
        """
        command = spawn.encode_command(spawn.get_command_line(run="zygote_main", fd="{fd}"))
        place = Spawning()
        payload = payload_for(place, process_obj)
        try:
            place.request(*command, lambda: self._plan(process_obj), payload, fds, started)
            return
        except ConnectionResetError:
            if not self._preload_main or zygote_exitcode() != UNSAFE_MAIN:
                raise
        self._preload_main = False
        place = Spawning()
        fds.clear()
        place.request(*command, self._plan, payload_for(place, process_obj), fds, started)


def _modules_of(process_obj):
    """Return the modules that the first child will need, and most probably those that follow.

    Each child would import them anew; the forkserver does it once for all.
    """
    if process_obj is None:
        return []
    target = getattr(process_obj, "_target", None)
    named = {type(process_obj).__module__, getattr(target, "__module__", None)}
    return [name for name in named - {"__main__", "__mp_main__", None} if name in sys.modules]


_forkserver = ForkServer()
ensure_running = _forkserver.ensure_running
get_inherited_fds = _forkserver.get_inherited_fds
set_forkserver_preload = _forkserver.set_forkserver_preload
