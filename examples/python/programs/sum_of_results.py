"""Tasks that return a random number each, summed in the parent as they arrive in order."""

import random
import time

TITLE = "sum of the tasks' results"


def draw(argument):
    seed, seconds = argument
    time.sleep(seconds)
    return random.Random(seed).random()


def program(mp, scale):
    total = 0.0
    with mp.Pool(8) as pool:
        for x in pool.imap(draw, [(seed, 0.05 * scale) for seed in range(24)]):
            total += x
    return total
