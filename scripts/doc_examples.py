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
# The crate that is checked, and those of which it shows items as its own.
CRATES = ["phalanx", "phalanx_macros", "phalanx_os", "phalanx_shm"]
NEED_ONE = {"function", "struct", "enum", "union", "trait", "macro", "proc_macro", "type_alias"}
# Items that have none, by their path, each with the reason. Ended by whoever gives one to them.
EXEMPT: dict[str, str] = {}
FENCE = re.compile(r"^ *```([^`\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
NOT_RUST = {"console", "ignore", "json", "python", "sh", "text", "toml"}


def has_example(docs: str | None) -> bool:
    """Whether the documentation has a program that `cargo test --doc` compiles."""
    blocks = (re.split(r"[,\s]+", language) for language, _ in FENCE.findall(docs or ""))
    return any(NOT_RUST.isdisjoint(words) for words in blocks)


Start = tuple[str, int, bool]
"""Where to look: the path so far, the item's number, and whether it is a trait's."""


def items(described: dict, starts: list[Start], elsewhere: list[Start]) -> Iterator[tuple[str, dict]]:
    """The public items that rustdoc describes, each once, by a short path that leads there.

    What other crates describe is added to `elsewhere`.
    """
    index = described["index"]
    seen: set[int] = set()
    waiting = list(starts)
    for path, number, is_in_trait in waiting:
        item = index.get(str(number))
        if item is None:
            elsewhere.append((path, number, False))
            continue
        kind, inner = next(iter(item["inner"].items()))
        if number in seen or not (item["visibility"] == "public" or kind == "impl" or is_in_trait):
            continue
        if kind == "use":
            waiting.append((path, inner["id"], False))
            continue
        seen.add(number)
        if kind == "impl":
            waiting += [] if inner["trait"] else [(path, member, False) for member in inner["items"]]
            continue
        if kind == "type_alias" and (meant := inner["type"].get("resolved_path")):
            # Its page shows the methods of the type that it stands for.
            waiting.append((path, meant["id"], False))
        path = f"{path}::{item['name']}" if path else item["name"]
        if kind in NEED_ONE:
            yield path, item
        if kind in ("module", "trait"):
            waiting += [(path, member, kind == "trait") for member in inner["items"]]
        elif kind in ("struct", "enum", "union"):
            waiting += [(path, impl, False) for impl in inner["impls"]]


def all_items(crates: dict[str, dict]) -> list[tuple[str, dict]]:
    """The public items of the first crate, with those that it shows of the others."""
    described = next(iter(crates.values()))
    elsewhere: list[Start] = []
    found = list(items(described, [("", described["root"], False)], elsewhere))
    for path, number, _ in elsewhere:
        place = described["paths"][str(number)]["path"]
        other = crates.get(place[0])
        if other is None:
            continue
        same = [int(number) for number, item in other["paths"].items() if item["path"] == place]
        found += items(other, [(path, number, False) for number in same], [])
    return found


def without_example(found: list[tuple[str, dict]]) -> dict[str, str]:
    """The items that have no example, and where they are."""
    lacking = {}
    for path, item in found:
        if not has_example(item["docs"]):
            span = item["span"] or {"filename": "?", "begin": [0]}
            lacking[path] = f"{span['filename']}:{span['begin'][0]}"
    return lacking


def describe(crate: str) -> dict:
    """What rustdoc says of a crate, in its format for machines, which is not stable."""
    command = ["cargo", "rustdoc", "--quiet", "--package", crate.replace("_", "-"), "--lib"]
    command += ["--", "-Z", "unstable-options", "--output-format", "json"]
    rustdoc = str(ROOT / "scripts" / "rustdoc-unstable")
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "RUSTDOC": rustdoc})
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return json.loads((ROOT / target / "doc" / f"{crate}.json").read_text(encoding="utf-8"))


def main() -> int:
    found = all_items({crate: describe(crate) for crate in CRATES})
    lacking = without_example(found)
    for path in EXEMPT.keys() - lacking.keys():
        print(f"{path} is exempt from having an example, and has one or is not there", file=sys.stderr)
    for path in lacking.keys() - EXEMPT.keys():
        print(f"{lacking[path]}: {path} has no example", file=sys.stderr)
    print(f"examples: {len(found) - len(lacking)} of {len(found)} public items of {CRATES[0]} have one")
    return 1 if EXEMPT.keys() ^ lacking.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
