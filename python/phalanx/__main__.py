"""Run a program with phalanx in the place of `multiprocessing`.

    python -m phalanx script.py [ARGUMENT]...
    python -m phalanx -m module [ARGUMENT]...
    python -m phalanx -c program [ARGUMENT]...
    python -m phalanx run [OPTION]... COMMAND...

`script.py` may also be a folder or an archive that has a `__main__.py`, or `-` for standard input.
`run` runs commands in parallel, as the command `phalanx run` does, unless the current folder has something
of that name: then that is the script.
"""

import os
import sys
from types import ModuleType

import phalanx


def _fresh_main():
    """Put a new, empty `__main__` in the place of this module."""
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__, __spec__=None, __annotations__={})
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main
    return main


def _set_first_path(folder):
    """Put a folder where the interpreter puts that of the script; return whether it may be there."""
    if sys.flags.isolated or getattr(sys.flags, "safe_path", False):
        return False
    # What stands there now is the current folder, because of `python -m`.
    sys.path[0] = folder
    return True


def _run_module(name, alter_argv):
    import runpy

    # What `python -m` itself calls: `runpy.run_module` would run the module in a temporary one.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _run_code(source, name, **attributes):
    main = sys.modules["__main__"]
    vars(main).update(attributes)
    exec(compile(source, name, "exec", dont_inherit=True), vars(main))


def _run_path(path):
    from pkgutil import get_importer

    path = os.path.abspath(path)
    if get_importer(path) is not None:  # A folder or an archive.
        if not _set_first_path(path):
            sys.path.insert(0, path)
        _run_module("__main__", False)
        return
    from importlib.machinery import SourceFileLoader, SourcelessFileLoader
    from io import open_code

    try:
        with open_code(path) as file:
            source = file.read()
    except OSError as error:
        sys.exit(f"{sys.executable}: can't open file {path!r}: {error}")
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    if path.endswith(".pyc"):
        loader = SourcelessFileLoader("__main__", path)
        vars(sys.modules["__main__"]).update(__file__=path, __loader__=loader, __cached__=None)
        code = loader.get_code("__main__")
        exec(code or "", vars(sys.modules["__main__"]))
        return
    _run_code(source, path, __file__=path, __loader__=SourceFileLoader("__main__", path), __cached__=None)


def main(arguments):
    """Run what the arguments name."""
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.exit(__doc__)
    first, *rest = arguments
    if first in ("-m", "-c") and not rest:
        sys.exit(f"argument expected for the {first} option\n{__doc__}")
    if first == "run" and not os.path.lexists("run"):
        from ._core import run_command

        sys.exit(run_command(arguments, sys.executable))
    phalanx.patch()
    _fresh_main()
    if first == "-m":
        sys.argv[:] = ["-m", *rest[1:]]
        _run_module(rest[0], True)
    elif first == "-c":
        sys.argv[:] = ["-c", *rest[1:]]
        _set_first_path("")
        _run_code(rest[0], "<string>")
    elif first == "-":
        sys.argv[:] = arguments
        _set_first_path("")
        _run_code(sys.stdin.read(), "<stdin>")
    elif first.startswith("-"):
        sys.exit(f"unknown option {first}; options of the interpreter go before -m phalanx\n{__doc__}")
    else:
        sys.argv[:] = arguments
        _run_path(first)


if __name__ == "__main__":
    main(sys.argv[1:])
