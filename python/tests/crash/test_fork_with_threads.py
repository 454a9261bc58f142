"""fork while threads are at work: a child never waits for a lock that a thread of its parent held."""

from __future__ import annotations

import sys
import threading

import pytest
import targets
from support import mp, phalanx_only, run_script

pytestmark = [
    phalanx_only,
    pytest.mark.no_accounts("the test runner keeps what a fixture gave"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def busy():
    """Threads of this process that use everything of the library's, all the time."""
    context, over = mp.get_context("fork"), threading.Event()
    queue, lock, value = context.Queue(), context.Lock(), context.Value("q", 0)
    here, there = context.Pipe()
    pool = context.Pool(1)

    def work(step):
        while not over.is_set():
            step()

    def lock_step():
        with lock:
            value.value += 1

    steps = [
        lambda: (queue.put(b"x" * 20_000), queue.get()),
        lock_step,
        lambda: (here.send(b"y" * 20_000), there.recv()),
        lambda: pool.apply(targets.square, (3,)),
        lambda: context.Lock(),
    ]
    threads = [threading.Thread(target=work, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    yield queue, lock, value
    over.set()
    for thread in threads:
        thread.join()
    pool.terminate()
    pool.join()
    queue.close()
    for connection in (here, there):
        connection.close()


def use_everything(results, lock, value):
    """In the child: what its parent's threads were using, and new things."""
    try:
        lock.acquire()
    except mp.OwnerDiedError:
        pass
    value.value += 1
    lock.release()
    own = mp.Queue()
    own.put(b"z" * 20_000)
    own.get()
    with mp.get_context("fork").Pool(1) as pool:
        pool.apply(targets.square, (3,))
    results.put("done")


def test_children_of_a_busy_process(busy):
    _, lock, value = busy
    context = mp.get_context("fork")
    results = context.SimpleQueue()
    for _ in range(25):
        process = context.Process(target=use_everything, args=(results, lock, value))
        process.start()
        assert results.get() == "done"
        process.join()
        assert process.exitcode == 0
        process.close()
    results.close()


def test_pools_of_a_busy_process(busy):
    for _ in range(10):
        with mp.get_context("fork").Pool(2) as pool:
            assert pool.map(targets.square, range(20)) == [n * n for n in range(20)]
        pool.join()


def test_the_default_is_safe_beside_threads(tmp_path):
    """Where the interpreter's own default is fork, a program with threads is not left to its luck."""
    done = run_script(
        tmp_path,
        """
        import logging, threading, time
        import LIBRARY as mp

        over = threading.Event()

        class Quiet(logging.Handler):
            def emit(self, record):
                time.sleep(0)  # lets others run, and fork, while its lock is held

        def log():
            while not over.is_set():
                logging.getLogger("x").warning("busy")
                time.sleep(0.0002)

        def work(number):
            logging.getLogger("x").warning("in the worker")
            return number

        if __name__ == "__main__":
            # A file of Python's own would not do: its buffer's lock stays locked in a forked child.
            logging.basicConfig(handlers=[Quiet()])
            threads = [threading.Thread(target=log) for _ in range(4)]
            for thread in threads:
                thread.start()
            for _ in range(3):
                with mp.Pool(2) as pool:
                    assert pool.map(work, range(20)) == list(range(20))
                with mp.ProcessPoolExecutor(2) as executor:
                    assert list(executor.map(work, range(20))) == list(range(20))
                process = mp.Process(target=work, args=(1,))
                process.start()
                process.join()
            over.set()
            print("done")
        """,
        options=("-W", "ignore"),
    )
    assert done.stdout == "done\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="earlier interpreters do not warn")
def test_a_fork_beside_the_programs_own_threads_warns(tmp_path):
    done = run_script(
        tmp_path,
        """
        import threading, time
        import LIBRARY as mp

        if __name__ == "__main__":
            threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
            process = mp.get_context("fork").Process(target=abs, args=(1,))
            process.start()
            process.join()
        """,
    )
    assert "multi-threaded" in done.stderr
