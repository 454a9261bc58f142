"""Byte code, which decides how long an import takes: the same for both libraries."""

from __future__ import annotations

import compileall
from importlib.util import find_spec
from pathlib import Path


def compile_package(name: str) -> None:
    """Compile what is new in a package, as installing it does.

    The standard library and installed packages have byte code. A package in development form may
    have none, above all where `PYTHONDONTWRITEBYTECODE` is set: each fresh interpreter would then
    compile it anew, and a measurement of starts would be one of the compiler.
    """
    spec = find_spec(name)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        compileall.compile_dir(Path(folder), quiet=2)
