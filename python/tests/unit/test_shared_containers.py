"""`SharedDict` and `SharedList`: dictionaries and lists in shared memory, held against `dict` and `list`.

Managers give them their public names; here they are tested by themselves.
"""

from __future__ import annotations

import gc
import os
import pickle
import random
import signal
import threading

import pytest
from support import phalanx_only, wait_until

pytestmark = phalanx_only
_core = pytest.importorskip("phalanx._core")

import phalanx as mp  # noqa: E402


def shared_dict(*args, **kwargs):
    shared = _core.SharedDict()
    shared._create()
    shared.update(*args, **kwargs)
    return shared


def shared_list(items=()):
    shared = _core.SharedList()
    shared._create()
    shared.extend(items)
    return shared


def outcome(action):
    """What an action gave or raised, comparable."""
    try:
        value = action()
    except Exception as error:
        return type(error), str(error)
    if isinstance(value, (_core.SharedDict, _core.SharedList)):
        value = value.copy()
    if type(value).__name__ in {"dict_keys", "dict_values", "dict_items"}:
        value = list(value)
    return type(value), repr(value)


def is_the_same(ours, theirs):
    ours, theirs = outcome(ours), outcome(theirs)
    # Wrong types of arguments are told in words that differ from method to method.
    assert ours[0] is theirs[0] if theirs[0] is TypeError else ours == theirs


# --- dictionaries ---------------------------------------------------------------------------------

KEYS = [1, True, 0, False, 1.0, -0.0, 2.5, "a", "é\U0001f600", "", b"a", b"", None, (1, "x"), (True, "x")]
KEYS += [(), ((1.0,), None), 2**70, float(2**70), -(2**63), 2**63, -1, 1e300, float("inf"), "x" * 1000]


def test_every_kind_of_key_is_found_again_and_kept_as_it_was_first_put_in():
    shared, plain = shared_dict(), {}
    for number, key in enumerate(KEYS):
        shared[key] = plain[key] = number
        assert [repr(key) for key in shared] == [repr(key) for key in plain]
    for key in KEYS:
        assert shared[key] == plain[key]
        assert key in shared
    assert repr(shared.items()) == repr(list(plain.items()))
    for key in KEYS:
        assert outcome(lambda key=key: shared.pop(key)) == outcome(lambda key=key: plain.pop(key))


class Text(str):
    pass


@pytest.mark.parametrize("key", [object(), Text("a"), frozenset([1]), float("nan"), "\ud800", (1, Text("b"))])
def test_other_keys_are_refused_with_a_signal(key):
    shared = shared_dict(a=1)
    actions = [
        lambda: shared[key],
        lambda: shared.get(key),
        lambda: key in shared,
        lambda: shared.pop(key, 1),
        lambda: shared.setdefault(key, 1),
        lambda: shared.update({key: 1}),
        lambda: shared.update({"b": 2, key: 1}),
        lambda: shared.__setitem__(key, 1),
        lambda: shared.__delitem__(key),
    ]
    for action in actions:
        with pytest.raises(_core.Unshareable):
            action()
    assert shared.copy() == {"a": 1}


@pytest.mark.parametrize("key", [[], {}, ([],), bytearray(b"a")])
def test_keys_that_no_dictionary_takes_raise_as_there(key):
    assert outcome(lambda: shared_dict()[key])[0] is TypeError
    assert outcome(lambda: shared_dict().__setitem__(key, 1))[0] is TypeError


VALUES = [
    None,
    1,
    "text",
    b"bytes",
    2.5,
    [1, 2],
    {"a": [1]},
    {1, 2},
    (1, (2, [3])),
    bytearray(b"x"),
    Exception,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_as_copies(value):
    shared = shared_dict(key=value)
    assert shared["key"] == value
    assert type(shared["key"]) is type(value)
    assert shared_list([value])[0] == value


def test_a_changed_copy_changes_nothing():
    shared = shared_dict(key=[1])
    shared["key"].append(2)
    assert shared["key"] == [1]


DICT_ACTIONS = [
    lambda d: d["a"],
    lambda d: d["missing"],
    lambda d: d.get("missing"),
    lambda d: d.get("missing", 5),
    lambda d: d.get("b", 5),
    lambda d: d.get(),
    lambda d: d.pop("missing"),
    lambda d: d.pop("missing", None),
    lambda d: d.pop("a"),
    lambda d: d.popitem(),
    lambda d: [d.popitem(), d.popitem(), d.popitem(), d.popitem()],
    lambda d: d.setdefault("a", 9),
    lambda d: d.setdefault("new", [9]),
    lambda d: d.setdefault("none"),
    lambda d: d.update(b=7, z=8),
    lambda d: d.update([("p", 1), ("b", 2)], q=3),
    lambda d: d.update({1: 2}),
    lambda d: d.update(5),
    lambda d: d.update([1]),
    lambda d: d.update(1, 2),
    lambda d: d.clear(),
    lambda d: d.keys(),
    lambda d: d.values(),
    lambda d: d.items(),
    lambda d: d.copy(),
    lambda d: len(d),
    lambda d: list(d),
    lambda d: list(reversed(d)),
    lambda d: "a" in d,
    lambda d: d | {"b": 0, "n": 1},
    lambda d: {"b": 0, "n": 1} | d,
    lambda d: d.__ior__({"b": 0, "n": 1}) and None,
    lambda d: d.__delitem__("a"),
    lambda d: d.__delitem__("missing"),
    lambda d: d.__setitem__("c", 0),
]


@pytest.mark.parametrize("action", range(len(DICT_ACTIONS)))
def test_a_shared_dictionary_does_as_a_dictionary(action):
    action = DICT_ACTIONS[action]
    start = {"a": 1, "b": [2], "c": None}
    shared, plain = shared_dict(start), dict(start)
    is_the_same(lambda: action(shared), lambda: action(plain))
    assert list(shared.copy().items()) == list(plain.items())


def test_a_long_random_life_of_a_dictionary():
    numbers = random.Random(7)
    shared, plain = shared_dict(), {}
    for _ in range(5000):
        key = numbers.choice([numbers.randrange(300), str(numbers.randrange(300))])
        kind = numbers.randrange(10)
        if kind < 5:
            shared[key] = plain[key] = "v" * numbers.randrange(200)
        elif kind < 8:
            assert shared.pop(key, None) == plain.pop(key, None)
        elif kind == 8 and plain:
            assert shared.popitem() == plain.popitem()
        else:
            assert shared.get(key) == plain.get(key)
        assert len(shared) == len(plain)
    assert list(shared.copy().items()) == list(plain.items())


# --- lists ----------------------------------------------------------------------------------------


class Index:
    def __index__(self):
        return 1


LIST_ACTIONS = [
    lambda x: x[0],
    lambda x: x[-1],
    lambda x: x[5],
    lambda x: x[-6],
    lambda x: x["a"],
    lambda x: x[True],
    lambda x: x[Index()],
    lambda x: x[1:3],
    lambda x: x[::-2],
    lambda x: x[10:],
    lambda x: x[:: Index()],
    lambda x: x[::0],
    lambda x: x["a":],
    lambda x: x.__setitem__(0, "n"),
    lambda x: x.__setitem__(-2, "n"),
    lambda x: x.__setitem__(5, "n"),
    lambda x: x.__setitem__("a", "n"),
    lambda x: x.__setitem__(Index(), "n"),
    lambda x: x.__setitem__(slice(1, 3), "abcdef"),
    lambda x: x.__setitem__(slice(1, 1), [7]),
    lambda x: x.__setitem__(slice(None, None, 2), [7, 8, 9]),
    lambda x: x.__setitem__(slice(None, None, 2), [7]),
    lambda x: x.__setitem__(slice(None), []),
    lambda x: x.__setitem__(slice(1, 2), 5),
    lambda x: x.__delitem__(0),
    lambda x: x.__delitem__(-1),
    lambda x: x.__delitem__(5),
    lambda x: x.__delitem__("a"),
    lambda x: x.__delitem__(slice(1, 4, 2)),
    lambda x: x.__delitem__(slice(None)),
    lambda x: x.append(5),
    lambda x: x.append(),
    lambda x: x.extend("xy"),
    lambda x: x.extend(5),
    lambda x: x.insert(0, "n"),
    lambda x: x.insert(2, "n"),
    lambda x: x.insert(-1, "n"),
    lambda x: x.insert(99, "n"),
    lambda x: x.insert(-99, "n"),
    lambda x: x.insert(Index(), "n"),
    lambda x: x.insert("a", "n"),
    lambda x: x.pop(),
    lambda x: x.pop(0),
    lambda x: x.pop(2),
    lambda x: x.pop(-2),
    lambda x: x.pop(9),
    lambda x: x.pop(Index()),
    lambda x: x.pop("a"),
    lambda x: [x.pop() for _ in range(6)],
    lambda x: x.remove(2),
    lambda x: x.remove("not there"),
    lambda x: x.index(2),
    lambda x: x.index(2, 2),
    lambda x: x.index(2, 3, 4),
    lambda x: x.index("not there"),
    lambda x: x.count(2),
    lambda x: 2 in x,
    lambda x: "not there" in x,
    lambda x: x.clear(),
    lambda x: x.copy(),
    lambda x: x.reverse(),
    lambda x: x.sort(),
    lambda x: x.sort(key=repr),
    lambda x: x.sort(key=repr, reverse=True),
    lambda x: x.sort(repr),
    lambda x: x.sort(key=lambda item: 0, reverse=1),
    lambda x: x.sort(key=5),
    lambda x: x + [1],  # noqa: RUF005 (what is tested)
    lambda x: x + (1,),  # noqa: RUF005 (what is tested)
    lambda x: x * 2,
    lambda x: 2 * x,
    lambda x: x * "a",
    lambda x: x.__iadd__("xy") and None,
    lambda x: x.__imul__(2) and None,
    lambda x: x.__imul__(0) and None,
    lambda x: list(x),
    lambda x: list(reversed(x)),
    lambda x: len(x),
]


@pytest.mark.parametrize("start", [[1, 2, 3.5, 2, "e"], [3, 1, 2, 2, 0], []], ids=repr)
@pytest.mark.parametrize("action", range(len(LIST_ACTIONS)))
def test_a_shared_list_does_as_a_list(action, start):
    action = LIST_ACTIONS[action]
    shared, plain = shared_list(start), list(start)
    is_the_same(lambda: action(shared), lambda: action(plain))
    # A sort that fails may leave a list in any order; a shared one it leaves alone.
    assert shared.copy() == (start if outcome(lambda: action(list(start)))[0] is TypeError else plain)


def test_a_long_random_life_of_a_list():
    numbers = random.Random(7)
    shared, plain = shared_list(), []
    for step in range(4000):
        kind, at = numbers.randrange(9), numbers.randrange(len(plain) + 1)
        if kind < 3:
            shared.append(step)
            plain.append(step)
        elif kind == 3:
            shared.insert(at, step)
            plain.insert(at, step)
        elif kind == 4 and plain:
            assert shared.pop(0) == plain.pop(0)
        elif kind == 5 and plain:
            assert shared.pop() == plain.pop()
        elif kind == 6:
            shared[at : at + 2] = plain[at : at + 2] = [step] * numbers.randrange(5)
        elif kind == 7:
            del shared[at : at + 3]
            del plain[at : at + 3]
        elif kind == 8 and step % 50 == 0:
            shared.reverse()
            plain.reverse()
        assert len(shared) == len(plain)
    assert shared.copy() == plain


# --- between processes ----------------------------------------------------------------------------


def use_dict(shared, number):
    shared[f"from {number}"] = os.getpid()
    for n in range(200):
        shared[(number, n)] = n


def use_list(shared, number):
    for n in range(200):
        shared.append((number, n))


def test_children_share_a_dictionary(ctx):
    shared = shared_dict(start=0)
    children = [ctx.Process(target=use_dict, args=(shared, n)) for n in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert len(shared) == 604
    assert [shared[f"from {n}"] for n in range(3)] == [child.pid for child in children]


def test_children_share_a_list(ctx):
    shared = shared_list()
    children = [ctx.Process(target=use_list, args=(shared, n)) for n in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    items = shared.copy()
    for number in range(3):
        assert [n for who, n in items if who == number] == list(range(200))


def answer_with_what_came(inbox, outbox):
    shared = inbox.get()
    shared["seen"] = shared["key"] + 1
    outbox.put("done")


def test_a_dictionary_goes_through_a_queue_while_somebody_holds_it(ctx):
    inbox, outbox = ctx.Queue(), ctx.Queue()
    child = ctx.Process(target=answer_with_what_came, args=(inbox, outbox))
    child.start()
    shared = shared_dict(key=1)
    inbox.put(shared)
    assert outbox.get() == "done"
    child.join()
    assert shared["seen"] == 2


def test_a_name_that_nobody_holds_any_more_is_refused():
    shared = shared_dict()
    name = shared._name()
    again = _core.SharedDict._joined(*name)
    again["x"] = 1
    assert shared["x"] == 1
    del shared, again
    gc.collect()
    with pytest.raises(RuntimeError, match="no hold"):
        _core.SharedDict._joined(*name)
    with pytest.raises(RuntimeError):
        _core.SharedList._joined(*shared_dict()._name())


def kill_oneself_while_storing(shared, ready):
    ready.set()
    n = 0
    while True:
        n += 1
        shared["key"] = [n] * (n % 500)
        shared.update({n % 50: n, "other": n})


def test_a_child_killed_at_any_moment_leaves_a_dictionary_that_works(default_ctx):
    shared = shared_dict()
    for _ in range(10):
        ready = mp.Event()
        child = mp.Process(target=kill_oneself_while_storing, args=(shared, ready))
        child.start()
        ready.wait()
        wait_until(lambda: "other" in shared, "the child stores")
        os.kill(child.pid, signal.SIGKILL)
        value = shared["key"]
        assert value == value[:1] * len(value)
        assert len(shared) == len(shared.copy())
        child.join()
        shared.clear()


def test_use_after_it_was_retired_gives_the_signal():
    shared, items = shared_dict(a=1), shared_list([1, 2])
    assert shared._retire() == {"a": 1}
    assert items._retire() == [1, 2]
    for action in (lambda: shared["a"], lambda: len(shared), lambda: items.append(1), shared._retire):
        with pytest.raises(_core.Unshareable):
            action()


def test_the_signal_can_be_pickled():
    assert type(pickle.loads(pickle.dumps(_core.Unshareable("why")))) is _core.Unshareable


class Unloadable:
    def __reduce__(self):
        return int, ("no number",)


def test_what_cannot_be_read_is_not_lost_by_retiring():
    shared, items = shared_dict(a=1, b=Unloadable()), shared_list([Unloadable()])
    for retire in (shared._retire, items._retire):
        with pytest.raises(ValueError, match="no number"):
            retire()
    assert shared["a"] == 1
    del shared["b"]
    assert shared._retire() == {"a": 1}
    assert len(items) == 1


def test_threads_count_together():
    items = shared_list()

    def work():
        for n in range(2000):
            items.append(n)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(items.copy()) == sorted(list(range(2000)) * 4)


# --- large values ---------------------------------------------------------------------------------


def test_large_values_are_each_readers_own():
    blob = os.urandom(3 << 20)
    shared = shared_dict(
        blob=blob, text="x" * 200_000, mixed=[blob[:100_000], {"a": bytearray(blob[:70_000])}]
    )
    assert shared["blob"] == blob
    assert shared["text"] == "x" * 200_000
    assert shared["mixed"] == [blob[:100_000], {"a": bytearray(blob[:70_000])}]
    assert shared.pop("blob") == blob
    assert shared.popitem()[0] == "mixed"


def test_arrays_that_were_read_can_be_written():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(300_000.0)
    items = shared_list([array])
    first = items[0]
    first[0] = 77
    assert items[0][0] == 0
    assert (items[0] == array).all()


def test_what_is_removed_gives_its_memory_back():
    shared, items = shared_dict(), shared_list()
    blob = os.urandom(1 << 20)
    for round_ in range(20):
        for n in range(20):
            shared[n] = blob
            items.append(blob)
        if round_ % 2:
            shared.clear()
            items.clear()
        else:
            while items:
                items.pop()
            for n in range(20):
                del shared[n]
    del shared, items


def test_an_unpicklable_value_leaves_everything_as_it_was():
    shared, items = shared_dict(a=1), shared_list([1])
    with pytest.raises(TypeError):
        shared["a"] = threading.Lock()
    with pytest.raises(TypeError):
        items.extend([2, threading.Lock()])
    assert (shared.copy(), items.copy()) == ({"a": 1}, [1])
