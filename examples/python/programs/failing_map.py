"""Tasks that fail: iterating in order stops at the first failure, map raises what the one failing task raised."""

import random
import time

TITLE = "exceptions through map"


class Refused(Exception):
    """An exception with two arguments, which has to arrive as it was raised."""

    def __init__(self, number, why):
        super().__init__(number, why)
        self.number = number
        self.why = why


def fragile(argument):
    number, seconds = argument
    time.sleep(seconds)
    if random.Random(number).random() < 0.2:
        raise Refused(number, "bad luck")
    return f"task {number} done"


def program(mp, scale):
    arguments = [(number, 0.03 * scale) for number in range(24)]
    seen = []
    with mp.Pool(8) as pool:
        try:
            for result in pool.imap(fragile, arguments):
                seen.append(result)
        except Refused as error:
            seen.append((error.number, error.why))
        # Among the first arguments exactly the last one fails.
        try:
            pool.map(fragile, arguments[: len(seen)])
        except Refused as error:
            seen.append(repr(error))
    return seen
