"""Checks what a wheel of phalanx holds: all that it must, nothing that it must not."""

from __future__ import annotations

import re
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

MUST_HOLD = ("phalanx/__init__.py", "phalanx/py.typed", "phalanx/_core.pyi")


def complaints(file: str, names: list[str], metadata: str, tag: str) -> list[str]:
    """What is wrong with a wheel, given its name, entries, METADATA and the interpreter's tag."""
    found = [f"it lacks {name}" for name in MUST_HOLD if name not in names]
    extensions = [name for name in names if name.endswith(".so")]
    if len(extensions) != 1 or not extensions[0].startswith("phalanx/_core."):
        found.append(f"it should hold one extension module, phalanx/_core, not {extensions}")
    if not any(re.fullmatch(r"phalanx-[^/]+\.data/scripts/phalanx", name) for name in names):
        found.append("it lacks the command phalanx")
    strays = [
        n
        for n in names
        if not re.match(r"phalanx/|phalanx-[^/]+\.(dist-info/|data/scripts/phalanx$)", n)
        or "/tests/" in n
        or n.endswith(".pyc")
    ]
    found += [f"it should not hold {name}" for name in strays]
    found += [
        f"it lacks {name}"
        for name in ("LICENSE-MIT", "LICENSE-APACHE")
        if not any(n.endswith(name) for n in names)
    ]
    if f"-{tag}-{tag}-" not in file or "abi3" in file:
        found.append(f"it should be for this interpreter alone ({tag})")
    needs = Parser().parsestr(metadata).get_all("Requires-Dist") or []
    found += [
        f"it needs {need}" for need in needs if "extra ==" not in need and not need.startswith("cloudpickle")
    ]
    return found


def main() -> int:
    wheel = Path(sys.argv[1])
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        found = complaints(
            wheel.name,
            names,
            archive.read(metadata).decode(),
            f"cp{sys.version_info[0]}{sys.version_info[1]}",
        )
    for complaint in found:
        print(f"{wheel.name}: {complaint}", file=sys.stderr)
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1e6:.1f} MB")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
