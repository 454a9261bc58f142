"""A quick part of the interpreter's own tests; `make compat` runs them all."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import support

ORACLE = Path(__file__).parent / "oracle.py"


@pytest.mark.phalanx_only
@pytest.mark.skipif(
    importlib.util.find_spec("test.support") is None, reason="this interpreter comes without its own tests"
)
@pytest.mark.watchdog(400)
@pytest.mark.parametrize("method", support.START_METHODS)
def test_oracle(method, tmp_path):
    line = [sys.executable, str(ORACLE), "--fast", "--method", method, "--out", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
