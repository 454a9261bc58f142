"""Checks that every link between the pages of this repository leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, formed as the usual renderers form them."""
    headings = re.findall(
        r"^#+\s+(.*?)\s*$",
        CODE.sub(lambda m: m[0].strip("`") if "\n" not in m[0] else "", text),
        re.MULTILINE,
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere; links to the network are not followed."""
    found = []
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        if not other.exists() or (
            anchor and other.suffix == ".md" and anchor not in anchors(other.read_text(encoding="utf-8"))
        ):
            found.append(target)
    return found


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    pages = [ROOT / name for name in listed.stdout.split()] or list(ROOT.glob("*.md"))
    found = [(page, target) for page in pages if page.exists() for target in broken(page)]
    for page, target in found:
        print(f"{page.relative_to(ROOT)}: the link to {target} leads nowhere", file=sys.stderr)
    print(
        f"links: {len(found)} of {len(pages)} pages' links are broken"
        if found
        else f"links: {len(pages)} pages in order"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
