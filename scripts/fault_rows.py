"""The rows of docs/guides/faults.md and the tests that they name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs/guides/faults.md"
NAMED = re.compile(r"\]\(([^)]+\.py)\)`::(\w+)`")


def rows() -> list[tuple[str, list[tuple[Path, str]]]]:
    """Each row's first words and its tests: the file and the function."""
    found, first = [], ""
    for line in GUIDE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 3 or cells[0] in ("---", "what happens"):
            continue
        first = cells[0] or f"{first} (more)"
        tests = [((GUIDE.parent / path).resolve(), name) for path, name in NAMED.findall(cells[2])]
        found.append((first, tests))
    return found


def functions(path: Path) -> set[str]:
    """The names of a file's functions; none if there is no such file."""
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def mistakes() -> list[str]:
    """What is wrong with the table."""
    found = []
    for first, tests in rows():
        if not tests:
            found.append(f"no test shows: {first}")
        found += [
            f"there is no {name} in {path.relative_to(ROOT)}, which is to show: {first}"
            for path, name in tests
            if name not in functions(path)
        ]
    return found
