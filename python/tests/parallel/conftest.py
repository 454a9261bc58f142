"""Workers that stay between calls would outlive their test."""

import pytest
from phalanx import _crews


@pytest.fixture(autouse=True)
def no_idle_workers(no_child_left):
    yield
    _crews.end_all()
