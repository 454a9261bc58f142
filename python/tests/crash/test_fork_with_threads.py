"""fork while threads are at work: a child never waits for a lock that a thread of its parent held."""

from __future__ import annotations

import textwrap
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
    yield queue, lock, value, here, there
    over.set()
    for thread in threads:
        thread.join()
    pool.terminate()
    pool.join()
    queue.close()
    for connection in (here, there):
        connection.close()


def use_everything(results, queue, lock, value, here, there):
    """In the child: what its parent's threads were using, and new things."""
    try:
        lock.acquire()
    except mp.OwnerDiedError:
        pass
    value.value += 1
    lock.release()
    queue.put(b"x" * 20_000)
    queue.get()
    here.send(b"y" * 20_000)
    there.recv()
    own = mp.Queue()
    own.put(b"z" * 20_000)
    own.get()
    with mp.get_context("fork").Pool(1) as pool:
        pool.apply(targets.square, (3,))
    results.put("done")


def test_children_of_a_busy_process(busy):
    context = mp.get_context("fork")
    results = context.SimpleQueue()
    for _ in range(25):
        process = context.Process(target=use_everything, args=(results, *busy))
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


# --- streams --------------------------------------------------------------------------------------


def test_a_log_file_that_another_thread_is_writing(tmp_path):
    """The thread is inside the file's lock when the child is forked, which logs to the same file."""
    done = run_script(
        tmp_path,
        """
        import logging, os, threading
        import LIBRARY as mp

        log = logging.getLogger("x")

        if __name__ == "__main__":
            here, there = os.pipe()
            log.addHandler(logging.StreamHandler(os.fdopen(there, "w")))
            thread = threading.Thread(target=log.warning, args=("x" * 300_000,))
            thread.start()
            read = os.read(here, 1)
            # The pipe is full now, and stays so until the child is there.
            process = mp.get_context("fork").Process(target=log.warning, args=("from the child",))
            process.start()
            while read.count(b"x") < 300_000 or b"child" not in read:
                read += os.read(here, 65536)
            thread.join()
            process.join()
            os.set_blocking(here, False)
            try:
                read += os.read(here, 65536)
            except BlockingIOError:
                pass
            print(process.exitcode, read.count(b"x"), read.count(b"from the child"))
        """,
        options=("-W", "ignore"),
    )
    assert done.stdout == "0 300000 1\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_threads_that_print_all_the_time(tmp_path, stream):
    """No child waits for the stream's lock, and none writes what the threads had written."""
    done = run_script(
        tmp_path,
        """
        import sys, threading
        import LIBRARY as mp

        over = threading.Event()
        stream = getattr(sys, sys.argv[1])
        other = sys.stdout if stream is sys.stderr else sys.stderr
        lines = 0

        def write():
            global lines
            while not over.wait(0.0001):
                # In pieces: some stay in the buffer when a fork comes.
                for piece in ("A", "x" * 3000, "\\n"):
                    stream.write(piece)
                lines += 1

        def write_once():
            stream.write(f"B{'x' * 3000}\\n")

        if __name__ == "__main__":
            sys.setswitchinterval(0.0005)
            thread = threading.Thread(target=write)
            thread.start()
            for number in range(100):
                process = mp.get_context("fork").Process(target=write_once)
                process.start()
                process.join()
                assert process.exitcode == 0
            over.set()
            thread.join()
            print(lines, file=other)
        """,
        stream,
        options=("-W", "ignore"),
    )
    said, other = (done.stdout, done.stderr) if stream == "stdout" else (done.stderr, done.stdout)
    lines = int(other)
    counts = {letter: said.count(letter) for letter in "AB\nx"}
    assert counts == {"A": lines, "B": 100, "\n": lines + 100, "x": 3000 * (lines + 100)}


# --- imports --------------------------------------------------------------------------------------

IMPORTING = """
    import os, signal, sys, threading, time
    import LIBRARY as mp

    over = threading.Event()
    started = threading.Event()

    def work():
        import MODULE
        assert MODULE.complete
        print("imported", flush=True)

    def load():
        import MODULE

    def start():
        process = mp.get_context("fork").Process(target=work)
        process.start()
        process.join()
        print(process.exitcode, flush=True)
"""


def run_importing(tmp_path, module, main):
    (tmp_path / "imported_here.py").write_text(textwrap.dedent(module))
    source = textwrap.dedent(IMPORTING) + textwrap.dedent(main)
    return run_script(tmp_path, source.replace("MODULE", "imported_here"), options=("-W", "ignore"))


def test_a_module_that_another_thread_is_importing(tmp_path):
    """The fork comes when the module is complete: the child has it as the parent does."""
    done = run_importing(
        tmp_path,
        """
        import __main__, os, time
        __main__.started.set()
        time.sleep(0.3)
        made_by = os.getpid()
        complete = True
        """,
        """
        def work():
            import MODULE
            print(MODULE.complete and MODULE.made_by == os.getppid(), flush=True)

        if __name__ == "__main__":
            thread = threading.Thread(target=load)
            thread.start()
            started.wait()
            start()
            thread.join()
        """,
    )
    assert done.stdout == "True\n0\n"


def test_an_import_that_takes_too_long(tmp_path):
    """After some seconds the fork comes nevertheless, and the child imports the module itself."""
    done = run_importing(
        tmp_path,
        """
        import __main__, os
        made_by = os.getpid()
        __main__.started.set()
        if made_by == __main__.parent:
            __main__.over.wait()
        complete = True
        """,
        """
        parent = os.getpid()

        if __name__ == "__main__":
            thread = threading.Thread(target=load)
            thread.start()
            started.wait()
            start()
            for _ in range(10):  # these do not wait any more
                start()
            over.set()
            thread.join()
            start()
        """,
    )
    assert done.stdout == "imported\n0\n" * 12


def test_the_wait_for_an_import_is_interrupted(tmp_path):
    done = run_importing(
        tmp_path,
        """
        import __main__
        __main__.started.set()
        __main__.over.wait()
        """,
        """
        if __name__ == "__main__":
            thread = threading.Thread(target=load)
            thread.start()
            started.wait()
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            try:
                start()
            except KeyboardInterrupt:
                print("interrupted", len(mp.active_children()))
            over.set()
            thread.join()
        """,
    )
    assert done.stdout == "interrupted 0\n"


def test_threads_that_import_all_the_time(tmp_path):
    """Whatever moment the fork comes at, the child can import what the threads import."""
    for number in range(100):
        (tmp_path / f"many{number}.py").write_text("import json, os\ncomplete = True\n")
    done = run_script(
        tmp_path,
        """
        import importlib, sys, threading
        import LIBRARY as mp

        over = threading.Event()

        def load(first):
            while not over.is_set():
                for number in range(first, 100, 3):
                    importlib.import_module(f"many{number}")
                    if over.is_set():
                        return
                for number in range(first, 100, 3):
                    del sys.modules[f"many{number}"]

        def work():
            for number in range(100):
                assert importlib.import_module(f"many{number}").complete

        if __name__ == "__main__":
            sys.setswitchinterval(0.0005)
            threads = [threading.Thread(target=load, args=(first,)) for first in range(3)]
            for thread in threads:
                thread.start()
            for _ in range(15):
                process = mp.get_context("fork").Process(target=work)
                process.start()
                process.join()
                assert process.exitcode == 0
            over.set()
            print("done")
        """,
        options=("-W", "ignore"),
    )
    assert done.stdout == "done\n"
