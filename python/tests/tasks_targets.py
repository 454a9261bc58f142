"""What the workers of the tests in `tasks` run. Importable quickly, by every start method."""

from __future__ import annotations

import logging
import os
import random
import time

import phalanx


def draw(number):
    """Random numbers of all kinds, and those of a module that only this task may have imported."""
    import numpy as np

    own = phalanx.rng()
    return number, random.random(), float(np.random.random()), float(own.random()), own is phalanx.rng()


def draw_two(first, second):
    return first, second, random.random()


def draw_global(_):
    import numpy as np

    return random.random(), float(np.random.random())


def draw_once_in_vain(path):
    """Fail the first time, after having drawn; succeed the second."""
    drawn = random.random(), float(phalanx.rng().random())
    if not os.path.exists(path):
        open(path, "w").close()
        raise RuntimeError("the first try")
    return drawn


def draw_after_death(path):
    """Kill the worker the first time, after having drawn."""
    drawn = random.random()
    if not os.path.exists(path):
        open(path, "w").close()
        os._exit(3)
    return drawn


def has_numpy(_):
    import sys

    return "numpy" in sys.modules


def draw_in_child(_):
    """What a child process of the task draws, and what the task itself draws."""
    queue = phalanx.get_context("fork").SimpleQueue()
    child = phalanx.get_context("fork").Process(target=lambda: queue.put(float(phalanx.rng().random())))
    child.start()
    value = queue.get()
    child.join()
    return value, float(phalanx.rng().random())


def true_at_zero_else_wait(number, seconds=60):
    """True for 0; else wait to be cancelled: the time it took, or -1 if it never came."""
    if number == 0:
        return True
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if phalanx.cancelled():
            return False
    os._exit(9)
    return False


def note_and_wait(where):
    """Leave a file, and another when cancelled."""
    path, number = where
    if number == 0:
        # Not before the others run.
        while len(os.listdir(path)) < 1:
            time.sleep(0.01)
        return True
    open(os.path.join(path, f"began-{number}"), "w").close()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if phalanx.cancelled():
            open(os.path.join(path, f"ended-{number}"), "w").close()
            return False
        time.sleep(0.001)
    return False


def leave_a_file(path):
    open(path, "w").close()
    return path


def is_cancelled(_=None):
    return phalanx.cancelled()


def log_some(number):
    log = logging.getLogger("tasks.part")
    log.info("task %d begins", number, extra={"item": number})
    try:
        raise ValueError(f"number {number}")
    except ValueError:
        log.exception("task %d fails", number)
    logging.getLogger("tasks.quiet").info("below its level")
    return os.getpid()


def log_and_die(_):
    logging.getLogger("tasks.part").warning("about to end")
    os._exit(5)


def log_strangely(_):
    class Odd:
        def __reduce__(self):
            raise TypeError("not to be sent")

        def __repr__(self):
            return "<odd>"

    logging.getLogger("tasks.part").warning("odd: %s", Odd(), extra={"odd": Odd()})
    return True


def log_in_child(_):
    child = phalanx.get_context("fork").Process(target=log_some, args=(7,))
    child.start()
    child.join()
    return child.exitcode


def fail_at_odd(number):
    if number % 2:
        raise ValueError(number)
    return number
