"""Twenty thousand tiny calls, whose results are used as they come."""

import math

from touring import rivals

TITLE = "Parallel: results as they come"


def program(mp, scale):
    joblib = rivals.joblib(mp)
    parallel = joblib.Parallel(n_jobs=2, return_as="generator")
    calls = (joblib.delayed(math.isqrt)(number) for number in range(int(20_000 * scale)))
    return sum(parallel(calls))
