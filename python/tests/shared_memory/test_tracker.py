"""The process that removes what others leave behind."""

import os
import signal
import subprocess
import sys
import textwrap
import warnings

import pytest
import support
from support import LIBRARY, phalanx_only, submodule

resource_tracker = submodule("resource_tracker")


def run(program):
    """Run a program in an interpreter of its own; return its exit code and what it complained of."""
    program = textwrap.dedent(program).replace("LIBRARY", LIBRARY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def test_the_names_that_others_use():
    tracker = resource_tracker._resource_tracker
    assert isinstance(tracker, resource_tracker.ResourceTracker)
    resource_tracker.ensure_running()
    assert resource_tracker.getfd() == tracker._fd
    assert support.runs(tracker._pid)
    assert {"noop", "shared_memory", "semaphore"} <= set(resource_tracker._CLEANUP_FUNCS)
    with pytest.raises(ValueError):
        resource_tracker.register("x" * 600, "shared_memory")


def test_what_is_taken_back_is_no_leak():
    assert run(
        """
        from LIBRARY import resource_tracker
        resource_tracker.register("/one", "shared_memory")
        resource_tracker.unregister("/one", "shared_memory")
        """
    ) == (0, "")


@phalanx_only  # a traceback there
def test_what_was_never_registered_can_be_taken_back():
    assert run(
        """
        from LIBRARY import resource_tracker
        resource_tracker.ensure_running()
        resource_tracker.unregister("/one", "shared_memory")
        """
    ) == (0, "")


def test_an_unknown_kind_is_complained_of():
    code, complaint = run(
        """
        from LIBRARY import resource_tracker
        resource_tracker.register("name", "unknown kind")
        """
    )
    assert code == 0
    assert "unknown kind" in complaint


def test_a_tracker_that_was_killed_is_started_anew():
    tracker = resource_tracker._resource_tracker
    resource_tracker.ensure_running()
    first = tracker._pid
    os.kill(first, signal.SIGKILL)
    support.wait_until(lambda: not support.runs(first), "it has ended")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        resource_tracker.ensure_running()
    assert tracker._pid != first
    assert support.runs(tracker._pid)
    assert "died unexpectedly" in str(said[0].message)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_are_meant_for_the_program_do_not_end_it(number):
    code, complaint = run(
        f"""
        import os
        from LIBRARY import resource_tracker
        from LIBRARY.shared_memory import SharedMemory
        segment = SharedMemory(create=True, size=1)
        os.kill(resource_tracker._resource_tracker._pid, {int(number)})
        """
    )
    assert code == 0
    assert "leaked shared_memory" in complaint


@phalanx_only
def test_it_does_not_run_unless_it_is_needed():
    code, complaint = run(
        """
        import LIBRARY as mp
        from LIBRARY import resource_tracker
        from LIBRARY.shared_memory import SharedMemory
        lock, queue, value = mp.Lock(), mp.Queue(), mp.Value("i")
        segment = SharedMemory(create=True, size=1, track=False)
        SharedMemory(segment.name).close()
        segment.unlink()
        assert resource_tracker._resource_tracker._fd is None
        """
    )
    assert (code, complaint) == (0, "")


def test_children_share_it(ctx):
    resource_tracker.ensure_running()
    here, there = ctx.Pipe()
    child = ctx.Process(target=_tell, args=(there,))
    child.start()
    assert here.recv() is True
    child.join()
    assert support.runs(resource_tracker._resource_tracker._pid)


def _tell(pipe):
    inherited = resource_tracker._resource_tracker._fd
    resource_tracker.ensure_running()
    tracker = resource_tracker._resource_tracker
    pipe.send(inherited is not None and tracker._fd == inherited)
