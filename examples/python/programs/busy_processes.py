"""A process for every turn of a loop; the tasks compute for a fixed time, so they compete for the processors."""

import time

from programs.transcript import Transcript, printing_to

TITLE = "24 processes that compute"


def task(number, seconds, path):
    x = 0.5
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        x = x * x + 0.1
    with printing_to(path):
        print(f"task {number} done", flush=True)


def program(mp, scale):
    with Transcript() as transcript:
        processes = [
            mp.Process(target=task, args=(number, 0.2 * scale, transcript.path)) for number in range(24)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return sorted(transcript.lines())
