"""A time limit for one run of a program: stacks are dumped and the run fails, instead of waiting for ever."""

import contextlib
import faulthandler
import os
import signal
import sys
import time

# A program that ignores the first alarm (it may hang again while it cleans up) gets more of them, then the end.
AGAIN_SECONDS = 2
GRACE_SECONDS = 30


class OutOfTime(Exception):
    """A run took longer than the watchdog allows."""


@contextlib.contextmanager
def watchdog(seconds, mp):
    """Raise `OutOfTime` in the main thread if the block takes longer than `seconds`.

    Before that the stacks of this process and of its children (those that were forked) go to standard error, and the
    children are killed. Should the block not come to its end even then, the whole process exits with status 1.
    """
    expired = False

    def on_alarm(signum, frame):
        nonlocal expired
        if not expired:
            expired = True
            _dump_stacks(mp)
        raise OutOfTime(f"no answer within {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, on_alarm)
    # Children inherit this by fork, so that they can be asked for their stacks as well.
    faulthandler.register(signal.SIGUSR2, file=sys.__stderr__, all_threads=True)
    faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=sys.__stderr__)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        faulthandler.unregister(signal.SIGUSR2)
        signal.signal(signal.SIGALRM, previous)


def _dump_stacks(mp):
    print("\nwatchdog: out of time; the stacks of this process:", file=sys.__stderr__, flush=True)
    faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
    children = mp.active_children()
    for child in children:
        print(f"watchdog: killing {child!r}; its stacks:", file=sys.__stderr__, flush=True)
        with contextlib.suppress(OSError):
            os.kill(child.pid, signal.SIGUSR2)
    time.sleep(0.2 if children else 0)
    for child in children:
        with contextlib.suppress(OSError, ValueError):
            child.kill()
