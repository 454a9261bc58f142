"""phalanx in the place of `multiprocessing`: `patch`, `unpatch` and `python -m phalanx`."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest
import support

pytestmark = pytest.mark.phalanx_only

REPORT = """
import sys
print(__name__, __spec__ and __spec__.name, sys.argv[1:], sys.path[0])
"""


def python(*arguments, cwd=None, **environment):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(code):
    return python("-c", code)


def test_names_imported_before_and_after():
    out = run("""
import sys
import multiprocessing
import multiprocessing.pool
from multiprocessing import Queue, get_context
standard = dict(vars(multiprocessing))
modules = {name: module for name, module in sys.modules.items() if name.startswith("multiprocessing")}
import phalanx
finders = list(sys.meta_path)
phalanx.patch()
phalanx.patch()
assert multiprocessing.Process is phalanx.Process
assert multiprocessing.pool.Pool is phalanx.pool.Pool
assert type(Queue()) is phalanx.queues.Queue
assert get_context("spawn") is phalanx.get_context("spawn")
import multiprocessing as again
import multiprocessing.connection
from multiprocessing import managers, shared_memory
from multiprocessing.pool import ThreadPool
import multiprocessing.dummy.connection
assert again is phalanx and ThreadPool is phalanx.pool.ThreadPool
assert managers.__name__ == "phalanx.managers"
assert multiprocessing.dummy.connection.__name__ == "phalanx.dummy.connection"
assert phalanx.pool.__spec__.name == "phalanx.pool"
phalanx.unpatch()
phalanx.unpatch()
import multiprocessing as last
assert vars(last) == standard
assert {n: m for n, m in sys.modules.items() if n.startswith("multiprocessing")} == modules
assert sys.meta_path == finders
assert get_context("spawn").__class__.__module__ == "multiprocessing.context"
from multiprocessing.queues import SimpleQueue
assert SimpleQueue.__module__ == "multiprocessing.queues"
print("done")
""")
    assert out == "done\n"


def test_nothing_is_imported_by_it():
    out = run("""
import phalanx, sys
before = set(sys.modules)
phalanx.patch()
print(sorted(name for name in set(sys.modules) - before if not name.startswith(("importlib", "phalanx"))))
""")
    assert "multiprocessing" not in out


CHILDREN = """
import multiprocessing
import sys
import phalanx

def where(_):
    import multiprocessing
    import multiprocessing.pool
    return multiprocessing.__name__, multiprocessing.pool.__name__

if __name__ == "__main__":
    for method in multiprocessing.get_all_start_methods():
        if {patch}:
            phalanx.patch()
        with phalanx.get_context(method).Pool(1) as pool:
            print(*pool.map(where, [1])[0])
        phalanx.unpatch()
        with phalanx.get_context(method).Pool(1) as pool:
            print(*pool.map(where, [1])[0])
"""


def test_children_do_as_their_parent(tmp_path):
    (tmp_path / "program.py").write_text(CHILDREN.format(patch=True))
    # The forkserver is still the one that was started while multiprocessing was replaced.
    out = python("program.py", cwd=tmp_path).splitlines()
    assert out == ["phalanx phalanx.pool", "multiprocessing multiprocessing.pool"] * 3


def test_logging_names_the_process(tmp_path):
    (tmp_path / "program.py").write_text("""
import logging
import multiprocessing
import sys

def work():
    logging.basicConfig(format="%(processName)s", stream=sys.stdout, force=True)
    logging.error("")

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    work()
    process = multiprocessing.Process(target=work, name="the child")
    process.start()
    process.join()
""")
    for method in support.START_METHODS:
        assert python("-u", "-m", "phalanx", "program.py", method, cwd=tmp_path) == "MainProcess\nthe child\n"


def test_run_script(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "script.py").write_text(REPORT)
    script = os.path.join("folder", "script.py")
    out = python("-m", "phalanx", script, "-x", "y", cwd=tmp_path)
    assert out == f"__main__ None ['-x', 'y'] {os.path.realpath(tmp_path / 'folder')}\n"
    assert out == python(script, "-x", "y", cwd=tmp_path)


def test_run_module(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "__main__.py").write_text(REPORT)
    (tmp_path / "module.py").write_text(REPORT)
    for name in ("module", "package"):
        out = python("-m", "phalanx", "-m", name, "a", cwd=tmp_path)
        assert out == python("-m", name, "a", cwd=tmp_path)


def test_run_folder_archive_and_standard_input(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text(REPORT)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", REPORT)
    for name in ("folder", "archive.zip"):
        assert python("-m", "phalanx", name, "a", cwd=tmp_path) == python(name, "a", cwd=tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "phalanx", "-"], input=REPORT, capture_output=True, text=True
    )
    assert done.stdout == "__main__ None [] \n", done.stderr


def test_run_code():
    assert python(
        "-m", "phalanx", "-c", "import sys, multiprocessing as m; print(m.__name__, sys.argv)", "a"
    ) == ("phalanx ['-c', 'a']\n")


@pytest.mark.parametrize("arguments", [[], ["-m"], ["-x"], ["/no/such/file.py"]])
def test_wrong_arguments(arguments):
    done = subprocess.run([sys.executable, "-m", "phalanx", *arguments], capture_output=True, text=True)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr


@pytest.mark.parametrize("method", support.START_METHODS)
def test_standard_executor_on_top(method, tmp_path):
    (tmp_path / "program.py").write_text("""
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

class Unpicklable:
    def __reduce__(self):
        raise TypeError("this stays here")

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    with ProcessPoolExecutor(1) as executor:
        print(executor.submit(pow, 2, 5).result(30))
        print(executor.submit(abs, Unpicklable()).exception(30))
        print(executor.submit(pow, 2, 6).result(30))
""")
    out = python("-m", "phalanx", "program.py", method, cwd=tmp_path)
    first, error, last = out.splitlines()
    assert (first, last) == ("32", "64")
    assert error.startswith("this stays here")
