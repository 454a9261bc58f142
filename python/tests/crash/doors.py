"""The ways to give tasks to worker processes, behind one interface: tests run once for each door."""

from __future__ import annotations

import concurrent.futures
import contextlib

import pytest
from support import mp

# What waits for a result raise when their time is over: until Python 3.10 these are three classes.
TIMEOUTS = (mp.TimeoutError, concurrent.futures.TimeoutError, TimeoutError)


class Team:
    """Workers, and how they are asked."""

    def __init__(self, ask, submit):
        self._ask = ask
        self.submit = submit  # returns something with a method `get(timeout)`

    def outcomes(self, function, items) -> list:
        """For each item what `function(item)` returned, or the exception that was raised for it."""
        return list(self._ask(function, list(items)))

    def call(self, function, *args):
        return self.submit(function, *args).get(60)

    def works(self) -> bool:
        return self.outcomes(doubled, range(30)) == [number * 2 for number in range(30)]


def doubled(number):
    return number * 2


class _Later:
    """A future with the interface of `AsyncResult`."""

    def __init__(self, future):
        self.future = future

    def get(self, timeout=None):
        return self.future.result(timeout)


def outcome(get):
    try:
        return get()
    except Exception as error:
        return error


@contextlib.contextmanager
def _apply_async(context, workers, **options):
    with context.Pool(workers, **options) as pool:

        def ask(function, items):
            results = [pool.apply_async(function, (item,)) for item in items]
            return [outcome(lambda result=result: result.get(60)) for result in results]

        yield Team(ask, lambda function, *args: pool.apply_async(function, args))
    pool.join()


@contextlib.contextmanager
def _imap(context, workers, **options):
    with context.Pool(workers, **options) as pool:

        def ask(function, items):
            results = pool.imap(function, items)
            return [outcome(lambda: results.next(60)) for _ in items]

        yield Team(ask, lambda function, *args: pool.apply_async(function, args))
    pool.join()


@contextlib.contextmanager
def _executor(context, workers, **options):
    with mp.ProcessPoolExecutor(workers, context, **options) as executor:

        def ask(function, items):
            futures = [executor.submit(function, item) for item in items]
            return [outcome(lambda future=future: future.result(60)) for future in futures]

        yield Team(ask, lambda function, *args: _Later(executor.submit(function, *args)))


DOORS = {"apply_async": _apply_async, "imap": _imap, "executor": _executor}


def through(*names):
    """Run a test once for each door: it is given as `door`, to be called with a context and a number."""
    chosen = {name: DOORS[name] for name in names or DOORS}
    return pytest.mark.parametrize("door", chosen.values(), ids=chosen.keys())
