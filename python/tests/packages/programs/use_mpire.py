"""mpire: maps, shared objects, worker state, an exception and a time limit."""

import sys
import time

from mpire import WorkerPool


def square(x):
    return x * x


def scaled(shared, x):
    return shared["factor"] * x


def begin(state):
    state["count"] = 0


def count(state, x):
    state["count"] += 1
    return x


def fail(x):
    raise KeyError(x)


def hang(x):
    time.sleep(600)


def main(method):
    with WorkerPool(n_jobs=2, start_method=method) as pool:
        assert pool.map(square, range(20)) == [x * x for x in range(20)]
        assert list(pool.imap(square, range(20), chunk_size=3)) == [x * x for x in range(20)]
        assert sorted(pool.imap_unordered(square, range(5))) == [0, 1, 4, 9, 16]
        assert pool.apply(square, 5) == 25
    with WorkerPool(n_jobs=2, start_method=method, shared_objects={"factor": 3}) as pool:
        assert pool.map(scaled, range(5)) == [0, 3, 6, 9, 12]
    with WorkerPool(n_jobs=2, start_method=method, use_worker_state=True) as pool:
        assert pool.map(count, range(5), worker_init=begin) == [0, 1, 2, 3, 4]
    with WorkerPool(n_jobs=2, start_method=method) as pool:
        try:
            pool.map(fail, range(3))
        except KeyError:
            pass
        else:
            raise AssertionError("the error did not arrive")
    with WorkerPool(n_jobs=2, start_method=method) as pool:
        try:
            pool.map(hang, range(2), task_timeout=0.5)
        except TimeoutError:
            pass
        else:
            raise AssertionError("the time limit was not kept")


if __name__ == "__main__":
    main(sys.argv[1])
    print("ok")
