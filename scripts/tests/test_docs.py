"""The programs in the documentation print what the pages say they print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
# A program, and right after it what it prints. Other programs are shown and not run.
PROGRAM = re.compile(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", re.DOTALL)


def programs():
    for page in sorted(DOCS.rglob("*.md")):
        for number, match in enumerate(PROGRAM.finditer(page.read_text(encoding="utf-8")), 1):
            yield pytest.param(*match.groups(), id=f"{page.relative_to(DOCS)}-{number}")


@pytest.mark.parametrize(("program", "output"), list(programs()))
def test_program_prints_what_its_page_says(tmp_path, program, output):
    script = tmp_path / "program.py"
    script.write_text(program, encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == output


def test_there_are_programs():
    assert len(list(programs())) >= 6
