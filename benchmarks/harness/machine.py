"""The machine: what a reader needs in order to weigh the numbers."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# From here on, other programs had a part in the numbers.
BUSY_SHARE = 0.10
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def facts() -> dict[str, Any]:
    """Processor, kernel, interpreter and what was installed; no name that tells the machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(_memory_kib() / 1024 / 1024, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "huge_pages": _chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "shared_huge_pages": _chosen("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "python_compiler": platform.python_compiler(),
        "python_build": _python_build(),
        "virtual_environment": sys.prefix != sys.base_prefix,
        "packages": _versions("phalanx", "numpy", "cloudpickle"),
        "commit": _commit(),
        "load": load(),
    }


def load() -> list[float]:
    """The load averages over one, five and fifteen minutes."""
    return [round(average, 2) for average in os.getloadavg()]


class BusyTime:
    """How much of the machine other programs used since this object was made.

    The processors' busy and stolen time, less what this process and its ended children used.
    """

    def __init__(self) -> None:
        self._total, self._busy = _processor_ticks()
        self._own = _own_seconds()

    def others_share(self) -> float:
        """The share of all processor time, 0 to 1, that went to others."""
        total, busy = _processor_ticks()
        own = (_own_seconds() - self._own) * TICKS_PER_SECOND
        elapsed = total - self._total
        return max(0.0, (busy - self._busy - own) / elapsed) if elapsed else 0.0


def _processor_ticks() -> tuple[int, int]:
    """All ticks, and the busy ones (all but idle and waiting for disks), of all processors."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    # user nice system idle iowait irq softirq steal; guest time is in user's already
    ticks = list(map(int, line.split()[1:9]))
    return sum(ticks), sum(ticks) - ticks[3] - ticks[4]


def _own_seconds() -> float:
    used = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        used += usage.ru_utime + usage.ru_stime
    return used


def _processor() -> str:
    for line in _text("/proc/cpuinfo").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_kib() -> int:
    return int(_text("/proc/meminfo").split()[1])


def _chosen(path: str) -> str:
    """The bracketed word of a kernel setting."""
    return _text(path).partition("[")[2].partition("]")[0] or "unknown"


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _python_build() -> str:
    """The build choices that change how fast the interpreter itself is."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    choices = ("--enable-optimizations", "--with-lto", "--enable-shared", "--with-pydebug")
    return " ".join(choice for choice in choices if choice in arguments) or "plain"


def _versions(*names: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _commit() -> str | None:
    """The commit that is measured, with a mark when files differ from it."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
        )
    except OSError:
        return None
    return answer.stdout.strip() or None
