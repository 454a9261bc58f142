"""Ctrl-C: one KeyboardInterrupt in the main program, at once, quiet workers, no child left."""

from __future__ import annotations

import signal

import pytest
from support import START_METHODS, Script, phalanx_only, state, wait_until

PROGRAM = """
import sys, time
import LIBRARY as mp

def keep(ready):
    global stored
    stored = ready

def sleep(_):
    stored.release()
    time.sleep(600)

def sleep_in_process(ready):
    ready.release()
    time.sleep(600)

def say_when(ready, count):
    # A thread tells when all tasks run, for the main thread is inside the call to interrupt.
    import threading
    def wait():
        for _ in range(count):
            ready.acquire()
        print("ready", flush=True)
    threading.Thread(target=wait, daemon=True).start()

def use(kind, context, ready):
    if kind in ("map", "imap", "apply", "get", "wait", "join"):
        pool = context.Pool(2, keep, (ready,))
        say_when(ready, 1 if kind == "apply" else 2)
        with pool:
            if kind == "map":
                pool.map(sleep, range(50), 1)
            elif kind == "imap":
                next(pool.imap(sleep, range(50)))
            elif kind == "apply":
                pool.apply(sleep, (1,))
            elif kind == "get":
                pool.map_async(sleep, range(50), 1).get()
            elif kind == "wait":
                pool.map_async(sleep, range(50), 1).wait()
            else:
                pool.map_async(sleep, range(50), 1)
                pool.close()
                pool.join()
    else:
        print("ready", flush=True)
        if kind == "queue":
            context.Queue().get()
        elif kind == "simple queue":
            context.SimpleQueue().get()
        elif kind == "full queue":
            queue = context.Queue(1)
            queue.put(1)
            queue.put(2)
        elif kind == "lock":
            lock = context.Lock()
            lock.acquire()
            lock.acquire()
        elif kind == "semaphore":
            context.Semaphore(0).acquire(timeout=600)
        elif kind == "event":
            context.Event().wait()
        elif kind == "condition":
            condition = context.Condition()
            with condition:
                condition.wait()
        elif kind == "barrier":
            context.Barrier(2).wait()
        elif kind == "pipe":
            here, there = context.Pipe()
            here.recv()
        elif kind == "poll":
            here, there = context.Pipe()
            here.poll(None)
        elif kind == "connection.wait":
            from LIBRARY import connection
            here, there = context.Pipe()
            connection.wait([here])
        elif kind == "joinable":
            queue = context.JoinableQueue()
            queue.put(1)
            queue.join()

if __name__ == "__main__":
    context = mp.get_context(sys.argv[2])
    ready = context.Semaphore(0)
    if "catch" in sys.argv:
        try:
            use(sys.argv[1], context, ready)
        except KeyboardInterrupt:
            print("caught", flush=True)
    else:
        use(sys.argv[1], context, ready)
"""

POOL = ["map", "imap", "apply", "get", "wait", "join"]
OTHERS = """queue|simple queue|full queue|lock|semaphore|event|condition|barrier|pipe|poll
connection.wait|joinable""".replace("\n", "|").split("|")


@phalanx_only
@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("kind", POOL)
def test_one_interrupt_in_a_pool(tmp_path, kind, method):
    with Script(tmp_path, PROGRAM, kind, method) as script:
        assert script.line() == "ready"
        script.signal_group(signal.SIGINT)
        done = script.finish()
        assert done.returncode == -signal.SIGINT
        assert done.stderr.count("KeyboardInterrupt") == 1, done.stderr
        assert done.stderr.count("Traceback") == 1, done.stderr
        wait_until(lambda: not script.alive(), "no child is left")


@phalanx_only
@pytest.mark.parametrize("kind", ["map", "imap", "get"])
def test_caught_interrupt_in_a_pool_is_silent(tmp_path, kind):
    with Script(tmp_path, PROGRAM, kind, START_METHODS[0], "catch") as script:
        assert script.line() == "ready"
        script.signal_group(signal.SIGINT)
        done = script.finish()
        assert (done.returncode, done.stdout, done.stderr) == (0, "caught\n", "")
        wait_until(lambda: not script.alive(), "no child is left")


@pytest.mark.parametrize("kind", POOL[:-1] + OTHERS)
def test_every_wait_can_be_interrupted(tmp_path, kind):
    """By a signal to the main process alone, as `kill -INT` or a debugger sends it."""
    with Script(tmp_path, PROGRAM, kind, START_METHODS[0], "catch") as script:
        assert script.line() == "ready"
        # The line comes just before the wait. The standard library can miss a signal that comes
        # between its last look and the system call, so let the program fall asleep first.
        wait_until(lambda: state(script.pid) == "S", "the program waits")
        script.process.send_signal(signal.SIGINT)
        done = script.finish()
        assert (done.returncode, done.stdout) == (0, "caught\n"), done.stderr
        wait_until(lambda: not script.alive(), "no child is left")


def test_pool_goes_on_after_a_caught_interrupt_of_a_wait(tmp_path):
    """The interrupt ends the wait of the caller; the pool itself is sound."""
    with Script(
        tmp_path,
        """
        import os, signal, sys
        import LIBRARY as mp

        def keep(event):
            global stored
            stored = event

        def wait(_):
            stored.wait(60)
            return "waited"

        if __name__ == "__main__":
            go = mp.Event()
            with mp.Pool(1, keep, (go,)) as pool:
                result = pool.apply_async(wait, (1,))
                try:
                    print("ready", flush=True)
                    result.get()
                except KeyboardInterrupt:
                    print("caught", flush=True)
                go.set()
                print(result.get(), pool.map(abs, [-1, -2]))
        """,
    ) as script:
        assert script.line() == "ready"
        script.process.send_signal(signal.SIGINT)
        done = script.finish()
        assert done.stdout == "caught\nwaited [1, 2]\n", done.stderr
        assert done.returncode == 0
