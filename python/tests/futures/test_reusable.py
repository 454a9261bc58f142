"""`get_reusable_executor`: one executor for a whole process, whose workers come and go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import phalanx
import pytest
import targets
from phalanx import get_context
from phalanx.futures import BrokenProcessPool, get_reusable_executor
from support import START_METHODS, wait_until


@pytest.fixture(autouse=True)
def none_left_over():
    yield
    get_reusable_executor(1, reuse=False).shutdown()


@pytest.fixture(params=START_METHODS)
def context(request):
    return get_context(request.param)


def late_pid(seconds=0.01):
    time.sleep(seconds)
    return os.getpid()


def setting(name):
    return os.environ.get(name)


def remember(value):
    os.environ["PHALANX_TEST_REMEMBERED"] = str(value)


def workers_of(executor):
    return len(executor._processes)


def pids(executor, calls=40):
    return {call.result(60) for call in [executor.submit(late_pid) for _ in range(calls)]}


def test_it_is_the_same_for_the_same_terms(context):
    executor = get_reusable_executor(2, context=context)
    assert list(executor.map(targets.square, range(10))) == [n * n for n in range(10)]
    assert get_reusable_executor(2, context=context) is executor
    assert phalanx.get_reusable_executor is get_reusable_executor


def test_workers_leave_when_idle_and_come_back_with_work(context):
    executor = get_reusable_executor(2, context=context, timeout=0.2)
    assert executor.submit(targets.square, 3).result(60) == 9
    processes = list(executor._processes.values())
    wait_until(lambda: not executor._processes, "the workers have left")
    # They have been reaped too: no zombie waits for the next call.
    wait_until(lambda: all(process.exitcode == 0 for process in processes), "they have ended")
    assert executor.submit(targets.square, 4).result(60) == 16


def test_leaving_and_coming_work_lose_nothing(context):
    executor = get_reusable_executor(2, context=context, timeout=0.02)
    for number in range(30):
        # About as long as a worker stays: it leaves as the call comes, again and again.
        time.sleep(0.02)
        assert executor.submit(targets.square, number).result(60) == number * number


def test_a_map_that_is_fetched_late_is_done(context):
    executor = get_reusable_executor(2, context=context, timeout=0.05)
    results = executor.map(late_pid, [0.001] * 50)
    time.sleep(0.5)
    assert len(list(results)) == 50


def test_resizing_loses_no_call(context):
    executor = get_reusable_executor(4, context=context)
    calls = [executor.submit(late_pid) for _ in range(60)]
    assert get_reusable_executor(1, context=context) is executor
    calls += [executor.submit(late_pid) for _ in range(20)]
    assert get_reusable_executor(3, context=context) is executor
    calls += [executor.submit(late_pid) for _ in range(40)]
    assert len([call.result(60) for call in calls]) == 120
    wait_until(lambda: workers_of(executor) <= 3, "no more than three are left")


def test_fewer_workers_do_the_rest():
    executor = get_reusable_executor(4)
    assert len(pids(executor)) > 1
    get_reusable_executor(1)
    wait_until(lambda: workers_of(executor) == 1, "one is left")
    assert len(pids(executor)) == 1


def test_more_workers_than_it_has_room_for():
    executor = get_reusable_executor(1)
    running = [executor.submit(late_pid) for _ in range(10)]
    other = get_reusable_executor(executor._seats + 1)
    assert other is not executor
    assert all(call.result(60) for call in running)
    assert other.submit(targets.square, 5).result(60) == 25


def test_other_terms_make_another():
    first = get_reusable_executor(1, initializer=remember, initargs=(1,))
    assert first.submit(setting, "PHALANX_TEST_REMEMBERED").result(60) == "1"
    waiting = [first.submit(late_pid) for _ in range(5)]
    second = get_reusable_executor(1, initializer=remember, initargs=(2,))
    assert second is not first
    # What the first was given is done.
    assert all(call.result(60) for call in waiting)
    assert second.submit(setting, "PHALANX_TEST_REMEMBERED").result(60) == "2"
    assert get_reusable_executor(2, reuse=True) is second
    assert get_reusable_executor(2, initializer=remember, initargs=(2,), reuse=False) is not second


def test_arguments_that_cannot_be_compared():
    numpy = pytest.importorskip("numpy", reason="its arrays are such arguments")
    first = get_reusable_executor(1, initializer=remember, initargs=(numpy.arange(3),))
    second = get_reusable_executor(1, initializer=remember, initargs=(numpy.arange(3),))
    assert second is not first
    assert second.submit(targets.square, 2).result(60) == 4


def test_killing_the_workers_of_the_one_before():
    first = get_reusable_executor(1)
    endless = first.submit(time.sleep, 1000)
    wait_until(endless.running, "the call runs")
    second = get_reusable_executor(1, reuse=False, kill_workers=True)
    assert isinstance(endless.exception(60), BrokenProcessPool)
    assert second.submit(targets.square, 3).result(60) == 9


def test_one_that_was_shut_down_is_made_anew():
    first = get_reusable_executor(1)
    first.shutdown()
    second = get_reusable_executor(1)
    assert second is not first
    assert second.submit(targets.square, 3).result(60) == 9


def test_the_environment_of_workers(context):
    executor = get_reusable_executor(1, context=context, env={"PHALANX_TEST_SETTING": "yes"})
    assert executor.submit(setting, "PHALANX_TEST_SETTING").result(60) == "yes"
    assert "PHALANX_TEST_SETTING" not in os.environ


def test_several_threads_get_the_same():
    found = []
    threads = [threading.Thread(target=lambda: found.append(get_reusable_executor(2))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(map(id, found))) == 1


def test_a_worker_has_its_own():
    assert get_reusable_executor(1).submit(_nested, 3).result(60) == 9


def _nested(number):
    return get_reusable_executor(1).submit(targets.square, number).result(60)


@pytest.mark.parametrize(
    "arguments", [{"max_workers": 0}, {"timeout": 0}, {"reuse": "never"}], ids=lambda a: next(iter(a))
)
def test_what_makes_no_sense_is_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        get_reusable_executor(**arguments)


PROGRAM = """
from phalanx.futures import get_reusable_executor

if __name__ == "__main__":
    executor = get_reusable_executor(2, timeout=None)
    call = executor.submit(pow, 2, 10)
    call.add_done_callback(lambda call: print(call.result()))
"""


def test_a_program_that_ends_needs_no_shutdown(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1024\n", "")
