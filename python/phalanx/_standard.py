"""The standard library's modules of the same names, as far as a program uses them too."""

import sys

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

#: The modules that `phalanx.patch` has taken out of `sys.modules`, by their full names.
put_aside: "dict[str, ModuleType]" = {}

#: Whether the names of the standard library's modules stand for phalanx's.
is_replaced = False


def loaded(name: str) -> "Any":
    """Return the standard library's `multiprocessing.NAME` if it has been imported, else `None`."""
    return (put_aside if is_replaced else sys.modules).get(f"multiprocessing.{name}")
