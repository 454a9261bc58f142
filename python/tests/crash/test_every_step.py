"""Ctrl-C at steps of programs that start processes of every kind: it is heard, and nobody is left."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from support import START_METHODS, phalanx_only

pytestmark = phalanx_only

PROGRAM = Path(__file__).with_name("every_step.py")
PROGRAMS = [
    "pool",
    "results",
    "options",
    "map",
    "futures",
    "cancel",
    "process",
    "manager",
    "parallel",
    "death",
]
NEVER = 10**9


def run(name, method, steps):
    command = [sys.executable, str(PROGRAM), name, method, "--steps", *map(str, steps)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c_at_a_step(name, method, seed):
    """Some steps each time; `every_step.py` takes all of them."""
    [undisturbed] = run(name, method, [NEVER])
    assert (undisturbed["end"], undisturbed["left"]) == ("over", []), undisturbed
    steps = random.Random(seed).sample(range(1, undisturbed["steps"]), 6)
    for outcome in run(name, method, steps):
        # A program may have fewer steps than the last time: what its threads did is not counted.
        expected = ("interrupted", "over", "forgotten by the interpreter")
        if outcome["left"] or outcome["end"] not in expected:
            pytest.fail(json.dumps(outcome, indent=1))
