"""The forkserver: a prepared process that forks on request. Its work is the engine's zygote's."""

import sys
from _thread import allocate_lock

from . import spawn
from ._bootstrap import UNSAFE_MAIN
from ._core import Spawning, zygote_exitcode, zygote_pid, zygote_stop

__all__ = [
    "ensure_running",
    "get_inherited_fds",
    "connect_to_new_process",
    "set_forkserver_preload",
]


class ForkServer:
    """What this process knows of the forkserver of its family."""

    def __init__(self):
        self._inherited_fds = None
        self._preload_modules = ["__main__"]
        self._preload_main = True
        self._lock = allocate_lock()

    @property
    def _forkserver_pid(self):
        return zygote_pid()

    def _stop(self):
        zygote_stop()

    def set_forkserver_preload(self, modules_names):
        """Set the modules that the forkserver imports; `__main__` stands for the main module."""
        if not all(type(name) is str for name in modules_names):
            raise TypeError("module_names must be a list of strings")
        self._preload_modules = list(modules_names)

    def get_inherited_fds(self):
        """Return the descriptors that the forkserver passed to this process, if it started it."""
        return self._inherited_fds

    def _plan(self):
        data = spawn.get_preparation_data("forkserver")
        modules = [name for name in self._preload_modules if name != "__main__"]
        wanted = self._preload_main and "__main__" in self._preload_modules
        by_value = spawn._main_by_value(data)
        main_path = data.get("init_main_from_path") if wanted and not by_value else None
        return Spawning().pack(
            {
                "sys_path": data["sys_path"],
                "sys_argv": data["sys_argv"],
                "main_path": main_path,
                "main_by_value": by_value,
                "modules": modules,
            },
            False,
        )

    def start(self, place, payload, fds):
        """Start a child that gets `payload` and the descriptors; return the engine's handle."""
        command = spawn.get_command_line(run="zygote_main", fd="{fd}")
        return place.request(*spawn.encode_command(command), self._plan, payload, fds)


_forkserver = ForkServer()
get_inherited_fds = _forkserver.get_inherited_fds
set_forkserver_preload = _forkserver.set_forkserver_preload
