"""Classes that take a parameter in annotations, which are evaluated when a program runs."""

from __future__ import annotations

import pytest
from support import mp, phalanx_only, submodule


@pytest.mark.parametrize(
    "name", ["pool.ApplyResult", "pool.AsyncResult", "pool.MapResult", "queues.SimpleQueue"]
)
def test_class_with_a_parameter(name):
    module, name = name.split(".")
    cls = getattr(submodule(module), name)
    assert cls[int].__origin__ is cls
    assert cls[int].__args__ == (int,)


@phalanx_only
@pytest.mark.parametrize("name", ["Queue", "JoinableQueue"])
def test_queue_with_a_parameter(name):
    """The standard library's cannot be subscripted, so annotations of them have to be strings."""
    cls = getattr(submodule("queues"), name)
    assert cls[int].__origin__ is cls
    assert isinstance(getattr(mp, name)(), cls)
