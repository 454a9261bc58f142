"""Little memory, few descriptors, many of everything: an answer or a clear error, never a signal."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal

import pytest
import targets
from doors import through
from support import START_METHODS, big, memory_group, mp, phalanx_only, run_script, slow

pytestmark = phalanx_only


@through()
def test_sixty_four_workers(default_ctx, door):
    with door(default_ctx, 64) as team:
        assert team.outcomes(targets.square, range(2000)) == [n * n for n in range(2000)]
        for worker in mp.active_children()[:20]:
            os.kill(worker.pid, signal.SIGKILL)
        outcomes = team.outcomes(targets.square, range(2000))
        lost = sum(isinstance(outcome, mp.WorkerDiedError) for outcome in outcomes)
        assert lost <= 20
        assert team.works()


def test_ten_thousand_queues(tmp_path):
    """They cost memory, not descriptors."""

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    done = run_script(
        tmp_path,
        """
        import LIBRARY as mp

        if __name__ == "__main__":
            queues = [mp.Queue() for _ in range(10_000)]
            for number, queue in enumerate(queues):
                queue.put(number)
            print(sum(queue.get() for queue in queues))
            locks = [mp.Lock() for _ in range(10_000)]
            process = mp.Process(target=queues[77].put, args=("here",))
            process.start()
            print(queues[77].get())
            process.join()
        """,
        limits=limit,
    )
    assert done.stdout == f"{sum(range(10_000))}\nhere\n"


@through("apply_async", "executor")
def test_a_hundred_thousand_tasks_in_flight(default_ctx, door):
    with door(default_ctx, 2) as team:
        results = [team.submit(targets.identity, number) for number in range(100_000)]
        assert [result.get(60) for result in results] == list(range(100_000))


# --- little memory --------------------------------------------------------------------------------

HUNGRY = """
import os, sys
import LIBRARY as mp

def length(value):
    return len(value)

def make(size):
    return bytes(size)

def attempt(action):
    try:
        return action()
    except (MemoryError, OSError, RuntimeError) as error:
        return type(error).__name__

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    queue = context.Queue()
    with context.Pool(2) as pool:
        for size in map(int, sys.argv[2:]):
            print(size, "argument", attempt(lambda: pool.apply(length, (bytes(size),))))
            print(size, "result", attempt(lambda: len(pool.apply(make, (size,)))))
            print(size, "put", attempt(lambda: queue.put(bytes(size)) or len(queue.get())))
            print(pool.map(length, [b"x" * n for n in range(100)]) == list(range(100)))
        print(attempt(lambda: len(context.RawArray("b", 1 << 40))))
    print("end")
"""


def check_hungry(done, sizes):
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert lines[-1] == "end"
    assert lines.count("True") == sizes
    said = {tuple(line.split()[:2]): line.split()[2] for line in lines if line[0].isdigit()}
    for (size, _), outcome in said.items():
        assert outcome in (size, "MemoryError", "WorkerDiedError", "OSError", "MaybeEncodingError"), said
    assert said["1048576", "argument"] == said["1048576", "result"] == said["1048576", "put"] == "1048576"
    assert "MemoryError" in said.values()  # the limit was felt


@pytest.mark.parametrize("method", START_METHODS)
def test_little_address_space(tmp_path, method):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))

    sizes = [str(1 << shift) for shift in (20, 26, 28, 30)]
    check_hungry(run_script(tmp_path, HUNGRY, method, *sizes, limits=limit, check=False), len(sizes))


@pytest.mark.parametrize("method", START_METHODS)
def test_little_memory_in_a_control_group(tmp_path, method):
    """What shared memory cannot hold is refused. (What a task itself takes of its own is the kernel's
    matter, which ends it: the next test.)"""
    sizes = [str(1 << 20), str(1 << 26), str(1 << 30)]
    with memory_group(400 << 20) as prefix:
        done = run_script(tmp_path, HUNGRY, method, *sizes, check=False, prefix=prefix)
    check_hungry(done, len(sizes))


def test_the_out_of_memory_killer_is_named(tmp_path):
    with memory_group(300 << 20) as prefix:
        done = run_script(
            tmp_path,
            """
            import LIBRARY as mp

            def eat(_):
                hoard = []
                while True:
                    hoard.append(b"x" * (16 << 20))

            if __name__ == "__main__":
                with mp.Pool(2) as pool:
                    results = [pool.apply_async(abs, (-number,)) for number in range(50)]
                    fatal = pool.apply_async(eat, (1,))
                    results += [pool.apply_async(abs, (-number,)) for number in range(50)]
                    try:
                        fatal.get()
                    except mp.WorkerDiedError as error:
                        print(error)
                        print(error.signal, error.peak_memory >> 20)
                    print(sum(result.get() for result in results))
            """,
            prefix=prefix,
        )
    text, numbers, total = done.stdout.splitlines()
    assert "out-of-memory killer" in text and "eat(1)" in text
    number, peak = map(int, numbers.split())
    assert number == signal.SIGKILL and peak > 150
    assert total == str(2 * sum(range(50)))


@big
def test_four_gibibytes(default_ctx):
    size = (4 << 30) + 7
    value = bytes(size)
    with default_ctx.Pool(1) as pool:
        assert pool.apply(len, (value,)) == size
        assert len(pool.apply(bytes, (size,))) == size
    queue = default_ctx.Queue()
    queue.put(value)
    assert len(queue.get()) == size
    queue.close()
    pool.join()


# --- no new process -------------------------------------------------------------------------------


def test_workers_that_cannot_be_replaced_just_now(tmp_path):
    """Others do their work, and they are replaced as soon as that can be done."""
    done = run_script(
        tmp_path,
        """
        import os, resource, signal
        import LIBRARY as mp

        if __name__ == "__main__":
            with mp.Pool(3) as pool:
                pids = [worker.pid for worker in mp.active_children()]
                pool.map(abs, range(100))
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                used = max(int(fd) for fd in os.listdir("/proc/self/fd"))
                resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
                for pid in pids[:2]:
                    os.kill(pid, signal.SIGKILL)
                print(sum(pool.map(abs, range(1000))))
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                print(sum(pool.imap(abs, range(1000))))
                while len(mp.active_children()) < 3:
                    pool.apply(abs, (1,))
                print("whole")
        """,
    )
    assert done.stdout == f"{sum(range(1000))}\n{sum(range(1000))}\nwhole\n", done.stderr


def test_no_worker_can_be_started_any_more(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os, resource, signal
        import LIBRARY as mp

        if __name__ == "__main__":
            pool = mp.Pool(2)
            pool.map(abs, range(100))
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            for worker in mp.active_children():
                os.kill(worker.pid, signal.SIGKILL)
            for use in (lambda: pool.map(abs, range(1000)), lambda: next(pool.imap(abs, range(10)))):
                try:
                    print(use())
                except (OSError, mp.WorkerDiedError) as error:
                    print(type(error).__name__)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            pool.terminate()
            pool.join()
        """,
    )
    assert done.stdout == "OSError\nOSError\n", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can become a user without processes")
@pytest.mark.parametrize("method", START_METHODS)
def test_no_more_processes_may_be_started(tmp_path, method):
    """A user who has as many processes as allowed gets a clear error, and what runs goes on."""
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv here")
    # The limit does not hold for the superuser. Somebody else has to be able to read the interpreter.
    reading = "-all,+dac_read_search"
    somebody = ("--reuid", "54321", "--regid", "54321", "--clear-groups")
    prefix = ("setpriv", *somebody, "--inh-caps", reading, "--ambient-caps", reading)
    done = run_script(
        tmp_path,
        """
        import os, resource, signal, sys
        import LIBRARY as mp

        def attempt(start):
            try:
                start()
            except OSError as error:
                return error.errno
            except RuntimeError as error:
                return error  # of threading: a thread counts too
            return "started"

        def limit(most):
            hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
            for pid in [0, *servers]:
                resource.prlimit(pid, resource.RLIMIT_NPROC, (most, hard))

        servers = []

        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            limit(200)
            lock, queue = context.Lock(), context.Queue()
            with context.Pool(3) as pool:
                pool.map(abs, range(100))
                if sys.argv[1] == "forkserver":
                    from LIBRARY.forkserver import _forkserver
                    servers.append(_forkserver._forkserver_pid)
                limit(1)
                print(attempt(lambda: context.Process(target=abs, args=(1,)).start()))
                print(attempt(lambda: context.Pool(2)))
                print(attempt(lambda: mp.ProcessPoolExecutor(1, context).submit(abs, 1).result()))
                for worker in mp.active_children()[:2]:
                    os.kill(worker.pid, signal.SIGKILL)
                print(sum(pool.map(abs, range(1000))))
                with lock:
                    queue.put(7)
                print(queue.get())
                limit(200)
                print(sum(pool.imap(abs, range(1000))))
                process = context.Process(target=queue.put, args=(8,))
                process.start()
                print(queue.get())
                process.join()
        """,
        method,
        prefix=prefix,
    )
    process, pool, executor, *rest = done.stdout.splitlines()
    assert process == pool == str(errno.EAGAIN), done.stderr
    assert executor in (str(errno.EAGAIN), "can't start new thread")
    assert rest == ["499500", "7", "499500", "8"]


@slow
@pytest.mark.watchdog(300)
def test_two_thousand_processes_at_a_time(tmp_path):
    """As many as share one memory: beyond, a clear error."""
    done = run_script(
        tmp_path,
        """
        import time
        import LIBRARY as mp

        if __name__ == "__main__":
            event, processes = mp.Event(), []
            try:
                while len(processes) < 3000:
                    process = mp.Process(target=event.wait)
                    process.start()
                    processes.append(process)
            except OSError as error:
                print(error)
            event.set()
            for process in processes:
                process.join()
            print(len(processes) > 1900)
        """,
    )
    assert "wait for some to end" in done.stdout and done.stdout.endswith("True\n")
