"""A cached function that is asked again and again for what it has computed before."""

import tempfile

from touring import rivals

TITLE = "Memory: asked again and again"


def collatz(number):
    steps = 0
    while number != 1:
        number = 3 * number + 1 if number % 2 else number // 2
        steps += 1
    return steps


def program(mp, scale):
    with tempfile.TemporaryDirectory(prefix="tour-") as folder:
        kept = rivals.joblib(mp).Memory(folder, verbose=0).cache(collatz)
        return [kept(number) for _ in range(max(int(100 * scale), 1)) for number in range(1, 11)]
