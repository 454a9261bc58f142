"""Values that misbehave: as argument, as result, as exception, through queues, pipes and managers.

Whatever they do, the call ends with a value or an exception, the machinery goes on, and nothing is lost.
"""

from __future__ import annotations

import contextlib

import evil
import pytest
import targets
from doors import through
from support import mp, phalanx_only

pytestmark = [
    phalanx_only,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def take(value):
    """A task whose argument arrived."""
    return type(value).__name__


def attempt(action):
    """What an action comes to: a value, or an exception of any kind, of which nothing is asked."""
    try:
        return "value", action()
    except BaseException as error:
        if type(error).__name__ == "Hung":
            raise
        return "error", type(error).__name__


@through()
def test_as_argument(default_ctx, door):
    with door(default_ctx, 2) as team:
        for name in evil.NAMES:
            later = attempt(lambda name=name: team.submit(take, evil.make(name)))
            if later[0] == "value":
                attempt(lambda later=later: later[1].get(60))
            assert team.works(), name


@through()
def test_as_result(default_ctx, door):
    with door(default_ctx, 2) as team:
        for name in evil.NAMES:
            attempt(lambda name=name: team.call(evil.make, name))
            assert team.works(), name


@through()
def test_as_exception(default_ctx, door):
    with door(default_ctx, 2) as team:
        for name in evil.RAISES:
            said = attempt(lambda name=name: team.call(evil.raise_it, name))
            assert said[0] == "error", name
            assert team.works(), name


def test_in_the_middle_of_a_map(default_ctx):
    with default_ctx.Pool(2) as pool:
        for name in evil.NAMES:
            attempt(lambda name=name: pool.map(take, [1, 2, evil.make(name), 4]))
            attempt(lambda name=name: pool.map(evil.make, [name] * 3))
            assert pool.map(targets.square, range(10)) == [n * n for n in range(10)], name
    pool.join()


def test_in_the_middle_of_imap_only_that_item_fails(default_ctx):
    with default_ctx.Pool(2) as pool:
        items = [1, evil.ReduceRaises("a"), 2, evil.LoadRaises("b"), 3, evil.LoadExits("c"), 4]
        results = pool.imap(take, items)
        said = [attempt(results.next) for _ in items]
        assert [kind for kind, _ in said] == ["value", "error"] * 3 + ["value"]
        assert [attempt(results.next)] == [("error", "StopIteration")]
    pool.join()


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue", "JoinableQueue"])
def test_through_a_queue(default_ctx, kind):
    queue = getattr(default_ctx, kind)()
    for name in evil.NAMES:
        put = attempt(lambda name=name: queue.put(evil.make(name)))
        queue.put("after")
        if put[0] == "value":
            attempt(queue.get)
        assert attempt(queue.get) == ("value", "after"), name
    queue.close()


def test_through_a_pipe(default_ctx):
    here, there = default_ctx.Pipe()
    for name in evil.NAMES:
        sent = attempt(lambda name=name: here.send(evil.make(name)))
        here.send("after")
        if sent[0] == "value":
            attempt(there.recv)
        assert attempt(there.recv) == ("value", "after"), name
    here.close()
    there.close()


def test_through_a_manager(default_ctx):
    with default_ctx.Manager() as manager:
        shared = {"dict": manager.dict(), "list": manager.list(), "queue": manager.Queue()}
        for name in evil.NAMES:
            attempt(lambda name=name: shared["dict"].__setitem__("key", evil.make(name)))
            attempt(lambda: shared["dict"].get("key"))
            attempt(lambda name=name: shared["dict"].get(evil.make(name)))
            attempt(lambda name=name: shared["list"].append(evil.make(name)))
            attempt(lambda: shared["list"].pop())
            attempt(lambda name=name: shared["queue"].put(evil.make(name)))
            while not shared["queue"].empty():
                attempt(shared["queue"].get)
            shared["dict"]["fine"] = name
            assert shared["dict"]["fine"] == name
            shared["list"].append(name)
            assert shared["list"].pop() == name
        shared.clear()


@pytest.mark.parametrize("name", evil.NAMES)
def test_as_argument_of_a_process(default_ctx, name):
    """A forked child needs no packing; of the others the error is the caller's or the child's."""
    process = default_ctx.Process(target=take, args=(evil.make(name),))
    if attempt(process.start)[0] == "value":
        process.join()
    with contextlib.suppress(ValueError):
        process.close()


def test_as_argument_of_an_initializer(default_ctx):
    for name in ("LoadRaises", "LoadExits", "StateRaises", "ReprRaises"):
        context = mp.get_context("spawn")

        def use(name=name, context=context):
            with context.Pool(1, take, (evil.make(name),)) as pool:
                return pool.apply(targets.square, (3,))

        attempt(use)
    with default_ctx.Pool(1) as pool:
        assert pool.apply(targets.square, (3,)) == 9
    pool.join()
