"""A pool of the default size, one worker a processor, computes 24 tasks of a fixed time."""

import time

TITLE = "24 tasks, default pool"


def task(argument):
    number, seconds = argument
    x = 0.5
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        x = x * x + 0.1
    return f"task {number} done"


def program(mp, scale):
    with mp.Pool() as pool:
        return pool.map(task, [(number, 0.05 * scale) for number in range(24)])
