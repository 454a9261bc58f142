"""joblib with each of its backends, its own exceptions, a memory map and nested calls."""

import math
import sys

import joblib
import numpy
from joblib import Parallel, delayed


def add_one(x):
    return x + 1


def total(array):
    return float(array.sum())


def fail(x):
    raise ValueError(f"no {x}")


def nested(n):
    return sum(Parallel(n_jobs=2, backend="threading")(delayed(add_one)(i) for i in range(n)))


def main():
    for backend in ("multiprocessing", "loky", "threading"):
        with joblib.parallel_config(backend=backend, n_jobs=2):
            assert Parallel()(delayed(math.sqrt)(i * i) for i in range(30)) == list(range(30))
            assert Parallel()(delayed(add_one)(i) for i in range(5)) == [1, 2, 3, 4, 5]
            # More than a megabyte: joblib passes it as a memory map.
            array = numpy.ones(300_000)
            assert Parallel(max_nbytes="1M")(delayed(total)(array) for _ in range(4)) == [300_000.0] * 4
            assert Parallel()(delayed(nested)(n) for n in (3, 4)) == [6, 10]
            try:
                Parallel()(delayed(fail)(i) for i in range(4))
            except ValueError as error:
                assert "no " in str(error)
            else:
                raise AssertionError("the error did not arrive")
        print(backend, "done", flush=True)
    generator = Parallel(n_jobs=2, backend="loky", return_as="generator")(
        delayed(add_one)(i) for i in range(6)
    )
    assert list(generator) == [1, 2, 3, 4, 5, 6]


if __name__ == "__main__":
    import multiprocessing

    multiprocessing.set_start_method(sys.argv[1])
    assert multiprocessing.Process.__module__ == "phalanx.context"
    main()
    print("ok")
