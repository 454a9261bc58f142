"""A process for every turn of a loop; the tasks only wait, so all of them take about as long as one."""

import time

from programs.transcript import Transcript, printing_to

TITLE = "24 processes that sleep"


def task(number, seconds, path):
    time.sleep(seconds)
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
