"""Checks that every public item of crate `phalanx` is documented with an example that is compiled.

What counts is what rustdoc shows: items that are hidden from it need none, nor do fields, variants, constants
and implementations of traits.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATE = "phalanx"
NEED_ONE = {"function", "struct", "enum", "union", "trait", "macro", "type_alias"}
# Items that have none, by their path, each with the reason. Ended by whoever gives one to them.
EXEMPT: dict[str, str] = {}
FENCE = re.compile(r"^ *```([^`\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
NOT_RUST = {"console", "ignore", "json", "python", "sh", "text", "toml"}


def has_example(docs: str | None) -> bool:
    """Whether the documentation has a program that `cargo test --doc` compiles."""
    blocks = (re.split(r"[,\s]+", language) for language, _ in FENCE.findall(docs or ""))
    return any(NOT_RUST.isdisjoint(words) for words in blocks)


def items(described: dict) -> Iterator[tuple[str, dict]]:
    """The public items that rustdoc describes, each once, by the shortest path that leads there."""
    index = described["index"]
    seen: set[int] = set()
    waiting = [("", described["root"], False)]
    for path, number, is_in_trait in waiting:
        item = index.get(str(number))
        if item is None or number in seen:
            continue
        kind, inner = next(iter(item["inner"].items()))
        if kind == "impl":
            waiting += [] if inner["trait"] else [(path, member, False) for member in inner["items"]]
        elif item["visibility"] != "public" and not is_in_trait:
            continue
        elif kind == "use":
            waiting.append((path, inner["id"], False))
            continue
        else:
            path = f"{path}::{item['name']}" if path else item["name"]
            if kind in NEED_ONE:
                yield path, item
            members = inner.get("items", []) if kind in ("module", "trait") else []
            waiting += [(path, member, kind == "trait") for member in members]
            waiting += [(path, impl, False) for impl in inner.get("impls", ())] if kind in ("struct", "enum", "union") else []
        seen.add(number)


def without_example(described: dict) -> dict[str, str]:
    """The items that have no example, and where they are."""
    found = {}
    for path, item in items(described):
        if not has_example(item["docs"]):
            span = item["span"] or {"filename": "?", "begin": [0]}
            found[path] = f"{span['filename']}:{span['begin'][0]}"
    return found


def describe() -> dict:
    """What rustdoc says of the crate, in its format for machines, which is not stable."""
    command = ["cargo", "rustdoc", "--quiet", "--package", CRATE, "--all-features", "--lib"]
    command += ["--", "-Z", "unstable-options", "--output-format", "json"]
    rustdoc = str(ROOT / "scripts" / "rustdoc-unstable")
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "RUSTDOC": rustdoc})
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return json.loads((ROOT / target / "doc" / f"{CRATE}.json").read_text(encoding="utf-8"))


def main() -> int:
    described = describe()
    total = sum(1 for _ in items(described))
    lacking = without_example(described)
    for path in EXEMPT.keys() - lacking.keys():
        print(f"{path} is exempt from having an example, and has one or is not there", file=sys.stderr)
    for path in lacking.keys() - EXEMPT.keys():
        print(f"{lacking[path]}: {path} has no example", file=sys.stderr)
    failed = EXEMPT.keys() ^ lacking.keys()
    print(f"examples: {total - len(lacking)} of {total} public items of {CRATE} have one")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
