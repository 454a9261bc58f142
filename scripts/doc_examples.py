"""Checks that every public item of crate `phalanx` is documented with an example that is compiled."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = {"function", "struct", "enum", "union", "trait", "macro", "proc_macro", "type_alias"}
# Items without an example, by path, each with the reason.
EXEMPT: dict[str, str] = {}
FENCE = re.compile(r"^\s*```([^\n`]*)\n(.*?)^\s*```\s*$", re.MULTILINE | re.DOTALL)
NOT_COMPILED = {"text", "ignore", "sh", "toml", "python", "json"}


def has_example(docs: str | None) -> bool:
    """Whether there is a block of Rust that `cargo test --doc` compiles."""
    return any(not NOT_COMPILED & set(re.split(r"[,\s]+", info)) for info, _ in FENCE.findall(docs or ""))


class Crate:
    """What rustdoc says of a crate, walked from its root along what is public."""

    def __init__(self, described: dict) -> None:
        self.index = described["index"]
        self.root = described["root"]
        self.lacking: list[tuple[str, str]] = []
        self.total = 0
        self._seen: set[int] = set()

    def walk(self, ident: int, path: str = "", trait: bool = False) -> None:
        item = self.index.get(str(ident))
        if item is None or ident in self._seen:
            return
        self._seen.add(ident)
        kind, inner = next(iter(item["inner"].items()))
        if not (item["visibility"] == "public" or kind == "impl" or trait):
            return
        if kind == "use":
            self.walk(inner["id"], path)
            return
        name = path if kind == "impl" else f"{path}::{item['name']}" if path else item["name"]
        if kind in KINDS:
            self.total += 1
            if not has_example(item["docs"]):
                span = item["span"]
                self.lacking.append((name, f"{span['filename']}:{span['begin'][0]}"))
        if kind == "impl" and inner["trait"] is not None:
            return
        for child in inner.get("items", []) if isinstance(inner, dict) else []:
            self.walk(child, name, trait=kind == "trait")
        for child in inner.get("impls", []) if kind in ("struct", "enum", "union") else []:
            self.walk(child, name)


def described() -> dict:
    """What rustdoc says of the crate, in its unstable format."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    command = ["cargo", "rustdoc", "--quiet", "--package", "phalanx", "--all-features", "--lib", "--"]
    command += ["-Z", "unstable-options", "--output-format", "json"]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "RUSTDOC": str(ROOT / "scripts" / "rustdoc-unstable")})
    return json.loads((target / "doc" / "phalanx.json").read_text(encoding="utf-8"))


def main() -> int:
    crate = Crate(described())
    crate.walk(crate.root)
    lacking = [(name, where) for name, where in crate.lacking if name not in EXEMPT]
    for name in sorted(EXEMPT.keys() - {name for name, _ in crate.lacking}):
        print(f"{name} is exempt from having an example, and has one or is not public", file=sys.stderr)
    for name, where in lacking:
        print(f"{where}: {name} has no example", file=sys.stderr)
    print(f"examples: {len(lacking)} of {crate.total} public items lack one")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
