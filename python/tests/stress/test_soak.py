"""A few seconds of the soak: everything under random kills, stops and signals."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support import TESTS, phalanx_only

pytestmark = phalanx_only


@pytest.mark.watchdog(240)
def test_ten_seconds_of_faults():
    given = os.environ.get("PHALANX_TEST_SEED")
    seed = ["--seed", given] if given else []
    done = subprocess.run(
        [sys.executable, str(TESTS / "stress/soak.py"), "--minutes", "0.17", *seed],
        env={**os.environ, "PHALANX_SOAK_BIG": str(20 << 20)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    assert " 0 failures" in done.stdout
