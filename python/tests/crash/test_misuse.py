"""Mistakes of the program: one clear error each, never a loop and never a hang."""

from __future__ import annotations

import os
import resource
import subprocess
import traceback
import typing

import pytest
import targets
from support import START_METHODS, mp, phalanx_only, run_script


def full_text(error):
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


# --- workers that cannot be started ---------------------------------------------------------------


class Unstartable:
    """A program's own class for workers, which has no more than a pool has to call."""

    started: typing.ClassVar[list[Unstartable]] = []

    def __init__(self, **_):
        self.name, self.exitcode, self.is_running = "worker", None, False

    def start(self):
        if len(self.started) == 2:
            raise OSError("no more of them")
        self.is_running = True
        self.started.append(self)

    def terminate(self):
        self.is_running = False

    def join(self):
        pass


@phalanx_only
def test_workers_of_an_own_class_that_cannot_be_started(default_ctx, monkeypatch):
    """The pool raises what the class raised, and has ended those that it had started."""
    monkeypatch.setattr(Unstartable, "started", [])
    context = type("Context", (type(default_ctx),), {"Process": Unstartable})()
    with pytest.raises(OSError, match="no more of them"):
        context.Pool(3)
    assert [worker.is_running for worker in Unstartable.started] == [False, False]


# --- initializers ---------------------------------------------------------------------------------


@phalanx_only
@pytest.mark.parametrize("use", ["map", "apply", "imap", "apply_async", "map_async"])
def test_initializer_that_raises(ctx, tmp_path, use, capfd):
    runs = tmp_path / "runs"
    with pytest.raises(Exception) as caught, ctx.Pool(2, targets.failing_initializer, (runs,)) as pool:
        if use == "imap":
            next(pool.imap(targets.identity, [1, 2]))
        elif use == "map":
            pool.map(targets.identity, [1, 2])
        elif use == "apply":
            pool.apply(targets.identity, (1,))
        else:
            getattr(pool, use)(targets.identity, [[1]]).get(60)
    text = full_text(caught.value)
    assert "the initializer failed on purpose" in text
    assert "failing_initializer" in text
    assert not isinstance(caught.value, mp.TimeoutError)
    # Each worker tried it once; nobody was started again and again.
    assert 1 <= len(runs.read_text()) <= 4


@phalanx_only
def test_initializer_that_kills(default_ctx):
    with pytest.raises(Exception) as caught, default_ctx.Pool(2, targets.die_by, ("kill",)) as pool:
        pool.map(targets.identity, [1, 2])
    assert not isinstance(caught.value, mp.TimeoutError)
    assert "SIGKILL" in str(caught.value) or "signal 9" in str(caught.value)


# --- the missing guard ----------------------------------------------------------------------------


@phalanx_only
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("what", ["Pool", "Process"])
def test_missing_main_guard(tmp_path, method, what):
    use = {
        "Pool": "with context.Pool(2) as pool:\n    print(pool.map(square, [1, 2]))",
        "Process": (
            "process = context.Process(target=square, args=(2,))\nprocess.start()\nprocess.join()\n"
            "sys.exit(process.exitcode)"
        ),
    }[what]
    done = run_script(
        tmp_path,
        "import sys\n"
        "import LIBRARY as mp\n"
        "def square(value):\n"
        "    return value * value\n"
        "print('imported', flush=True)\n"
        f"context = mp.get_context({method!r})\n" + use,
        check=False,
    )
    assert done.returncode != 0
    assert "__main__" in done.stderr  # says what is missing
    assert done.stderr.count("\n") < 100, done.stderr[:3000]
    assert 2 <= done.stdout.count("imported") <= 4  # the program and its workers, once each


def test_missing_guard_does_not_matter_for_fork(tmp_path):
    done = run_script(
        tmp_path,
        """
        import LIBRARY as mp
        def square(value):
            return value * value
        with mp.get_context("fork").Pool(2) as pool:
            print(pool.map(square, [1, 2]))
        """,
    )
    assert done.stdout == "[1, 4]\n"


# --- the end of the program -----------------------------------------------------------------------


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("busy", ["idle", "busy"])
def test_program_ends_although_the_pool_was_never_closed(tmp_path, method, busy):
    done = run_script(
        tmp_path,
        """
        import sys, time
        import LIBRARY as mp

        if __name__ == "__main__":
            pool = mp.get_context(sys.argv[1]).Pool(2)
            print(pool.map(abs, [-1, -2]), flush=True)
            if sys.argv[2] == "busy":
                results = pool.map_async(time.sleep, [600] * 10, 1)
        """,
        method,
        busy,
        options=("-W", "ignore"),
    )
    assert done.stdout == "[1, 2]\n"
    assert "Traceback" not in done.stderr


def test_sys_exit_inside_the_block(tmp_path):
    done = run_script(
        tmp_path,
        """
        import sys, time
        import LIBRARY as mp

        if __name__ == "__main__":
            with mp.Pool(2) as pool:
                result = pool.apply_async(time.sleep, (600,))
                sys.exit(7)
        """,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, "")


def test_objects_left_over_at_exit(tmp_path):
    """Module globals that nobody closed: no warning, no traceback, no hang."""
    done = run_script(
        tmp_path,
        """
        import LIBRARY as mp

        def work(queue, lock, event, connection):
            with lock:
                queue.put(1)
            event.wait()
            connection.send(2)

        if __name__ == "__main__":
            queue, simple, joinable = mp.Queue(), mp.SimpleQueue(), mp.JoinableQueue()
            lock, event, condition, barrier = mp.RLock(), mp.Event(), mp.Condition(), mp.Barrier(2)
            value, array = mp.Value("i", 1), mp.Array("d", 1000)
            here, there = mp.Pipe()
            process = mp.Process(target=work, args=(queue, lock, event, there))
            process.start()
            print(queue.get())
            event.set()
            print(here.recv())
            process.join()
            lock.acquire()
        """,
        options=("-W", "error"),
    )
    assert (done.stdout, done.stderr) == ("1\n2\n", "")


def test_fork_draws_no_warning_about_threads(tmp_path):
    """From Python 3.12 on, a fork in a process with several threads warns; none of ours may."""
    done = run_script(
        tmp_path,
        """
        import LIBRARY as mp

        def put(queue):
            queue.put(mp.current_process().name)

        if __name__ == "__main__":
            context = mp.get_context("fork")
            queue = context.SimpleQueue()
            for _ in range(3):
                process = context.Process(target=put, args=(queue,))
                process.start()
                queue.get()
                process.join()
            with context.Pool(2, maxtasksperchild=1) as pool:
                print(pool.map(abs, range(4), 1))
                process = context.Process(target=put, args=(queue,))
                if mp.__name__ == "phalanx":
                    process.start()
                    process.join()
        """,
        options=("-W", "error"),
    )
    assert (done.stdout, done.stderr) == ("[0, 1, 2, 3]\n", "")


# --- small limits ---------------------------------------------------------------------------------

USE_OF_EVERYTHING = """
import sys
import LIBRARY as mp

def work(queue, array, lock, index):
    with lock:
        array[index] = index
    queue.put(b"x" * 300_000)

def length(value):
    return len(value)

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    lock, queue, array = context.Lock(), context.Queue(), context.Array("d", 500_000)
    processes = [context.Process(target=work, args=(queue, array, lock, n)) for n in range(4)]
    for process in processes:
        process.start()
    print([len(queue.get()) for _ in processes])
    for process in processes:
        process.join()
    print([process.exitcode for process in processes], array[:4])
    locks = [context.Lock() for _ in range(300)]
    with context.Pool(4) as pool:
        print(pool.map(length, [b"y" * 5_000_000] * 8, 1))
        print(sum(pool.imap(length, (b"z" * n for n in range(500)))))
    print("end")
"""
EXPECTED = f"{[300_000] * 4}\n{[0] * 4} {[0.0, 1.0, 2.0, 3.0]}\n{[5_000_000] * 8}\n{sum(range(500))}\nend\n"


@pytest.mark.parametrize("method", START_METHODS)
def test_few_descriptors(tmp_path, method):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    done = run_script(tmp_path, USE_OF_EVERYTHING, method, limits=limit)
    assert (done.stdout, done.stderr) == (EXPECTED, "")


def test_no_descriptor_left_is_a_clear_error_and_passes(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    done = run_script(
        tmp_path,
        """
        import errno, os
        import LIBRARY as mp

        def attempt(make):
            try:
                make()
            except OSError as error:
                return error.errno == errno.EMFILE
            return "no error"

        if __name__ == "__main__":
            with mp.Pool(1) as pool:
                pool.map(abs, [1])
            held = []
            try:
                while True:
                    held.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                pass
            process = mp.Process(target=abs, args=(1,))
            print(attempt(mp.Pipe), attempt(process.start), attempt(lambda: mp.Pool(2)))
            for descriptor in held:
                os.close(descriptor)
            left, right = mp.Pipe()
            left.send("works again")
            print(right.recv())
            with mp.Pool(2) as pool:
                print(pool.map(abs, [-1, -2]))
            print(mp.active_children())
        """,
        limits=limit,
    )
    assert done.stdout == "True True True\nworks again\n[1, 2]\n[]\n", done.stderr


def can_unshare():
    done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], capture_output=True)
    return done.returncode == 0


@phalanx_only
@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("options", ["size=64k", "ro"])
def test_small_shared_memory_file_system(tmp_path, method, options):
    if os.getuid() != 0 or not can_unshare():
        pytest.skip("changing a mount needs root and the right to unshare")
    done = run_script(
        tmp_path,
        USE_OF_EVERYTHING,
        method,
        prefix=(
            *("unshare", "-m", "sh", "-c"),
            f'mount -t tmpfs -o {options} tmpfs /dev/shm && exec "$@"',
            "sh",
        ),
    )
    assert (done.stdout, done.stderr) == (EXPECTED, "")


@phalanx_only
def test_nowhere_to_write_files(tmp_path):
    """Law: nothing in the file system. With every usual place read-only all works."""
    if os.getuid() != 0 or not can_unshare():
        pytest.skip("changing a mount needs root and the right to unshare")
    mounts = " && ".join(f"mount -t tmpfs -o ro tmpfs {place}" for place in ("/dev/shm", "/var/tmp", "/run"))
    done = run_script(
        tmp_path,
        USE_OF_EVERYTHING,
        START_METHODS[0],
        env={"TMPDIR": "/nonexistent", "HOME": "/nonexistent"},
        prefix=("unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh"),
    )
    assert (done.stdout, done.stderr) == (EXPECTED, "")
