"""Reads Rust source as far as the checks need it: what is code, what is comment, what is a test."""

from __future__ import annotations

import re
from pathlib import Path

_TOKEN = re.compile(
    r"""
      (?P<line>//[^\n]*)
    | (?P<block>/\*)
    | (?P<text>
          \b(?:br|cr|r)(?P<hashes>\#*)".*?"(?P=hashes)
        | \b[bc]?"(?:\\.|[^"\\])*"
        | "(?:\\.|[^"\\])*"
        | '(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^'\\\n])'
      )
    """,
    re.VERBOSE | re.DOTALL,
)
_TEST_MODULE = re.compile(
    r"#\[cfg\((?:test|all\([^\]]*\btest\b[^\]]*\))\)\](?:\s*#\[[^\]]*\])*\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+\s*\{"
)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _end_of_block_comment(source: str, start: int) -> int:
    """Block comments nest in Rust, so this counts."""
    depth, at = 1, start + 2
    while depth and at < len(source):
        if source.startswith("/*", at):
            depth, at = depth + 1, at + 2
        elif source.startswith("*/", at):
            depth, at = depth - 1, at + 2
        else:
            at += 1
    return at


def code_only(source: str) -> str:
    """The source with comments and the contents of literals blanked; lines stay where they were."""
    parts, at = [], 0
    while match := _TOKEN.search(source, at):
        parts.append(source[at : match.start()])
        end = _end_of_block_comment(source, match.start()) if match["block"] else match.end()
        token = source[match.start() : end]
        parts.append('""' + _blank(token[2:]) if match["text"] else _blank(token))
        at = end
    parts.append(source[at:])
    return "".join(parts)


def test_lines(code: str) -> set[int]:
    """The line numbers, from 1, of the test modules inside a file, given its `code_only` form."""
    lines: set[int] = set()
    for match in _TEST_MODULE.finditer(code):
        depth, at = 1, match.end()
        while depth and at < len(code):
            depth += {"{": 1, "}": -1}.get(code[at], 0)
            at += 1
        lines.update(range(code.count("\n", 0, match.start()) + 1, code.count("\n", 0, at) + 2))
    return lines


def rust_files(folder: Path) -> list[Path]:
    """Every Rust file below a folder, in a fixed order."""
    return sorted(path for path in folder.rglob("*.rs") if "target" not in path.parts)
