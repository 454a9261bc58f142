"""Parallel: the first error ends a call, whatever it is, and the next call finds workers that work."""

from __future__ import annotations

import os
import random
import signal
import threading

import evil
import pytest
import targets
from doors import TIMEOUTS
from support import Script, mp, phalanx_only, wait_until
from test_deaths import WAYS, end, end_at
from test_hostile_values import attempt, take

pytestmark = [
    phalanx_only,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def no_idle_workers(no_child_left):
    """Workers stay for the next call: at the end of a test they go."""
    from phalanx import _crews

    yield
    _crews.end_all()


def run(function, items, **options):
    return mp.Parallel(2, **options)(mp.delayed(function)(item) for item in items)


def works():
    return run(targets.square, range(30)) == [n * n for n in range(30)]


@pytest.mark.parametrize("how", WAYS)
def test_a_death_ends_the_call(how):
    for _ in range(3):
        with pytest.raises(mp.WorkerDiedError) as caught:
            run(end_at, [(number, 11, how) for number in range(40)])
        assert caught.value.exitcode == WAYS[how] and "end_at" in str(caught.value)
        assert works()


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_a_death_in_a_generator(return_as):
    values = []
    with pytest.raises(mp.WorkerDiedError):
        for value in run(end_at, [(n, 11, "SIGKILL") for n in range(40)], return_as=return_as):
            values.append(value)
    assert set(values) <= set(range(40)) - {11}
    assert works()


def test_workers_killed_at_random(seed):
    choose, stop = random.Random(seed), threading.Event()

    def kill():
        while not stop.wait(choose.uniform(0.01, 0.05)):
            for worker in mp.active_children()[:1]:
                os.kill(worker.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    for _ in range(15):
        said = attempt(works)
        assert said in (("value", True), ("error", "TaskWorkerDiedError"), ("error", "WorkerDiedError")), said
    stop.set()
    killer.join()
    wait_until(lambda: attempt(works) == ("value", True), "it works again")


def test_values_that_misbehave():
    for name in evil.NAMES:
        attempt(lambda name=name: run(take, [1, evil.make(name), 3]))
        attempt(lambda name=name: run(evil.make, [name] * 3))
        assert works(), name
    for name in evil.RAISES:
        assert attempt(lambda name=name: run(evil.raise_it, [name]))[0] == "error", name
        assert works(), name


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_inputs_that_raise(error):
    def calls():
        for number in range(7):
            yield mp.delayed(targets.square)(number)
        raise error("made to fail in the input")

    with pytest.raises(error, match="made to fail in the input"):
        mp.Parallel(2)(calls())
    assert works()


def test_a_timeout_beside_a_stopped_worker():
    with pytest.raises(TIMEOUTS):
        run(stop_myself, range(2), timeout=0.3)
    assert works()


def stop_myself(_):
    os.kill(os.getpid(), signal.SIGSTOP)


PROGRAM = """
import sys, time
import LIBRARY as mp

def sleep(number):
    if number == 1:
        print("ready", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    mp.Parallel(2)(mp.delayed(sleep)(n) for n in range(10))
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_program_is_ended(tmp_path, signum):
    with Script(tmp_path, PROGRAM) as script:
        assert script.line() == "ready"
        if signum == signal.SIGINT:
            script.signal_group(signum)
        else:
            os.kill(script.pid, signum)
        done = script.finish()
        assert done.returncode == -signum
        assert done.stderr.count("Traceback") == (1 if signum == signal.SIGINT else 0), done.stderr
        wait_until(lambda: not script.alive(), "nobody is left")


def test_a_death_that_nobody_expects():
    end_of = mp.delayed(end)
    with pytest.raises(mp.WorkerDiedError):
        mp.Parallel(2)([end_of("abort")])
    assert works()
