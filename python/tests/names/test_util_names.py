"""Names of `util` that are not documented, as programs use them."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import sys
import threading

import pytest
from support import START_METHODS, mp, phalanx_only, run_script, submodule

util = submodule("util")


class Thing:
    pass


# Finalizers.


def test_finalizers_run_once():
    calls = []
    thing = Thing()
    by_death = util.Finalize(thing, calls.append, args=("died",))
    by_call = util.Finalize(thing, calls.append, args=("called",), exitpriority=1)
    cancelled = util.Finalize(thing, calls.append, args=("cancelled",))
    assert by_death._key in util._finalizer_registry
    assert by_death.still_active()
    cancelled.cancel()
    assert not cancelled.still_active()
    by_call()
    by_call()
    assert calls == ["called"]
    del thing
    gc.collect()
    assert calls == ["called", "died"]
    assert not by_death.still_active()
    with pytest.raises(ValueError):
        util.Finalize(None, calls.append)


def test_finalizers_run_in_order_of_their_priority():
    calls = []
    for priority in (10, 30, 20):
        util.Finalize(None, calls.append, args=(priority,), exitpriority=priority)
    kept = util.Finalize(None, calls.append, args=("low",), exitpriority=-7)
    util._run_finalizers(10)
    assert calls == [30, 20, 10]
    kept.cancel()


@pytest.mark.parametrize("method", START_METHODS)
def test_finalizers_and_the_end_of_a_process(tmp_path, method):
    done = run_script(
        tmp_path,
        """
        import sys
        import LIBRARY as mp
        from LIBRARY import util

        def child():
            util.Finalize(None, print, args=("child's end",), exitpriority=1)
            print("child", flush=True)

        if __name__ == "__main__":
            util.Finalize(None, print, args=("parent's end", util.is_exiting()), exitpriority=0)
            process = mp.get_context(sys.argv[1]).Process(target=child)
            process.start()
            process.join()
            print("parent", util.is_exiting())
        """,
        method,
    )
    assert done.stdout.splitlines() == ["child", "child's end", "parent False", "parent's end False"]


def test_the_exit_function_can_be_called_early(tmp_path):
    """As packages do whose workers end in their own way."""
    done = run_script(
        tmp_path,
        """
        import os
        from LIBRARY import util

        util.Finalize(None, print, args=("finalized",), exitpriority=0)
        print(util.is_exiting())
        util._exit_function()
        print(util.is_exiting(), flush=True)
        os._exit(0)
        """,
    )
    assert done.stdout.splitlines() == ["False", "finalized", "True"]


# After a fork.


def in_child(pipe, thing):
    pipe.send(thing.mark)


def set_mark(thing):
    thing.mark = os.getpid()


def test_functions_after_a_fork():
    ctx = mp.get_context("fork")
    thing = Thing()
    thing.mark = 0
    util.register_after_fork(thing, set_mark)
    assert any(obj is thing for obj in util._afterfork_registry.values())
    here, there = ctx.Pipe()
    child = ctx.Process(target=in_child, args=(there, thing))
    child.start()
    assert here.recv() == child.pid
    child.join()
    assert thing.mark == 0


def use_both(pipe, lock, local):
    with lock:
        pipe.send(vars(local))


def test_locks_and_locals_that_know_of_forks():
    ctx = mp.get_context("fork")
    lock, local = util.ForkAwareThreadLock(), util.ForkAwareLocal()
    local.value = 1
    here, there = ctx.Pipe()
    child = ctx.Process(target=use_both, args=(there, lock, local))
    with lock:  # It is free in the child.
        child.start()
        assert here.poll(30)
        assert here.recv() == {}
    child.join()
    assert lock.acquire() is True and lock.release() is None
    assert local.value == 1
    seen = []
    thread = threading.Thread(target=lambda: seen.append(hasattr(local, "value")))
    thread.start()
    thread.join()
    assert seen == [False]
    assert type(pickle.loads(pickle.dumps(local))) is util.ForkAwareLocal


# The log.


@pytest.fixture
def logger():
    logger = mp.get_logger()
    level, handlers = logger.level, logger.handlers[:]
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers


def test_the_log(logger):
    assert util._logger is logger is util.get_logger()
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    logger.setLevel(util.SUBDEBUG)
    util.sub_debug("one %d", 1)
    util.debug("two")
    util.info("three")
    util.sub_warning("four")
    assert [record.getMessage() for record in records] == ["one 1", "two", "three", "four"]
    assert [record.levelno for record in records] == [5, 10, 20, 25]
    assert util.SUBWARNING == 25
    assert not logger.propagate


@pytest.mark.parametrize("method", START_METHODS)
def test_the_log_on_standard_error(tmp_path, method):
    done = run_script(
        tmp_path,
        """
        import logging
        import sys
        import LIBRARY as mp
        from LIBRARY import util

        def child():
            util.info("from the child")

        if __name__ == "__main__":
            print(util._log_to_stderr)
            mp.log_to_stderr(logging.INFO)
            print(util._log_to_stderr)
            process = mp.get_context(sys.argv[1]).Process(target=child, name="Worker")
            process.start()
            process.join()
        """,
        method,
    )
    assert done.stdout.split() == ["False", "True"]
    assert "[INFO/Worker] from the child" in done.stderr
    assert "[INFO/Worker] process exiting with exitcode 0" in done.stderr
    assert "[INFO/MainProcess] process shutting down" in done.stderr


# Descriptors, programs and folders.


# Keeping the first one closes all on some versions of the standard library.
@pytest.mark.parametrize("kept", ["1, 2", pytest.param("0, 1, 2", marks=phalanx_only)])
def test_closing_all_descriptors_but_some(tmp_path, kept):
    done = run_script(
        tmp_path,
        """
        import os
        from LIBRARY import util

        read, write = os.pipe()
        other, _ = os.pipe()
        util.close_all_fds_except([write, KEPT])
        closed = []
        for fd in (read, other):
            try:
                os.fstat(fd)
            except OSError:
                closed.append(fd)
        os.fstat(write)
        print(len(closed), flush=True)
        os._exit(0)
        """.replace("KEPT", kept),
    )
    assert done.stdout.split() == ["2"]


def test_programs_with_descriptors():
    read, write = os.pipe()
    program = f"import os; os.write({write}, b'passed')"
    pid = util.spawnv_passfds(os.fsencode(sys.executable), [sys.executable, "-S", "-c", program], [write])
    os.close(write)
    assert os.read(read, 100) == b"passed"
    os.close(read)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_folder_for_a_while(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os
        import LIBRARY as mp
        from LIBRARY import util

        def child(folder):
            print(util.get_temp_dir() == folder, flush=True)

        if __name__ == "__main__":
            folder = util.get_temp_dir()
            print(folder == util.get_temp_dir(), os.path.basename(folder).startswith("pymp-"))
            process = mp.get_context("fork").Process(target=child, args=(folder,))
            process.start()
            process.join()
            print(os.path.isdir(folder))
            print(folder)
        """,
    )
    *answers, folder = done.stdout.splitlines()
    assert answers == ["True True", "True", "True"]
    assert not os.path.exists(folder)


def test_flags_of_the_interpreter(tmp_path):
    done = run_script(
        tmp_path,
        "from LIBRARY import util; print(*util._args_from_interpreter_flags())",
        options=("-B", "-O", "-W", "ignore", "-X", "utf8"),
    )
    flags = done.stdout.split()
    assert "-B" in flags and "-O" in flags and "-Wignore" in flags
    assert flags[flags.index("-X") :].count("-X") >= 1
    assert util.abstract_sockets_supported is True
