"""Calls of which some fail: the results of map end with the first failure."""

import random
import time

from touring import rivals

TITLE = "executor: exceptions through map"


def fragile(task):
    number, seconds = task
    time.sleep(seconds)
    if random.Random(number).random() < 0.2:
        raise RuntimeError(f"task {number} has had enough")
    return f"task {number} done"


def program(mp, scale):
    seen = []
    with rivals.futures(mp).ProcessPoolExecutor(max_workers=8) as executor:
        try:
            for result in executor.map(fragile, [(number, 0.03 * scale) for number in range(24)]):
                seen.append(result)
        except RuntimeError as error:
            seen.append(repr(error))
    return seen
