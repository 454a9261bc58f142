"""Programs with executors: how they end, and what `phalanx.patch` makes of them."""

from __future__ import annotations

import pytest
from support import Script

EXIT = """
    import time
    from phalanx import ProcessPoolExecutor

    def late(number):
        time.sleep(0.05)
        print("ran", number, flush=True)

    if __name__ == "__main__":
        executor = ProcessPoolExecutor(2)
        for number in range(10):
            executor.submit(late, number)
        executor.map(late, range(10, 20))
        {end}
"""


@pytest.mark.parametrize("end", ["pass", "del executor", "executor.shutdown(wait=False)"])
def test_a_program_that_ends_does_what_was_submitted(tmp_path, end):
    with Script(tmp_path, EXIT.replace("{end}", end)) as script:
        output, errors = script.process.communicate(timeout=60)
    assert sorted(output.split("\n")) == sorted([*(f"ran {n}" for n in range(20)), ""])
    assert script.process.returncode == 0 and errors == ""


def test_ctrl_c_ends_the_wait_for_a_result(tmp_path):
    source = """
        import os, signal, sys, time
        from phalanx import ProcessPoolExecutor

        if __name__ == "__main__":
            executor = ProcessPoolExecutor(1)
            call = executor.submit(time.sleep, 600)
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
            try:
                call.result()
            except KeyboardInterrupt:
                print("interrupted")
            executor.kill_workers()
    """
    with Script(tmp_path, source) as script:
        output, _ = script.process.communicate(timeout=60)
    assert output == "interrupted\n" and script.process.returncode == 0


@pytest.mark.parametrize("order", ["before", "after"])
def test_patch_replaces_the_executor(tmp_path, order):
    source = """
        import phalanx
        BEFORE
        phalanx.patch()
        from concurrent import futures
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool

        if __name__ == "__main__":
            assert futures.ProcessPoolExecutor is ProcessPoolExecutor is phalanx.ProcessPoolExecutor
            assert BrokenProcessPool is phalanx.futures.BrokenProcessPool
            with ProcessPoolExecutor(2) as executor:
                assert list(executor.map(abs, [-1, -2])) == [1, 2]
            phalanx.unpatch()
            from concurrent.futures.process import ProcessPoolExecutor as standard
            assert standard is futures.ProcessPoolExecutor is not phalanx.ProcessPoolExecutor
            with standard(2) as executor:
                assert list(executor.map(abs, [-1, -2])) == [1, 2]
            print("done")
    """
    first = "from concurrent.futures import ProcessPoolExecutor" if order == "after" else ""
    with Script(tmp_path, source.replace("BEFORE", first)) as script:
        output, errors = script.process.communicate(timeout=60)
    assert (output, script.process.returncode) == ("done\n", 0), errors
