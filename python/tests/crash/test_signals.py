"""Ctrl-C once and twice, SIGTERM to the parent, and any signal at any moment: nobody is left."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from support import START_METHODS, Script, phalanx_only, wait_until

pytestmark = phalanx_only

PROGRAM = """
import os, signal, sys, threading, time
import LIBRARY as mp

def keep(ready):
    global stored
    stored = ready

def sleep(_):
    stored.release()
    time.sleep(600)

def ignore(_):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stored.release()
    while True:
        time.sleep(600)

def say_when(ready, count):
    def wait():
        for _ in range(count):
            ready.acquire()
        print("ready", flush=True)
    # Kept: were it dropped here, after its end, the interpreter would run a callback for that, and a
    # KeyboardInterrupt that comes in a callback is printed and forgotten.
    global waiter
    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()

def use(kind, context, task):
    ready = context.Semaphore(0)
    if kind == "pool":
        with context.Pool(2, keep, (ready,)) as pool:
            say_when(ready, 2)
            pool.map(task, range(10), 1)
    elif kind == "executor":
        with mp.ProcessPoolExecutor(2, context, keep, (ready,)) as executor:
            say_when(ready, 2)
            calls = [executor.submit(task, n) for n in range(2)]
            try:
                calls[0].result()
            except KeyboardInterrupt:
                executor.kill_workers()
                raise
    elif kind == "process":
        keep(ready)
        process = context.Process(target=run, args=(ready, task))
        process.start()
        say_when(ready, 1)
        try:
            process.join()
        except KeyboardInterrupt:
            process.kill()
            process.join()
            raise
    elif kind == "manager":
        with context.Manager() as manager:
            queue = manager.Queue()
            print("ready", flush=True)
            queue.get()

def run(ready, task):
    keep(ready)
    task(0)

if __name__ == "__main__":
    use(sys.argv[1], mp.get_context(sys.argv[2]), {"sleep": sleep, "ignore": ignore}[sys.argv[3]])
"""
KINDS = ["pool", "executor", "process", "manager"]


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_one_ctrl_c(tmp_path, kind, method):
    """One clean KeyboardInterrupt, quiet workers, nobody left."""
    with Script(tmp_path, PROGRAM, kind, method, "sleep") as script:
        assert script.line() == "ready"
        script.signal_group(signal.SIGINT)
        done = script.finish()
        assert done.returncode == -signal.SIGINT, done.stderr
        assert done.stderr.count("KeyboardInterrupt") <= 2, done.stderr  # the executor's: one while handling
        assert done.stderr.count("Process") == 0 or kind == "process", done.stderr
        wait_until(lambda: not script.alive(), "nobody is left")


@pytest.mark.parametrize("kind", ["pool", "executor"])
def test_workers_that_ignore_it(tmp_path, kind):
    """They are killed a second after they were asked."""
    with Script(tmp_path, PROGRAM, kind, START_METHODS[0], "ignore") as script:
        assert script.line() == "ready"
        script.signal_group(signal.SIGINT)
        assert script.finish().returncode == -signal.SIGINT
        wait_until(lambda: not script.alive(), "nobody is left")


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_ctrl_c(tmp_path, kind):
    """Whatever the first one is about to do: the second ends it."""
    with Script(tmp_path, PROGRAM, kind, START_METHODS[0], "ignore") as script:
        assert script.line() == "ready"
        for _ in range(2):
            script.signal_group(signal.SIGINT)
            time.sleep(0.05)
        script.finish()
        wait_until(lambda: not script.alive(), "nobody is left")


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_the_parent_is_ended(tmp_path, kind, method, signum):
    """Its descendants go within a second, whatever signals they ignore."""
    with Script(tmp_path, PROGRAM, kind, method, "ignore") as script:
        assert script.line() == "ready"
        os.kill(script.pid, signum)
        script.process.wait()
        wait_until(lambda: not script.alive(), "nobody is left")


MOMENTS = """
import sys
import LIBRARY as mp

def work(number):
    return number

if __name__ == "__main__":
    print("ready", flush=True)
    while True:
        for method in ("fork", "spawn", "forkserver"):
            context = mp.get_context(method)
            lock, queue = context.Lock(), context.Queue()
            with context.Pool(2) as pool:
                pool.map(work, range(10))
            process = context.Process(target=queue.put, args=(1,))
            process.start()
            queue.get()
            process.join()
            with context.Manager() as manager:
                manager.dict()[1] = 2
        with mp.ProcessPoolExecutor(2) as executor:
            list(executor.map(work, range(10)))
"""
DEADLY = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV]


@pytest.mark.parametrize("turn", range(6))
def test_any_signal_at_any_moment(tmp_path, turn, seed):
    choose = random.Random(seed + turn)
    before = set(os.listdir("/dev/shm"))
    with Script(tmp_path, MOMENTS, options=("-X", "faulthandler")) as script:
        assert script.line() == "ready"
        time.sleep(choose.uniform(0, 0.5))
        os.kill(script.pid, choose.choice(DEADLY))
        script.process.wait()
        wait_until(lambda: not script.alive(), "nobody is left")
    left = {name for name in set(os.listdir("/dev/shm")) - before if not name.startswith("psm_")}
    assert not left


@pytest.mark.parametrize("turn", range(6))
def test_ctrl_c_at_any_moment(tmp_path, turn, seed):
    choose = random.Random(seed + turn)
    with Script(tmp_path, MOMENTS) as script:
        assert script.line() == "ready"
        time.sleep(choose.uniform(0, 0.5))
        script.signal_group(signal.SIGINT)
        done = script.finish()
        assert done.returncode == -signal.SIGINT, done.stderr[-3000:]
        wait_until(lambda: not script.alive(), "nobody is left")
