"""The backend "phalanx" of joblib."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from operator import neg
from pathlib import Path

import joblib
import numpy
import phalanx
import pytest
from joblib import Parallel, delayed
from phalanx import _crews
from support import TESTS, run_script, runs, wait_until


@pytest.fixture(autouse=True)
def configured():
    with joblib.parallel_config(backend="phalanx", n_jobs=2):
        yield


def fail_at(number, place):
    if number == place:
        raise ValueError(f"no {number}")
    return number


def fail_while_others_wait(n):
    if n == 1:
        time.sleep(0.1)
        raise ValueError("no 1")
    if n > 1:
        time.sleep(60)  # Ended with its worker.
    return n


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def pid(_=None):
    return os.getpid()


def nested():
    backend = joblib.parallel.get_active_backend()[0]
    on_main_thread = Parallel(2)(delayed(is_main_thread)() for _ in range(3))
    return type(backend).__name__, backend.nesting_level, any(on_main_thread)


def is_main_thread():
    return threading.current_thread() is threading.main_thread()


def look_at(array):
    return array.flags.writeable, float(array.sum())


def variable(name):
    return os.environ.get(name)


def test_results_are_in_order():
    parallel = Parallel()
    assert type(parallel._backend).__name__ == "PhalanxBackend"
    assert parallel(delayed(neg)(n) for n in range(1000)) == [-n for n in range(1000)]


def test_it_can_be_named_in_a_call():
    assert Parallel(2, backend="phalanx")(delayed(neg)(n) for n in range(3)) == [0, -1, -2]
    phalanx.register_joblib_backend()


def test_the_error_of_a_task_ends_the_call_only():
    for _ in range(2):
        with pytest.raises(ValueError, match="no 3") as caught:
            Parallel()(delayed(fail_at)(n, 3) for n in range(100))
        assert "fail_at" in str(caught.value.__cause__)
        assert Parallel()([delayed(neg)(1)]) == [-1]


def test_the_error_of_a_task_does_not_wait_for_others():
    begin = time.monotonic()
    with pytest.raises(ValueError, match="no 1"):
        Parallel()([delayed(time.sleep)(20), delayed(fail_at)(1, 1)])
    assert time.monotonic() - begin < 15


def test_the_death_of_a_worker_is_an_error():
    with pytest.raises(phalanx.WorkerDiedError):
        Parallel()([delayed(die)()] + [delayed(neg)(n) for n in range(10)])
    assert Parallel()(delayed(neg)(n) for n in range(3)) == [0, -1, -2]


def test_a_result_that_takes_too_long():
    with pytest.raises(Exception) as caught:
        Parallel(timeout=0.3)([delayed(time.sleep)(20), delayed(neg)(1)])
    assert "Timeout" in type(caught.value).__name__


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_generators(return_as):
    results = Parallel(return_as=return_as)(delayed(neg)(n) for n in range(50))
    assert sorted(results) == sorted(-n for n in range(50))


def test_workers_stay_for_the_next_call():
    first = set(Parallel()(delayed(pid)(n) for n in range(50)))
    (crew,) = _crews._idle
    assert {process.pid for process in crew.core.processes()} >= first
    assert set(phalanx.Parallel(2)(delayed(pid)(n) for n in range(50))) <= {
        process.pid for process in crew.core.processes()
    }


def test_a_context_keeps_its_workers():
    with Parallel() as parallel:
        first = set(parallel(delayed(pid)(n) for n in range(20)))
        with pytest.raises(ValueError, match="no 1"):
            parallel(delayed(fail_at)(n, 1) for n in range(20))
        assert parallel(delayed(neg)(n) for n in range(3)) == [0, -1, -2]
    assert os.getpid() not in first


def test_what_a_failed_call_has_left_is_not_done_by_the_next():
    with Parallel(batch_size=1) as parallel:
        with pytest.raises(ValueError, match="no 1"):
            # The first task's end has joblib cut two more from the input, of which it sends one.
            parallel(delayed(fail_while_others_wait)(n) for n in range(20))
        assert parallel(delayed(neg)(n) for n in range(3)) == [0, -1, -2]


def test_nested_calls_run_in_threads():
    assert Parallel()(delayed(nested)() for _ in range(2)) == [("ThreadingBackend", 1, False)] * 2


def test_large_arrays_are_shared():
    array = numpy.ones(300_000)
    assert Parallel()(delayed(look_at)(array) for _ in range(4)) == [(False, 300_000.0)] * 4
    small = numpy.ones(30)
    assert Parallel()(delayed(look_at)(small) for _ in range(4)) == [(True, 30.0)] * 4
    with joblib.parallel_config(backend="phalanx", n_jobs=2, mmap_mode="c"):
        assert Parallel()(delayed(look_at)(array) for _ in range(4)) == [(True, 300_000.0)] * 4


def test_threads_of_libraries_are_limited():
    with joblib.parallel_config(backend="phalanx", n_jobs=2, inner_max_num_threads=3):
        assert set(Parallel()(delayed(variable)("OMP_NUM_THREADS") for _ in range(4))) == {"3"}
    name = "NUMEXPR_NUM_THREADS"
    os.environ[name] = "7"
    try:
        assert set(Parallel()(delayed(variable)(name) for _ in range(4))) == {"7"}
    finally:
        del os.environ[name]


@pytest.mark.parametrize(
    "imports", ["phalanx, joblib", "joblib, phalanx", "joblib.parallel, phalanx.parallel"]
)
def test_the_order_of_imports_does_not_matter(tmp_path, imports):
    program = f"""
        import {imports}, os
        with joblib.parallel_config(backend="phalanx", n_jobs=2):
            pids = set(joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(50)))
        print(*pids)
        print(joblib.Parallel(2, backend="phalanx")([joblib.delayed(abs)(-1)]))
    """
    pids, result = run_script(tmp_path, program).stdout.splitlines()
    assert result == "[1]" and pids
    for worker in map(int, pids.split()):
        wait_until(lambda worker=worker: not runs(worker), "the worker has ended")


def test_importing_phalanx_does_not_import_joblib(tmp_path):
    program = """
        import sys, phalanx
        print([name for name in sys.modules if name.split(".")[0] in ("joblib", "numpy", "importlib.util")])
    """
    assert run_script(tmp_path, program).stdout == "[]\n"


@pytest.mark.watchdog(400)
@pytest.mark.parametrize("suite", ["parallel", "backend"])
def test_a_part_of_the_tests_of_joblib(suite):
    """`make compat-joblib` runs them all."""
    oracle = Path(TESTS) / "compat" / "joblib_oracle.py"
    line = [sys.executable, str(oracle), "--fast", "--suite", suite]
    done = subprocess.run(line, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout
