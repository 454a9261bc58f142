"""Processes that print two lines each under one lock: nobody's lines get between another's."""

import time

from programs.transcript import Transcript, printing_to

TITLE = "printing under a lock"


def say(lock, number, seconds, path):
    with lock, printing_to(path):
        print(f"{number} has the lock", flush=True)
        time.sleep(seconds)
        print(f"{number} gives it back", flush=True)


def program(mp, scale):
    lock = mp.Lock()
    with Transcript() as transcript:
        processes = [
            mp.Process(target=say, args=(lock, number, 0.01 * scale, transcript.path)) for number in range(10)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        lines = transcript.lines()
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    together = all(first.split()[0] == second.split()[0] for first, second in pairs)
    return sorted(pairs), together
