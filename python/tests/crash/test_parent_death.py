"""The parent dies by SIGKILL: no descendant outlives it."""

from __future__ import annotations

import os
import signal

import pytest
from support import START_METHODS, Script, phalanx_only, wait_until

pytestmark = phalanx_only

# The first argument is the start method. Each program prints "ready" once all that it wants to
# leave behind is running, and then does nothing.
START = """
import os, sys, threading, time
import LIBRARY as mp

def sleep(ready):
    ready.release()
    time.sleep(600)

def spin(ready):
    ready.release()
    while True:
        pass

def ignore_signals(ready):
    import signal
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ready.release()
    while True:
        time.sleep(600)

def acquire(ready, lock):
    ready.release()
    lock.acquire()

def get(ready, queue):
    ready.release()
    queue.get()

def put(ready, queue):
    ready.release()
    while True:
        queue.put(b"x" * 1000)

def wait_event(ready, event):
    ready.release()
    event.wait()

def receive(ready, connection):
    ready.release()
    connection.recv()

def keep(ready):
    global stored
    stored = ready

def sleep_in_pool(_):
    stored.release()
    time.sleep(600)

def spin_in_pool(_):
    stored.release()
    while True:
        pass

def grandchild(ready):
    process = mp.get_context(sys.argv[1] if len(sys.argv) > 1 else "fork").Process(target=sleep, args=(ready,))
    process.start()
    sleep(ready)

def wait_for(ready, count):
    for _ in range(count):
        assert ready.acquire(timeout=60)
    print("ready", flush=True)
    time.sleep(600)
"""

CASES = {
    "sleeping processes": """
        for _ in range(3):
            context.Process(target=sleep, args=(ready,)).start()
        wait_for(ready, 3)
    """,
    "busy processes": """
        for _ in range(2):
            context.Process(target=spin, args=(ready,)).start()
        wait_for(ready, 2)
    """,
    "a daemon": """
        context.Process(target=sleep, args=(ready,), daemon=True).start()
        wait_for(ready, 1)
    """,
    "processes that ignore signals": """
        context.Process(target=ignore_signals, args=(ready,)).start()
        wait_for(ready, 1)
    """,
    "waiters": """
        lock, queue, full, event = context.Lock(), context.Queue(), context.Queue(3), context.Event()
        here, there = context.Pipe()
        lock.acquire()
        context.Process(target=acquire, args=(ready, lock)).start()
        context.Process(target=get, args=(ready, queue)).start()
        context.Process(target=put, args=(ready, full)).start()
        context.Process(target=wait_event, args=(ready, event)).start()
        context.Process(target=receive, args=(ready, there)).start()
        wait_for(ready, 5)
    """,
    "an idle pool": """
        pool = context.Pool(3)
        pool.map(abs, range(100))
        wait_for(ready, 0)
    """,
    "a sleeping pool": """
        pool = context.Pool(2, keep, (ready,))
        result = pool.map_async(sleep_in_pool, range(50), 1)
        wait_for(ready, 2)
    """,
    "a busy pool": """
        pool = context.Pool(2, keep, (ready,))
        result = pool.map_async(spin_in_pool, range(50), 1)
        wait_for(ready, 2)
    """,
    "a grandchild": """
        context.Process(target=grandchild, args=(ready,)).start()
        wait_for(ready, 2)
    """,
    # Death signals of the kernel are bound to the thread that started the child: they must
    # neither be missing nor come when merely that thread ends.
    "started in a thread that has ended": """
        held = []
        def start():
            held.append(context.Process(target=sleep, args=(ready,)))
            held[0].start()
            held.append(context.Pool(2, keep, (ready,)))
            held.append(held[1].map_async(sleep_in_pool, range(2), 1))
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        held[0].join(0.3)
        assert held[0].is_alive(), "the child ended together with the thread"
        wait_for(ready, 3)
    """,
}


def program(case):
    lines = [line[4:] for line in CASES[case].strip("\n").splitlines()]
    guard = [
        'if __name__ == "__main__":',
        "    context = mp.get_context(sys.argv[1])",
        "    ready = context.Semaphore(0)",
    ]
    return START + "\n".join(guard + lines)


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("case", CASES)
def test_nothing_outlives_the_parent(tmp_path, case, method):
    with Script(tmp_path, program(case), method) as script:
        assert script.line() == "ready"
        assert len(script.alive()) > 1
        os.kill(script.pid, signal.SIGKILL)
        script.process.wait()
        wait_until(lambda: not script.alive(), "all descendants are gone")


@pytest.mark.parametrize("method", START_METHODS)
def test_nothing_is_left_in_the_file_system(tmp_path, method):
    before = set(os.listdir("/dev/shm"))
    with Script(tmp_path, program("waiters"), method) as script:
        assert script.line() == "ready"
        assert set(os.listdir("/dev/shm")) - before == set()
        os.kill(script.pid, signal.SIGKILL)
        wait_until(lambda: not script.alive(), "all descendants are gone")
    assert set(os.listdir("/dev/shm")) - before == set()


MIDDLE = """
if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    ready = context.Semaphore(0)
    process = context.Process(target=grandchild, args=(ready,))
    process.start()
    for _ in range(2):
        assert ready.acquire(timeout=60)
    print(process.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("method", START_METHODS)
def test_the_end_of_a_middle_process_ends_what_is_below(tmp_path, method):
    with Script(tmp_path, START + MIDDLE, method) as script:
        middle = int(script.line())
        count = len(script.alive())
        os.kill(middle, signal.SIGKILL)
        wait_until(lambda: len(script.alive()) <= count - 2, "the grandchild is gone, too")
        assert script.pid in script.alive()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV])
def test_other_deadly_signals(tmp_path, signum):
    with Script(tmp_path, program("a sleeping pool"), START_METHODS[0]) as script:
        assert script.line() == "ready"
        os.kill(script.pid, signum)
        script.process.wait()
        wait_until(lambda: not script.alive(), "all descendants are gone")
