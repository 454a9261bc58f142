"""The server or a client dies: nobody hangs, and everybody is told."""

from __future__ import annotations

import os
import signal
import threading
import time

import managers_targets as targets
import pytest
from support import phalanx_only, run_script, submodule, wait_until

managers = submodule("managers")


def test_calls_of_a_killed_server_fail(ctx):
    manager = targets.OwnManager(ctx=ctx)
    manager.start()
    counter = manager.Counter()
    for _ in range(30):
        counter.add()
    errors = []

    def wait():
        try:
            counter.wait(600)
        except (EOFError, OSError) as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    os.kill(manager._process.pid, signal.SIGKILL)
    waiting.join()
    assert len(errors) == 1
    for _ in range(3):
        with pytest.raises((EOFError, OSError)):
            counter.add()
    with pytest.raises((EOFError, OSError)):
        manager.Counter()
    manager.shutdown()


def test_a_killed_client_does_not_disturb_the_others(ctx):
    with targets.OwnManager(ctx=ctx) as manager:
        counter = manager.Counter()
        process = ctx.Process(target=targets.add_through, args=(counter, 10_000_000))
        process.start()
        wait_until(lambda: counter.get() > 50, "the child counts")
        process.kill()
        process.join()
        number = counter.add(0)
        assert counter.add() in (number + 1, number + 2)
        with manager._Client(manager.address, authkey=manager._authkey):
            pass
        assert manager._number_of_objects() >= 1


def test_shutdown_leaves_nothing(ctx, resources):
    with ctx.Manager() as manager:
        mapping, items = manager.dict(a=1), manager.Queue()
        counter = manager.Array("i", [0])
        process = ctx.Process(target=targets.put_numbers, args=(items, 5))
        process.start()
        assert [items.get() for _ in range(5)] == list(range(5))
        process.join()
        for _ in range(40):
            counter[0] += 1
        mapping["large"] = b"x" * 1_000_000
    del mapping, items, counter, manager, process
    resources.settle()


def test_the_server_ends_with_its_starter(tmp_path):
    source = """
        import os, sys
        import support
        if __name__ == "__main__":
            manager = support.mp.Manager()
            print(manager._process.pid, flush=True)
            os._exit(3)
    """
    done = run_script(tmp_path, source, check=False)
    pid = int(done.stdout)
    if support_is_phalanx():
        wait_until(lambda: not os.path.exists(f"/proc/{pid}") or gone(pid), "the server has ended")
    elif not gone(pid):
        os.kill(pid, signal.SIGKILL)


def support_is_phalanx():
    import support

    return support.IS_PHALANX


def gone(pid):
    import support

    return not support.runs(pid)


@phalanx_only
def test_ctrl_c_in_a_call(default_ctx):
    with targets.OwnManager(ctx=default_ctx) as manager:
        counter = manager.Counter()
        for warm in (0, 30):
            for _ in range(warm):
                counter.add(0)
            timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                counter.wait(600)
            timer.join()
            assert counter.get() == 0
