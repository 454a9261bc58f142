"""Tasks that wait and return a number, on an executor: their results are summed up in order."""

import random
import time

from touring import rivals

TITLE = "executor: map, summed up"


def waited(task):
    number, seconds = task
    time.sleep(seconds)
    return random.Random(number).randrange(1000)


def program(mp, scale):
    seconds = 0.03 * scale
    with rivals.futures(mp).ProcessPoolExecutor(max_workers=8) as executor:
        return sum(executor.map(waited, [(number, seconds) for number in range(24)]))
