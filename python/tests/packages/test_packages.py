"""Programs that use other packages run unmodified with `python -m phalanx`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import support

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("use_*.py"))


@pytest.mark.watchdog(300)
@pytest.mark.parametrize("method", support.START_METHODS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program(program, method):
    command = [sys.executable, "-X", "faulthandler", "-m", "phalanx", str(program), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("ok\n"), done.stdout
