"""Calls of which some fail: each future has its own outcome, gathered as they are completed."""

import random
import time

from touring import rivals

TITLE = "executor: exceptions one by one"


def fragile(number, seconds):
    time.sleep(seconds)
    if random.Random(number).random() < 0.5:
        raise ValueError(number, "a coin fell on its head")
    return number


def program(mp, scale):
    futures = rivals.futures(mp)
    outcomes = []
    with futures.ProcessPoolExecutor(max_workers=8) as executor:
        submitted = [executor.submit(fragile, number, 0.03 * scale) for number in range(24)]
        for future in futures.as_completed(submitted):
            outcomes.append(repr(future.exception() or future.result()))
    return sorted(outcomes)
