"""Shares of the throws for pi, kept on disk: the second time they are read and not computed."""

import random
import tempfile

from touring import rivals

TITLE = "Memory: pi, computed once"


def hits(throws, index):
    uniform = random.Random(index).uniform
    return sum(uniform(0, 1) ** 2 + uniform(0, 1) ** 2 <= 1 for _ in range(throws))


def program(mp, scale):
    joblib = rivals.joblib(mp)
    workers, throws = 4, int(1_000_000 * scale)
    with tempfile.TemporaryDirectory(prefix="tour-") as folder:
        kept = joblib.Memory(folder, verbose=0).cache(hits)
        answers = [
            joblib.Parallel(n_jobs=workers)(
                joblib.delayed(kept)(throws // workers, index) for index in range(workers)
            )
            for _ in range(3)
        ]
    return [4 * sum(shares) / throws for shares in answers]
