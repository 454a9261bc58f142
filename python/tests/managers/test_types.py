"""The objects that a manager makes, used by this process and by children."""

from __future__ import annotations

import copy
import queue
import threading
import time

import managers_targets as targets
import pytest
from support import LIBRARY, mp, phalanx_only, submodule


@pytest.fixture
def manager(default_ctx):
    with default_ctx.Manager() as manager:
        yield manager


def test_children_see_the_same_objects(ctx):
    with ctx.Manager() as manager:
        mapping, sequence = manager.dict(a=1), manager.list([1])
        value, space, array = manager.Value("i", 1), manager.Namespace(x=1), manager.Array("i", [1, 2])
        process = ctx.Process(target=targets.use_all, args=(mapping, sequence, value, space, array))
        process.start()
        process.join()
        assert process.exitcode == 0
        assert mapping._getvalue() == {"a": 1, "child": [1, 2]}
        assert sequence._getvalue() == [1, "child"]
        assert (value.value, space.child, array[:].tolist()) == (2, True, [7, 2])


def test_dict(manager):
    proxy = manager.dict([("a", 1)], b=2)
    assert (proxy["a"], proxy.get("b"), proxy.get("c"), proxy.get("c", 3)) == (1, 2, None, 3)
    assert ("a" in proxy, "c" in proxy, len(proxy)) == (True, False, 2)
    assert (proxy.keys(), proxy.values(), proxy.items()) == (["a", "b"], [1, 2], [("a", 1), ("b", 2)])
    assert list(proxy) == ["a", "b"]
    assert (proxy.setdefault("a", 5), proxy.setdefault("d", 5)) == (1, 5)
    assert (proxy.pop("d"), proxy.pop("d", None), proxy.popitem()) == (5, None, ("b", 2))
    proxy.update({"x": [1]}, y=2)
    proxy["x"].append(2)  # a copy
    assert proxy.copy() == {"a": 1, "x": [1], "y": 2}
    del proxy["x"]
    for attempt in (lambda: proxy["x"], lambda: proxy.pop("x"), lambda: proxy.__delitem__("x")):
        with pytest.raises(KeyError, match="x"):
            attempt()
    with pytest.raises(TypeError, match="unhashable"):
        proxy[[]] = 1
    proxy.clear()
    assert (len(proxy), str(proxy)) == (0, "{}")
    with pytest.raises(KeyError):
        proxy.popitem()


def test_list(manager):
    proxy = manager.list(range(4))
    assert (proxy[0], proxy[-1], proxy[1:3], len(proxy), 2 in proxy) == (0, 3, [1, 2], 4, True)
    proxy.append("x")
    proxy.extend([5, 6])
    proxy += [7]
    proxy.insert(0, "first")
    assert proxy._getvalue() == ["first", 0, 1, 2, 3, "x", 5, 6, 7]
    assert (proxy.pop(), proxy.pop(0), proxy.index("x"), proxy.count(5)) == (7, "first", 4, 1)
    proxy.remove("x")
    proxy[0:2] = [10, 20, 30]
    del proxy[-1]
    proxy.reverse()
    assert list(proxy) == [5, 3, 2, 30, 20, 10]
    proxy.sort()
    joined = proxy + [1]  # noqa: RUF005 - it is what is tested
    assert (joined, proxy * 1, 1 * proxy) == ([2, 3, 5, 10, 20, 30, 1], *[[2, 3, 5, 10, 20, 30]] * 2)
    proxy.sort(reverse=True)
    proxy *= 2
    assert (len(proxy), proxy[0], next(iter(reversed(proxy)))) == (12, 30, 2)
    for attempt, error in (
        (lambda: proxy[99], IndexError),
        (lambda: proxy.remove("none"), ValueError),
        (lambda: proxy.index("none"), ValueError),
        (lambda: proxy["a"], TypeError),
    ):
        with pytest.raises(error):
            attempt()


def test_value_namespace_and_array(manager):
    value = manager.Value("i", 5)
    value.value += 1
    value.set(value.get() + 1)
    assert (value.value, str(value)) == (7, "Value('i', 7)")
    value.value = {"any": ["thing"]}
    assert value.get() == {"any": ["thing"]}
    space = manager.Namespace(x=1, _hidden=2)
    space.y = [1]
    space._own = 3  # the proxy's
    assert (space.x, space.y, str(space)) == (1, [1], "Namespace(x=1, y=[1])")
    del space.x
    for attempt in (lambda: space.x, lambda: delattr(space, "x"), lambda: space.z):
        with pytest.raises(AttributeError):
            attempt()
    array = manager.Array("i", range(3))
    array[1] = 10
    assert (list(array), len(array), array[1:].tolist(), str(array)) == (
        [0, 10, 2],
        3,
        [10, 2],
        "array('i', [0, 10, 2])",
    )
    with pytest.raises(TypeError):
        array[0] = "x"
    with pytest.raises(IndexError):
        array[3]


def test_locks(manager):
    for lock in (manager.Lock(), manager.Semaphore(1), manager.BoundedSemaphore(1)):
        with lock:
            assert lock.acquire(False) is False
            assert lock.acquire(True, 0.01) is False
            assert lock.acquire(blocking=True, timeout=0.01) is False
        assert lock.acquire() is True
        lock.release()
    with pytest.raises(RuntimeError):
        manager.Lock().release()
    with pytest.raises(ValueError):
        manager.BoundedSemaphore(1).release()
    with pytest.raises(ValueError):
        manager.Lock().acquire(False, 1)
    rlock = manager.RLock()
    with rlock, rlock:
        found = []
        thread = threading.Thread(target=lambda: found.append(rlock.acquire(False)))
        thread.start()
        thread.join()
        assert found == [False]
    with pytest.raises(RuntimeError):
        rlock.release()


def test_a_lock_excludes_processes(ctx):
    with ctx.Manager() as manager:
        lock, value = manager.Lock(), manager.Value("i", 0)
        processes = [ctx.Process(target=targets.add_often, args=(lock, value, 50)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert value.value == 150


def test_queues(ctx):
    with ctx.Manager() as manager:
        items = manager.Queue()
        process = ctx.Process(target=targets.put_numbers, args=(items, 100))
        process.start()
        assert [items.get(timeout=60) for _ in range(100)] == list(range(100))
        process.join()
        bounded = manager.JoinableQueue(2)
        bounded.put("a")
        bounded.put(item="b", block=True, timeout=1)
        assert (bounded.full(), bounded.qsize(), bounded.empty()) == (True, 2, False)
        for attempt in (lambda: bounded.put_nowait("c"), lambda: bounded.put("c", timeout=0.01)):
            with pytest.raises(queue.Full):
                attempt()
        assert [bounded.get(), bounded.get_nowait()] == ["a", "b"]
        for attempt in (lambda: bounded.get_nowait(), lambda: bounded.get(True, 0.01)):
            with pytest.raises(queue.Empty):
                attempt()
        with pytest.raises(ValueError, match="non-negative"):
            bounded.get(timeout=-1)
        bounded.task_done()
        bounded.task_done()
        bounded.join()
        with pytest.raises(ValueError, match="too many times"):
            bounded.task_done()


def test_events_conditions_and_barriers(ctx):
    with ctx.Manager() as manager:
        results, event = manager.list(), manager.Event()
        waiting = ctx.Process(target=targets.wait_for_it, args=(event, results))
        waiting.start()
        assert (event.is_set(), event.wait(0.01)) == (False, False)
        event.set()
        waiting.join()
        event.clear()
        assert (list(results), event.is_set()) == ([True], False)

        condition = manager.Condition()
        with condition:
            telling = ctx.Process(target=targets.notify_when_told, args=(condition, results))
            telling.start()
            assert condition.wait_for(lambda: "told" in list(results), 60)
        telling.join()
        with condition:
            assert condition.wait(0.01) is False
            assert condition.wait_for(lambda: False, 0.01) is False
        for attempt in (condition.notify, condition.notify_all, condition.wait):
            with pytest.raises(RuntimeError):
                attempt()

        barrier, met = manager.Barrier(3), manager.list()
        processes = [ctx.Process(target=targets.meet, args=(barrier, met)) for _ in range(2)]
        for process in processes:
            process.start()
        met.append(barrier.wait(60))
        for process in processes:
            process.join()
        assert (sorted(met), barrier.parties, barrier.n_waiting, barrier.broken) == ([0, 1, 2], 3, 0, False)
        barrier.abort()
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait()


def test_a_condition_with_a_lock_of_the_manager(manager):
    lock = manager.Lock()
    condition = manager.Condition(lock)
    with condition:
        assert lock.acquire(False) is False
    assert lock.acquire(False) is True
    lock.release()


def test_a_barrier_with_an_action(manager):
    acted = manager.list()
    barrier = manager.Barrier(1, acted.copy)
    assert barrier.wait(60) == 0


def test_a_pool(manager):
    with manager.Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
        assert pool.apply_async(abs, (-3,)).get(60) == 3
        assert sorted(pool.imap_unordered(abs, [-4, -5])) == [4, 5]
        assert next(pool.imap(abs, [-6])) == 6


def test_nested_proxies_stay_alive(manager):
    outer = manager.dict()
    outer["inner"] = manager.list([1])
    outer["inner"].append(2)
    matrix = manager.list([manager.list([0]) for _ in range(2)])
    matrix[1][0] = 5
    space = manager.Namespace()
    space.deep = {"list": manager.list("ab")}
    items = manager.Queue()
    items.put(manager.list([3]))
    assert list(outer["inner"]) == [1, 2]
    assert [list(row) for row in matrix] == [[0], [5]]
    assert list(space.deep["list"]) == ["a", "b"]
    assert list(items.get()) == [3]
    assert "ListProxy" in str(outer)


def test_what_proxies_look_like(manager):
    managers = submodule("managers")
    kinds = {
        "dict": managers.DictProxy,
        "list": managers.ListProxy,
        "Namespace": managers.NamespaceProxy,
        "Event": managers.EventProxy,
        "Lock": managers.AcquirerProxy,
        "Condition": managers.ConditionProxy,
    }
    for typeid, kind in kinds.items():
        proxy = getattr(manager, typeid)()
        assert isinstance(proxy, kind) and isinstance(proxy, managers.BaseProxy)
        assert repr(proxy).startswith(f"<{kind.__name__} object, typeid {typeid!r} at 0x")
    assert type(manager.Queue()).__name__ == "AutoProxy[Queue]"
    assert isinstance(manager.Value("i", 1), managers.ValueProxy)
    assert isinstance(manager.Barrier(1), managers.BarrierProxy)
    assert copy.deepcopy(manager.dict(a=[1])) == {"a": [1]}
    assert copy.deepcopy(manager.list([1])) == [1]
    assert str(manager.dict(a=1)) == "{'a': 1}"


@pytest.mark.skipif(
    LIBRARY != "phalanx" and not hasattr(mp.managers, "SetProxy"), reason="sets came with 3.14"
)
def test_sets(manager):
    proxy = manager.set([1, 2])
    proxy.add(3)
    proxy |= {4}
    assert (1 in proxy, len(proxy), sorted(proxy), proxy & {1, 9}) == (True, 4, [1, 2, 3, 4], {1})
    assert (proxy == {1, 2, 3, 4}, proxy.issuperset({1}), proxy - {1}) == (True, True, {2, 3, 4})


@phalanx_only
def test_names_of_newer_versions(manager):
    mapping = manager.dict(a=1)
    mapping |= {"b": 2}
    assert mapping | {"c": 3} == {"a": 1, "b": 2, "c": 3}
    assert {"z": 0} | mapping == {"z": 0, "a": 1, "b": 2}
    assert list(reversed(mapping)) == ["b", "a"]
    assert mapping.fromkeys(["x"], 1) == {"x": 1}
    sequence = manager.list([1, 2])
    assert sequence.copy() == [1, 2]
    sequence.clear()
    assert len(sequence) == 0
    lock = manager.Lock()
    with lock:
        assert lock.locked()
    assert not lock.locked()


def test_references_are_counted(manager):
    before = manager._number_of_objects()
    proxy = manager.dict()
    assert manager._number_of_objects() == before + 1
    assert "refcount=1" in manager._debug_info()
    del proxy
    deadline = time.monotonic() + 60
    while manager._number_of_objects() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert manager._number_of_objects() == before


def test_a_childs_reference_keeps_the_object(ctx):
    with ctx.Manager() as manager:
        ready, go_on, results = manager.Event(), manager.Event(), manager.list()
        holder = manager.dict(results=results)
        process = ctx.Process(target=targets.hold_proxy, args=(results, ready, go_on))
        process.start()
        assert ready.wait(60)
        del results
        go_on.set()
        process.join()
        assert process.exitcode == 0
        assert list(holder["results"]) == ["held"]


def test_a_queue_that_is_shut_down(ctx):
    from phalanx.queues import ShutDown

    with ctx.Manager() as manager:
        items, bounded, answers = manager.Queue(), manager.Queue(1), manager.Queue()
        args = [(items.get, (), answers), (bounded.put, ("late",), answers)]
        bounded.put("first")
        waiting = [ctx.Process(target=targets.try_and_tell, args=each) for each in args]
        for process in waiting:
            process.start()
        assert answers.get(timeout=60) == answers.get(timeout=60) == "begin"
        items.shutdown()
        bounded.shutdown()
        assert answers.get(timeout=60) == answers.get(timeout=60) == "ShutDown"
        for process in waiting:
            process.join()
        # What was there can still be had.
        assert bounded.get() == "first"
        for attempt in (bounded.get, bounded.get_nowait, lambda: bounded.put(1), items.get):
            with pytest.raises(ShutDown):
                attempt()
        assert ShutDown is getattr(queue, "ShutDown", ShutDown)


def test_a_queue_that_is_shut_down_at_once_forgets_what_is_in_it(manager):
    from phalanx.queues import ShutDown

    items = manager.JoinableQueue()
    for n in range(3):
        items.put(n)
    items.get()
    items.task_done()
    items.shutdown(immediate=True)
    items.join()
    with pytest.raises(ShutDown):
        items.get()
