"""Contexts, start methods and what the module itself offers."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest
from support import LIBRARY, START_METHODS, mp, phalanx_only, run_script, submodule


@pytest.mark.parametrize("method", START_METHODS)
def test_get_context(method):
    context = mp.get_context(method)
    assert context.get_start_method() == method
    assert context is mp.get_context(method)


def test_default_method_is_that_of_the_interpreter(tmp_path):
    done = run_script(
        tmp_path,
        """
        import multiprocessing
        import LIBRARY as mp
        print(mp.get_start_method(allow_none=True))
        print(mp.get_start_method() == multiprocessing.get_start_method())
        print(mp.get_all_start_methods() == multiprocessing.get_all_start_methods())
        print(mp.get_context().get_start_method() == multiprocessing.get_start_method())
        """,
    )
    assert done.stdout.split() == ["None", "True", "True", "True"]


def test_all_start_methods():
    assert set(mp.get_all_start_methods()) == {"fork", "spawn", "forkserver"}
    assert mp.get_all_start_methods()[0] == multiprocessing.get_all_start_methods()[0]


@pytest.mark.parametrize("method", START_METHODS)
def test_set_start_method_is_used_by_the_module(tmp_path, method):
    done = run_script(
        tmp_path,
        """
        import sys
        import LIBRARY as mp

        def child(queue):
            queue.put((mp.get_start_method(), mp.current_process().name))

        if __name__ == "__main__":
            mp.set_start_method(sys.argv[1])
            print(mp.get_start_method())
            queue = mp.Queue()
            process = mp.Process(target=child, args=(queue,))
            process.start()
            print(*queue.get())
            process.join()
            with mp.Pool(2) as pool:
                print(pool.map(abs, [-1, -2]))
        """,
        method,
    )
    assert done.stdout.splitlines() == [method, f"{method} Process-1", "[1, 2]"]


def test_set_start_method_only_once_unless_forced(tmp_path):
    done = run_script(
        tmp_path,
        """
        import LIBRARY as mp
        mp.set_start_method("spawn")
        try:
            mp.set_start_method("fork")
        except RuntimeError as error:
            print("RuntimeError:", error)
        mp.set_start_method("fork", force=True)
        print(mp.get_start_method())
        mp.set_start_method(None, force=True)
        print(mp.get_start_method(allow_none=True))
        try:
            mp.get_context("spawn").set_start_method("fork")
        except ValueError:
            print("ValueError")
        """,
    )
    assert done.stdout.splitlines() == [
        "RuntimeError: context has already been set",
        "fork",
        "None",
        "ValueError",
    ]


def test_unknown_method():
    with pytest.raises(ValueError, match="sideways"):
        mp.get_context("sideways")


def test_cpu_count():
    assert isinstance(mp.cpu_count(), int)
    assert mp.cpu_count() >= 1
    assert mp.get_context().cpu_count() == mp.cpu_count()


@phalanx_only
def test_cpu_count_respects_affinity():
    one = min(os.sched_getaffinity(0))
    counted = subprocess.run(
        ["taskset", "-c", str(one), sys.executable, "-c", f"import {LIBRARY} as m; print(m.cpu_count())"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert counted.stdout.strip() == "1", counted.stderr


NAMES = [
    "Array", "AuthenticationError", "Barrier", "BoundedSemaphore", "BufferTooShort", "Condition",
    "Event", "JoinableQueue", "Lock", "Pipe", "Pool", "Process", "ProcessError", "Queue", "RLock",
    "RawArray", "RawValue", "Semaphore", "SimpleQueue", "TimeoutError", "Value", "active_children",
    "cpu_count", "current_process", "freeze_support", "get_all_start_methods", "get_context",
    "get_start_method", "parent_process", "set_start_method", "set_executable",
    "set_forkserver_preload", "get_logger", "log_to_stderr",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_module_and_the_contexts_have(name):
    assert callable(getattr(mp, name))
    if name != "get_all_start_methods":  # that one belongs to the default context alone
        assert callable(getattr(mp.get_context("spawn"), name))
    assert name in mp.__all__


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("context", "BaseContext Process ForkContext SpawnContext ForkServerContext TimeoutError"),
        ("process", "BaseProcess current_process active_children parent_process"),
        ("pool", "Pool AsyncResult MapResult IMapIterator IMapUnorderedIterator MaybeEncodingError"),
        ("queues", "Queue SimpleQueue JoinableQueue Empty Full"),
        ("connection", "Connection Pipe wait"),
        ("synchronize", "Lock RLock Semaphore BoundedSemaphore Condition Event Barrier"),
        ("sharedctypes", "Value Array RawValue RawArray synchronized copy"),
        ("spawn", "freeze_support set_executable get_executable"),
        ("forkserver", "set_forkserver_preload ensure_running"),
        ("reduction", "ForkingPickler dump register"),
        ("util", "get_logger log_to_stderr Finalize"),
    ],
)
def test_submodules_have_the_names(module, names):
    there = submodule(module)
    missing = [name for name in names.split() if not hasattr(there, name)]
    assert missing == []


def test_exception_classes():
    assert issubclass(mp.TimeoutError, mp.ProcessError)
    assert issubclass(mp.BufferTooShort, mp.ProcessError)
    assert issubclass(mp.AuthenticationError, mp.ProcessError)
    assert issubclass(submodule("pool").MaybeEncodingError, Exception)


@phalanx_only
def test_exceptions_are_caught_by_the_standard_names():
    """A program that catches the standard library's classes goes on working."""
    for name in ("TimeoutError", "BufferTooShort", "AuthenticationError", "ProcessError"):
        with pytest.raises(getattr(multiprocessing, name)):
            raise getattr(mp, name)()


def test_freeze_support_does_nothing_in_a_normal_program():
    assert mp.freeze_support() is None


def test_import_starts_nothing(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os
        before = set(os.listdir("/proc/self/fd"))
        import LIBRARY
        print(len(os.listdir("/proc/self/task")))
        print(sorted(set(os.listdir("/proc/self/fd")) - before))
        print(open(f"/proc/self/task/{os.getpid()}/children").read().strip())
        """,
    )
    assert done.stdout.splitlines() == ["1", "[]", ""]
