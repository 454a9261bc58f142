"""What a fresh process needs to know of its parent, and how it becomes that process's child."""

import os
import sys

from . import _standard, process, util
from .context import _default_context, set_spawning_popen

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "_main",
    "freeze_support",
    "set_executable",
    "get_executable",
    "get_preparation_data",
    "get_command_line",
    "import_main_path",
]

WINEXE = False
WINSERVICE = False

_python_exe = os.fsencode(sys.executable) if sys.executable else None


def set_executable(exe: str | bytes | None) -> None:
    """Set the path of the interpreter to start in place of `sys.executable`."""
    global _python_exe
    _python_exe = None if exe is None else os.fsencode(exe)


def get_executable() -> bytes | None:
    """Return the path of the interpreter to start."""
    return _python_exe


def is_forking(argv):
    """Return whether the arguments are those of a process that phalanx started."""
    return len(argv) >= 2 and argv[1] == "--multiprocessing-fork"


def freeze_support() -> None:
    """In a frozen program that was started as a child: do the child's work and exit."""
    if is_forking(sys.argv):
        from . import _bootstrap

        arguments = dict(argument.split("=") for argument in sys.argv[2:])
        main = getattr(_bootstrap, arguments.pop("run", "spawn_main"))
        main(**{name: int(value) for name, value in arguments.items()})
        sys.exit()


def get_command_line(*, run: str = "spawn_main", **arguments: object) -> "list[Any]":
    """Return the command that starts a child: the interpreter with this one's flags."""
    if getattr(sys, "frozen", False):
        pairs = [f"{name}={value}" for name, value in {"run": run, **arguments}.items()]
        return [sys.executable, "--multiprocessing-fork", *pairs]
    given = ", ".join(f"{name}={value}" for name, value in arguments.items())
    program = f"from phalanx._bootstrap import {run}; {run}({given})"
    flags = util._args_from_interpreter_flags()
    return [get_executable(), *flags, "-c", program, "--multiprocessing-fork"]


def encode_command(command: "list[Any]") -> tuple[bytes, list[bytes]]:
    """Return the path of a command's program and its arguments, as bytes."""
    if command[0] is None:
        raise RuntimeError("the path of the interpreter is not known: call phalanx.set_executable() first")
    arguments = [os.fsencode(argument) for argument in command]
    return arguments[0], arguments


def spawn_main(fd):
    """Be the child that the handover behind the descriptor describes, and exit."""
    from ._bootstrap import spawn_main

    spawn_main(fd)


def pack(popen, place, process_obj):
    """Pack all that a fresh process needs to become `process_obj`.

    That is: the preparation data but for its two lists, these, and the object. What is made of
    atoms only travels without pickle, which a fresh child would have to import.
    """
    from ._core import _set_main_by_value

    data = get_preparation_data(process_obj._name)  # which other packages replace
    if process_obj._environment:
        data["environment"] = tuple(process_obj._environment.items())
    by_value = _main_by_value(data)
    if by_value:
        data["main_by_value"] = True
        _set_main_by_value(True)
    if "socket" in sys.modules:  # Which the standard library's connections import too.
        from . import reduction

        reduction.adopt_neighbours()
    tracker = sys.modules.get(f"{__package__}.resource_tracker")
    if tracker is not None and tracker._resource_tracker._fd is not None:
        number = popen.duplicate_for_child(tracker._resource_tracker._fd)
        data["tracker"] = popen.method, number
    paths = tuple(data.pop("sys_path", ()))
    argv = tuple(data.pop("sys_argv", ()))
    data["authkey"] = bytes(data["authkey"])
    set_spawning_popen(popen)
    try:
        parts = [place.pack(part, False) for part in (data, paths, argv)]
        plain = None if by_value else _plain(process_obj)
        if plain is None:
            parts.append(place.pack(process_obj, by_value))
        else:
            parts += [place.pack(part, False) for part in plain]
    finally:
        set_spawning_popen(None)
    # What the data refers to may depend on it: coverage's, for instance.
    parts.insert(0, b"\1" if data["patched"] else b"\0")
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


_ATOMS = frozenset({type(None), bool, int, float, str, bytes})


def _plain(process_obj):
    """Return what defines an ordinary process object with a simple target, or `None`.

    That is: its class and target by name, its plain attributes, its identity, the arguments of its
    target, and what it inherits.
    """
    state = dict(vars(process_obj))
    kind = type(process_obj)
    target: Any = state.pop("_target", None)
    config = dict(state.pop("_config", ()))
    args, identity = state.pop("_args", None), state.pop("_identity", ())
    state.pop("_environment", None)  # It is with the preparation data.
    if (
        kind.__module__ != "phalanx.context"
        or type(target) is not type(_plain)
        or state.pop("_kwargs", None)
        or not _ATOMS.issuperset(map(type, (*args, *state.values())))
        or "." in target.__qualname__
        or getattr(sys.modules.get(target.__module__), target.__name__, None) is not target
    ):
        return None
    config["authkey"] = bytes(config["authkey"])
    names = (kind.__name__, target.__module__, target.__name__)  # type: ignore[union-attr]
    return names, state, identity, args, config


def _rebuild(names, state, identity, args, config):
    from . import context

    kind, module, name = names
    self = object.__new__(getattr(context, kind))
    __import__(module)
    config["authkey"] = process.AuthenticationString(config["authkey"])
    vars(self).update(
        state,
        _target=getattr(sys.modules[module], name),
        _identity=tuple(identity),
        _args=tuple(args),
        _kwargs={},
        _config=config,
    )
    return self


def _split(payload):
    at = 0
    while at < len(payload):
        start = at + 8
        at = start + int.from_bytes(payload[at:start], "little")
        yield payload[start:at]


def _main(payload, parent_sentinel):
    """Become the process that the payload describes; return its exit code."""
    from ._core import unpack

    patched, data, paths, argv, *body = _split(payload)
    del payload
    current = process.current_process()
    current._inheriting = True
    try:
        _set_patched(patched != b"\0")
        data = unpack(data)
        data["sys_path"] = list(unpack(paths))
        data["sys_argv"] = list(unpack(argv))
        prepare(data)
        self = unpack(body[0]) if len(body) == 1 else _rebuild(*map(unpack, body))
    finally:
        del current._inheriting
    del body
    return self._bootstrap(parent_sentinel)


def _check_not_importing_main():
    if getattr(process.current_process(), "_inheriting", False):
        raise RuntimeError(
            """
        An attempt has been made to start a new process before the
        current process has finished its bootstrapping phase.

        A child that is not forked from this program imports the main
        module again, so whatever starts processes there has to stand
        behind the usual guard:

            if __name__ == '__main__':
                freeze_support()
                ...

        The "freeze_support()" line can be omitted if the program
        is not going to be frozen to produce an executable.

        See the section "Safe importing of main module" in
        https://docs.python.org/3/library/multiprocessing.html
        """
        )


def get_preparation_data(name):
    """Return what a child has to know of this process before it can unpickle anything."""
    _check_not_importing_main()
    data = {
        "log_to_stderr": util._log_to_stderr,
        "authkey": process.current_process().authkey,
    }
    if util._logger is not None:
        data["log_level"] = util._logger.getEffectiveLevel()
    path = sys.path.copy()
    if "" in path and process.ORIGINAL_DIR is not None:
        path[path.index("")] = process.ORIGINAL_DIR
    data.update(
        name=name,
        sys_path=path,
        sys_argv=sys.argv,
        orig_dir=process.ORIGINAL_DIR,
        dir=os.getcwd(),
        start_method=_default_context.get_start_method(),
        patched=_standard.is_replaced,
    )
    main = sys.modules["__main__"]
    module_name = getattr(getattr(main, "__spec__", None), "name", None)
    main_path = getattr(main, "__file__", None)
    if module_name is not None:
        data["init_main_from_name"] = module_name
    elif main_path is not None:
        if not os.path.isabs(main_path) and process.ORIGINAL_DIR is not None:
            main_path = os.path.join(process.ORIGINAL_DIR, main_path)
        data["init_main_from_path"] = os.path.normpath(main_path)
    return data


def _runs_main_only(module_name):
    """Return whether a module does its work when imported: `__main__.py` of anything."""
    return module_name == "__main__" or module_name.endswith(".__main__")


def _main_by_value(data):
    """Return whether a child could not import the main module: a notebook, `-c`, `-m package`."""
    if "init_main_from_name" in data:
        return _runs_main_only(data["init_main_from_name"])
    path = data.get("init_main_from_path")
    return path is None or _is_ipython(path) or not os.path.exists(path)


def _is_ipython(path):
    # Its launcher has no guard, and the main module is the user's session, not that file.
    return os.path.splitext(os.path.basename(path))[0] == "ipython"


old_main_modules: list[object] = []


def prepare(data):
    """Make this process resemble its parent, so that it can unpickle what that packed."""
    os.environ.update(data.get("environment", ()))
    current = process.current_process()
    if "name" in data:
        current.name = data["name"]
    if "authkey" in data:
        current.authkey = data["authkey"]
    if data.get("log_to_stderr"):
        util.log_to_stderr()
    if "log_level" in data:
        util.get_logger().setLevel(data["log_level"])
    if "tracker" in data:
        _inherit_tracker(*data["tracker"])
    if "sys_path" in data:
        sys.path = data["sys_path"]
    if "sys_argv" in data:
        sys.argv = data["sys_argv"]
    if "dir" in data:
        os.chdir(data["dir"])
    if "orig_dir" in data:
        process.ORIGINAL_DIR = data["orig_dir"]
    if "start_method" in data:
        _default_context.set_start_method(data["start_method"], force=True)
    if data.get("main_by_value"):
        _take_main_by_value()
    elif "init_main_from_name" in data:
        _fixup_main_from_name(data["init_main_from_name"])
    elif "init_main_from_path" in data:
        _fixup_main_from_path(data["init_main_from_path"])


def _inherit_tracker(method, number):
    """Take the resource tracker of the parent over."""
    if method == "forkserver":
        from . import forkserver

        number = forkserver.get_inherited_fds()[number]
    os.set_inheritable(number, False)
    util._tracker_fd = number
    # The forkserver may have imported it.
    tracker = sys.modules.get(f"{__package__}.resource_tracker")
    if tracker is not None:
        tracker._resource_tracker._fd = number


def _set_patched(wanted):
    """Have phalanx in the place of `multiprocessing`, or not, as the parent has."""
    if wanted != _standard.is_replaced:
        from . import _patch

        _patch.patch() if wanted else _patch.unpatch()


def _take_main_by_value():
    """What the parent's main module defines arrives by value, and goes back by value."""
    from ._core import _adopt_main, _set_main_by_value

    _adopt_main()
    _set_main_by_value(True)


def _fixup_main_from_name(mod_name):
    current = sys.modules["__main__"]
    known = getattr(getattr(current, "__spec__", None), "name", None)
    if _runs_main_only(mod_name) or known == mod_name:
        return
    import runpy

    old_main_modules.append(current)
    main = type(sys)("__mp_main__")
    main.__dict__.update(runpy.run_module(mod_name, run_name="__mp_main__", alter_sys=True))
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main


def _fixup_main_from_path(main_path):
    current = sys.modules["__main__"]
    if _is_ipython(main_path) or getattr(current, "__file__", None) == main_path:
        return
    old_main_modules.append(current)
    main = type(sys)("__mp_main__")
    if main_path.endswith(".py") and os.path.isfile(main_path):
        _run_script(main_path, main)
    else:
        import runpy

        main.__dict__.update(runpy.run_path(main_path, run_name="__mp_main__"))
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main


def _run_script(path, module):
    """Execute a plain script in a module, as `runpy.run_path` would, without importing that."""
    from io import open_code

    with open_code(path) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    module.__dict__.update(__file__=path, __cached__=None, __package__="")
    argv0 = sys.argv[0]
    sys.argv[0] = path
    sys.modules["__mp_main__"] = module
    try:
        exec(code, module.__dict__)
    finally:
        sys.argv[0] = argv0


def import_main_path(main_path):
    """Make the script at the path this process's main module, under the name `__mp_main__`."""
    _fixup_main_from_path(main_path)
