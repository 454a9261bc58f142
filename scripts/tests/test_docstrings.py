"""The examples in the package's docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib

import phalanx as mp
import pytest

MODULES = ["_patch", "connection", "pool", "process", "queues", "sharedctypes", "synchronize"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"phalanx.{name}")
    result = doctest.testmod(module, extraglobs={"mp": mp})
    assert result.attempted > 0
    assert result.failed == 0
