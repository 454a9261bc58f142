"""billiard: itself, and what its users take it for, with `multiprocessing` in its place."""

import multiprocessing
import os
import sys
import threading

import billiard
from billiard.exceptions import WorkerLostError


def square(x):
    return x * x


def lose_the_worker():
    os._exit(3)


def tell(queue, number):
    queue.put(number)


def pool_inside_a_worker(numbers):
    """What the standard library forbids in the daemonic worker of a pool."""
    with multiprocessing.get_context(METHOD).Pool(2) as pool:
        return pool.map(square, numbers)


def process_inside_a_worker(number):
    context = multiprocessing.get_context(METHOD)
    queue = context.SimpleQueue()
    process = context.Process(target=tell, args=(queue, number))
    process.start()
    try:
        return queue.get()
    finally:
        process.join()


def set_method(method):
    global METHOD
    METHOD = method


def billiard_itself():
    """Its own pool, queue and processes, beside phalanx, with a lost worker."""
    pool = billiard.Pool(2)
    try:
        assert pool.map(square, range(6)) == [0, 1, 4, 9, 16, 25]
        try:
            pool.apply_async(lose_the_worker).get(60)
        except Exception as error:  # It is raised as it is, or as the cause of a wrapper.
            assert WorkerLostError.__name__ in str(error) or isinstance(error, WorkerLostError)
        else:
            raise AssertionError("the death of a worker was not reported")
        assert pool.apply(square, (4,)) == 16
    finally:
        pool.terminate()
        pool.join()
    queue = billiard.Queue()
    process = billiard.Process(target=tell, args=(queue, 7))
    process.start()
    assert queue.get(timeout=60) == 7
    process.join()
    assert process.exitcode == 0


def its_recipes(method):
    """Workers that have children of their own, lost workers, results as they come, with a callback."""
    context = multiprocessing.get_context(method)
    with context.Pool(2, initializer=set_method, initargs=(method,)) as pool:
        assert pool.apply(pool_inside_a_worker, (range(4),)) == [0, 1, 4, 9]
        assert sorted(pool.map(process_inside_a_worker, range(3))) == [0, 1, 2]
        try:
            pool.apply_async(lose_the_worker).get(60)
        except Exception as error:
            assert "exit code 3" in str(error), error
        else:
            raise AssertionError("the death of a worker was not reported")
        seen, came = [], threading.Event()
        pool.apply_async(square, (5,), callback=lambda x: (seen.append(x), came.set()))
        assert came.wait(60) and seen == [25]


if __name__ == "__main__":
    if sys.argv[1] == "fork":  # It starts its own processes with its own start method.
        billiard_itself()
    its_recipes(sys.argv[1])
    print("ok")
