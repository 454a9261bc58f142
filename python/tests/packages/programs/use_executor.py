"""The standard library's own process pool, on top of phalanx, and what `logging` says of processes."""

import logging
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool


def square(x):
    return x * x


def name():
    return logging.LogRecord("", 0, "", 0, "", None, None).processName


def die():
    os._exit(3)


class Unpicklable:
    def __reduce__(self):
        raise TypeError("this stays here")


def main():
    with ProcessPoolExecutor(2) as executor:
        assert list(executor.map(square, range(20), chunksize=3)) == [x * x for x in range(20)]
        futures = [executor.submit(square, x) for x in range(5)]
        assert sorted(future.result() for future in as_completed(futures)) == [0, 1, 4, 9, 16]
        assert "Process-" in executor.submit(name).result(60)
        error = executor.submit(square, Unpicklable()).exception(60)
        assert isinstance(error, TypeError) and "this stays here" in str(error), error
        assert executor.submit(square, 3).result(60) == 9
    with ProcessPoolExecutor(1) as executor:
        try:
            executor.submit(die).result(60)
        except BrokenProcessPool:
            pass
        else:
            raise AssertionError("the death of a worker was not reported")


if __name__ == "__main__":
    import multiprocessing

    multiprocessing.set_start_method(sys.argv[1])
    main()
    print("ok")
