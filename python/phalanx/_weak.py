"""Weak containers that forget what is gone although a signal's handler would raise."""

from ._core import WeakCallback

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _Container = TypeVar("_Container", bound=Any)


def undisturbed(container: "_Container") -> "_Container":
    """Return a `WeakSet`, `WeakKeyDictionary` or `WeakValueDictionary`, empty as yet, made so.

    The interpreter calls the container when one of its objects goes, in the middle of anything, and prints and
    forgets what is raised there, Ctrl-C too. So handlers wait until it has returned.
    """
    container._remove = WeakCallback(container._remove)
    return container
