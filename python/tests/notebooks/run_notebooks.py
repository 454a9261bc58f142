"""Runs notebooks, given as text, in a Jupyter kernel with phalanx in the place of `multiprocessing`.

    run_notebooks.py FOLDER [--method METHOD]... [--only PATTERN] [--replace OLD=NEW]... [--seconds N]

In the text a cell begins with a line `In [N]:`. Its code goes on as far as it is Python; what follows is
its output, or prose. Each notebook runs under every start method in a kernel and a folder of its own. A
cell that raises or hangs fails, unless what it misses is a package. Lines of output that the text does
not have, numbers aside, are counted, not judged: many depend on the time or on chance.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

METHODS = ("fork", "spawn", "forkserver")
CELL = re.compile(r"^In \[[\d ]*(?:None)?\]:[ \t]*\n?", re.MULTILINE)
FIRST = """
import multiprocessing
import phalanx
phalanx.patch()
multiprocessing.set_start_method({method!r}, force=True)
assert multiprocessing.Process.__module__ == "phalanx.context"
"""


def cells(text: str) -> list[tuple[str, str]]:
    """The code of each cell, and the text that follows it."""
    return [split(part) for part in CELL.split(text)[1:]]


def split(part: str) -> tuple[str, str]:
    """Divide a cell's text after the longest beginning that is code."""
    paragraphs = re.split(r"\n[ \t]*\n", part.strip("\n"))
    end = 1
    while end < len(paragraphs) and not looks_like_output(paragraphs[end]):
        end += 1
    for count in range(end, 0, -1):
        code = "\n\n".join(paragraphs[:count])
        if parses(code):
            return code, "\n\n".join(paragraphs[count:])
    # The output follows without a blank line.
    lines = paragraphs[0].split("\n")
    for count in range(len(lines), 0, -1):
        if parses("\n".join(lines[:count])):
            return "\n".join(lines[:count]), "\n\n".join(["\n".join(lines[count:]), *paragraphs[1:]])
    return "", part


def parses(code: str) -> bool:
    """Whether a cell's code is Python, but for the commands of IPython in it."""
    lines = [re.sub(r"^([ \t]*)[%!].*", r"\1pass", line) for line in code.split("\n")]
    try:
        ast.parse("\n".join(lines))
    except SyntaxError:
        return False
    return True


def looks_like_output(paragraph: str) -> bool:
    """Whether a paragraph is Python by accident: a number, a list, a word."""
    try:
        body = ast.parse(paragraph).body
    except SyntaxError:
        return False
    plain = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.Name, ast.UnaryOp)
    return bool(body) and all(isinstance(node, ast.Expr) and isinstance(node.value, plain) for node in body)


def notebook(text: str, method: str, replacements: list[tuple[str, str]]) -> tuple:
    """A notebook made of the text, and what its cells should print."""
    made, expected = nbformat.v4.new_notebook(), []
    made.cells.append(nbformat.v4.new_code_cell(FIRST.format(method=method)))
    expected.append("")
    for code, following in cells(text):
        for old, new in replacements:
            code = code.replace(old, new)
        made.cells.append(nbformat.v4.new_code_cell(code))
        expected.append(following)
    return made, expected


def output_of(cell) -> str:
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif output.output_type in ("execute_result", "display_data"):
            texts.append(output.data.get("text/plain", ""))
    return "\n".join(texts)


def masked(text: str) -> set[str]:
    """The lines of a text, with `#` for every number."""
    return {re.sub(r"[\d.,]+", "#", line.strip()) for line in text.splitlines() if line.strip()}


def run(path: Path, method: str, options) -> bool:
    """Run one notebook; print how it went; return whether all is well."""
    replacements = [tuple(pair.split("=", 1)) for pair in options.replace]
    made, expected = notebook(path.read_text(), method, replacements)
    began, failures, missing, other, same = time.monotonic(), [], 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for cell in made.cells:
            for target in re.findall(r"^%%(?:writefile|file)\s+(\S+)", cell.source):
                (Path(folder) / target).parent.mkdir(parents=True, exist_ok=True)
        client = NotebookClient(
            made, timeout=options.seconds, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        with client.setup_kernel():
            for number, cell in enumerate(made.cells):
                try:
                    client.execute_cell(cell, number)
                except CellExecutionError as error:
                    if error.ename in ("ModuleNotFoundError", "UsageError"):
                        missing += 1
                    else:
                        failures.append(f"cell {number}: {error.ename}: {error.evalue}")
                except (CellTimeoutError, DeadKernelError) as error:
                    failures.append(f"cell {number}: {type(error).__name__} after {options.seconds} s")
                    break
                else:
                    known = masked(expected[number])
                    for line in masked(output_of(cell)):
                        same, other = (same + 1, other) if line in known else (same, other + 1)
    took = time.monotonic() - began
    print(
        f"{'FAILED' if failures else 'ok':<7}{path.name:<28}{method:<11}{len(made.cells) - 1:>3} cells "
        f"{same:>4} lines as written {other:>4} others {missing:>3} need a package {took:>7.1f} s",
        flush=True,
    )
    for failure in failures:
        print(f"       {failure}", flush=True)
    return not failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--only", default="*", help="a pattern of file names")
    parser.add_argument(
        "--replace",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="replace a text in all cells, such as the seconds that a task takes",
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="how long one cell may take")
    options = parser.parse_args()
    paths = [p for p in sorted(options.folder.glob(options.only)) if p.suffix in (".txt", ".md")]
    if not paths:
        sys.exit(f"error: there is no notebook (*.txt, *.md) in {options.folder}")
    os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
    results = [run(path, method, options) for path in paths for method in options.method or METHODS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
