"""What the tests of the Python door share.

``PHALANX_TEST_LIBRARY=multiprocessing`` runs every test whose semantics equal the standard
library's against the standard library itself: that is the proof that the tests are right. Tests of
what phalanx does on purpose in another way carry the mark ``phalanx_only``.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import watchdog

LIBRARY = os.environ.setdefault("PHALANX_TEST_LIBRARY", "phalanx")
IS_PHALANX = LIBRARY == "phalanx"
TESTS = Path(__file__).resolve().parent
START_METHODS = os.environ.get("PHALANX_TEST_METHODS", "fork spawn forkserver").split()
# How long a wait may last before the test counts as failed. No test asserts anything shorter.
PATIENCE = float(os.environ.get("PHALANX_TEST_PATIENCE", "30"))

mp = importlib.import_module(LIBRARY)
phalanx_only = pytest.mark.phalanx_only
slow = pytest.mark.slow
big = pytest.mark.big


def submodule(name: str):
    """A submodule of the library under test, by its name in ``multiprocessing``."""
    return importlib.import_module(f"{LIBRARY}.{name}")


class Hung(BaseException):
    """Raised by the watchdog in the main thread of a test that takes too long."""


def wait_until(condition, what: str, timeout: float = PATIENCE):
    """Poll `condition` until it holds and return its value; for what offers nothing to wait on."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"still not so after {timeout} s: {what}")
        time.sleep(0.005)
    return value


# --- processes ------------------------------------------------------------------------------------


def state(pid: int) -> str | None:
    """The kernel's letter for the state of a process; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return None


def runs(pid: int) -> bool:
    """Whether a process exists and has not ended (a zombie has)."""
    return state(pid) not in (None, "Z", "X")


# Processes a library keeps for its own service; they may outlive a test but not the test run.
SERVICE = ("resource_tracker", "forkserver", "zygote", "watchdog.py")


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def children() -> set[int]:
    """All descendants of this process, zombies too, without the service processes."""
    known = watchdog.parents()
    below = set(watchdog.descendants(os.getpid(), known))
    # A child of a forkserver carries the forkserver's command line, so the line alone does not
    # tell; a service process is one that this process itself started.
    service = {
        pid
        for pid in below
        if known[pid] == os.getpid() and any(word in command_line(pid) for word in SERVICE)
    }
    return below - service


def arena_census() -> tuple[int, int, int, int]:
    """Shared objects, their parts, chunks of one process each, and bytes of memory in use."""
    return importlib.import_module("phalanx._core").arena_census() if IS_PHALANX else (0, 0, 0, 0)


def dump_state() -> str:
    """What the library says of the memory that processes share."""
    return importlib.import_module("phalanx._core").dump_state() if IS_PHALANX else ""


_is_warm = False


def warm_up() -> None:
    """Let everything come to be that a library makes once and keeps: service processes and the like."""
    global _is_warm
    if not _is_warm:
        _is_warm = True
        for method in START_METHODS:
            process = mp.get_context(method).Process(target=time.sleep, args=(0,))
            process.start()
            process.join()
            process.close()
        here, there = mp.Pipe()  # passing a connection on takes a thread
        here.send(there)
        for connection in (there.recv(), here, there):
            connection.close()


@dataclass
class Resources:
    """What this process holds: take two and compare them."""

    descriptors: dict[int, str] = field(default_factory=dict)
    children: set[int] = field(default_factory=set)
    threads: int = 0
    mappings: int = 0
    files: set[str] = field(default_factory=set)
    # In shared memory: objects with their parts, chunks that belong to one process each, bytes behind all of it.
    arena: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def now(cls) -> Resources:
        gc.collect()
        descriptors = {}
        for entry in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
                descriptors[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
        with open("/proc/self/maps") as maps:
            mappings = sum(1 for _ in maps)
        # What this library, or the standard one, would make there; other programs run beside the tests.
        files = {
            str(path) for word in ("psm_", "sem.mp-", "phalanx") for path in Path("/dev/shm").glob(f"{word}*")
        }
        files |= {str(path) for path in Path(os.environ.get("TMPDIR", "/tmp")).glob("pymp-*")}
        threads = len(os.listdir("/proc/self/task"))
        return cls(descriptors, children(), threads, mappings, files, arena_census())

    def settle(
        self, slack_descriptors: int = 0, slack_mappings: int = 40, slack_bytes: int = 256 << 10
    ) -> None:
        """Wait until this process holds no more than in the snapshot `self`.

        Mappings get some slack, since the allocator of Python maps and unmaps as it likes; so do bytes,
        since a queue that lives on keeps the room that it has needed once.
        """

        def excess() -> str:
            now = Resources.now()
            found = []
            if now.children - self.children:
                lines = [watchdog.describe(pid) for pid in now.children - self.children]
                found.append("children:\n" + "\n".join(lines))
            if len(now.descriptors) > len(self.descriptors) + slack_descriptors:
                extra = {fd: to for fd, to in now.descriptors.items() if fd not in self.descriptors}
                found.append(f"descriptors: {extra}")
            if now.threads > self.threads:
                found.append(f"threads: {self.threads} before, {now.threads} after")
            if now.mappings > self.mappings + slack_mappings:
                found.append(f"mappings: {self.mappings} before, {now.mappings} after")
            if now.files - self.files:
                found.append(f"files: {sorted(now.files - self.files)}")
            kinds = ("objects", "parts of objects", "chunks of one process", "bytes")
            more = [
                f"{after - before} more {kind}"
                for kind, before, after in zip(kinds, self.arena, now.arena, strict=True)
                if after > before + (slack_bytes if kind == "bytes" else 0)
            ]
            if more:
                found.append(f"shared memory: {', '.join(more)}\n{dump_state()}")
            return "; ".join(found)

        deadline = time.monotonic() + PATIENCE
        while left := excess():
            if time.monotonic() > deadline:
                pytest.fail(f"left behind: {left}")
            time.sleep(0.02)


# --- whole programs -------------------------------------------------------------------------------


def marked_processes(token: str) -> list[int]:
    """The running processes that carry `token` in their environment, whoever their parent is."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if token.encode() in Path(f"/proc/{entry}/environ").read_bytes() and runs(int(entry)):
                    found.append(int(entry))
    return found


def heed_signals() -> None:
    """Heed the terminal's keys and its end, as every program does that this process starts.

    Run by `nohup` or in the background of a script it ignores them, and would hand that on.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Script:
    """A program of its own, in its own session, with all its descendants marked.

    Every occurrence of the word ``LIBRARY`` in the source becomes the library under test. On leaving
    the ``with`` block nothing of the program is alive any more.
    """

    def __init__(
        self, directory: Path, source: str, *arguments: str, limits=None, env=None, options=(), prefix=()
    ):
        self.token = f"phalanx-test-{uuid.uuid4().hex}"
        path = Path(directory) / "program.py"
        path.write_text(textwrap.dedent(source).replace("LIBRARY", LIBRARY))
        environment = {
            **os.environ,
            "PHALANX_TEST_TOKEN": self.token,
            "PHALANX_TEST_LIBRARY": LIBRARY,
            "PYTHONFAULTHANDLER": "1",
            "PYTHONUNBUFFERED": "",  # whole lines, also of several processes at once
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
            **(env or {}),
        }
        self.process = subprocess.Popen(
            [*prefix, sys.executable, *options, str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
            preexec_fn=limits,
        )

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_) -> None:
        for pid in marked_processes(self.token):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> list[int]:
        """Every process of the program that still runs."""
        return marked_processes(self.token)

    def line(self) -> str:
        """The next line the program prints."""
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(f"the program ended early:\n{self.process.stderr.read()}")
        return line.strip()

    def signal_group(self, signum: int) -> None:
        """What the terminal does for Ctrl-C: signal the whole process group."""
        os.killpg(self.process.pid, signum)

    def finish(self, timeout: float = 2 * PATIENCE) -> subprocess.CompletedProcess:
        """Wait for the end; a program that does not end prints its stacks and fails the test."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            for pid in self.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGABRT)
            # Whatever survives an abort would keep the pipes open and us waiting.
            time.sleep(1)
            for pid in self.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            out, err = self.process.communicate()
            pytest.fail(
                f"the program still ran after {timeout} s\n--- stdout\n{out[-4000:]}\n--- stderr\n{err[-8000:]}"
            )
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, out, err)


@contextlib.contextmanager
def memory_group(limit):
    """A memory control group of version 1 or 2; gives the prefix of a command that is to run in it."""
    old, new = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    is_old = (old / "cgroup.procs").exists()
    group = (old if is_old else new) / f"phalanx-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if is_old else "memory.max")).write_text(str(limit))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"control groups cannot be made here: {error}")
    members = group / "cgroup.procs"
    try:
        yield ("sh", "-c", f'echo $$ > {members}; exec "$@"', "sh")
    finally:
        wait_until(lambda: not members.read_text(), "the group is empty")
        group.rmdir()


def run_script(directory: Path, source: str, *arguments: str, check: bool = True, **options):
    """Run a whole program and return what it printed; with `check`, it has to exit with 0."""
    with Script(directory, source, *arguments, **options) as script:
        done = script.finish()
        if check and done.returncode != 0:
            pytest.fail(
                f"exit code {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr[-8000:]}"
            )
        return done
