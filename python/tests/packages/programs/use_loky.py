"""loky's reusable executor: results, errors, a worker that dies, and another size."""

import os
import sys

import loky


def square(x):
    return x * x


def die():
    os._exit(3)


def main():
    executor = loky.get_reusable_executor(max_workers=2)
    assert list(executor.map(square, range(10))) == [x * x for x in range(10)]
    assert executor.submit(lambda: 5).result(60) == 5
    try:
        executor.submit(die).result(60)
    except loky.process_executor.TerminatedWorkerError:
        pass
    else:
        raise AssertionError("the death of a worker was not reported")
    executor = loky.get_reusable_executor(max_workers=3)
    assert list(executor.map(square, range(10))) == [x * x for x in range(10)]
    executor.shutdown()
    with loky.ProcessPoolExecutor(2) as executor:
        assert executor.submit(square, 7).result(60) == 49


if __name__ == "__main__":
    import multiprocessing

    multiprocessing.set_start_method(sys.argv[1])
    main()
    print("ok")
