"""The program in the README does what the README says it does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent.parent / "README.md"


def test_the_program_prints_what_its_comments_promise(tmp_path):
    program = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    promised = re.findall(r"# (\[.*?\])", program)
    script = tmp_path / "program.py"
    script.write_text(program, encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.split("\n")[:-1] == promised
