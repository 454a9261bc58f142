"""A loop of ten short calls, run two at a time by Parallel, a few times over."""

from touring import rivals

TITLE = "Parallel: squares"


def square(x):
    return x * x


def program(mp, scale):
    joblib = rivals.joblib(mp)
    return [
        joblib.Parallel(n_jobs=2)(joblib.delayed(square)(x) for x in range(10))
        for _ in range(max(int(20 * scale), 1))
    ]
