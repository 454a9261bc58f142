"""Tasks that fail, each waited for by itself: every other task's result arrives, callbacks see which is which."""

import random
import time

TITLE = "exceptions through apply_async"


def fragile(number, seconds):
    time.sleep(seconds)
    if random.Random(number).random() < 0.5:
        raise RuntimeError(f"task {number} failed")
    return f"task {number} done"


def program(mp, scale):
    good, bad, outcomes = [], [], []
    with mp.Pool(8) as pool:
        promises = [
            pool.apply_async(fragile, (number, 0.03 * scale), callback=good.append, error_callback=bad.append)
            for number in range(24)
        ]
        for promise in promises:
            try:
                outcomes.append(promise.get())
            except RuntimeError as error:
                outcomes.append(str(error))
        pool.close()
        pool.join()
    return outcomes, sorted(good), sorted(map(str, bad))
