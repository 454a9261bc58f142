"""What decides about a cached result, and what does not."""

from __future__ import annotations

import collections
import datetime
import decimal
import functools
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import phalanx
import pytest


@pytest.fixture
def memory(tmp_path):
    return phalanx.Memory(tmp_path / "cache", verbose=0)


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y


VALUES = [
    None, True, False, 0, 1, -1, 2**63, 2**64, -(2**70), 0.0, -0.0, 1.0, 1.5, 1j, "", "a", "é", "\ud800",
    b"", b"a", bytearray(b"a"), (), (1,), (1, 1), ((1,), 1), [], [1], [[1], 1], {}, {1: 1}, {1: 2}, {2: 1},
    {"a": 1, 1: "a"}, set(), {1}, {1, "a", (2,)}, frozenset({1}), range(3), slice(1), len, [].append,
    Point, Point(1, 2), Point(2, 1), np.float64(1), np.float32(1), np.arange(3), np.arange(3.0),
    np.arange(4).reshape(2, 2), np.asfortranarray(np.arange(4).reshape(2, 2)), np.array(1), np.array([1]),
    np.array([], dtype="i4"), np.array([], dtype="f4"), np.array([None, 1], dtype=object),
    np.array(["2020-01-01"], dtype="M8[D]"), np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0]),
    np.arange(10)[::2], np.dtype("f8"), decimal.Decimal("1.0"), datetime.date(2020, 1, 1),
    collections.deque([1]), collections.OrderedDict(a=1), Ellipsis, int, b"x" * 2_000_000, "x" * 2_000_000,
]  # fmt: skip


def test_different_objects_have_different_digests():
    digests = [phalanx.hash(value) for value in VALUES]
    assert len(set(digests)) == len(VALUES)
    assert {len(digest) for digest in digests} == {32}
    assert len(phalanx.hash(1, "sha1")) == 40 and len(phalanx.hash(1, hash_name="blake3")) == 64
    with pytest.raises(ValueError, match="Valid options for 'hash_name'"):
        phalanx.hash(1, "sha3")


def test_equal_objects_have_equal_digests():
    for value in VALUES:
        # Not those whose copy differs: it gets a fill value, or loses its gaps.
        if not isinstance(value, np.ndarray) or (value.flags.forc and type(value) is np.ndarray):
            assert phalanx.hash(value) == phalanx.hash(pickle.loads(pickle.dumps(value))), repr(value)
    assert phalanx.hash({"a": 1, "b": 2}) == phalanx.hash({"b": 2, "a": 1})
    assert phalanx.hash({3, "x", 1.5}) == phalanx.hash({1.5, 3, "x"})
    one = [1, 2]
    assert phalanx.hash([one, one]) == phalanx.hash([[1, 2], [1, 2]])


def test_what_holds_itself_has_a_digest():
    def make(last):
        knot = [1, {"again": None}, last]
        knot[1]["again"] = knot
        return knot

    assert phalanx.hash(make(2)) == phalanx.hash(make(2))
    assert phalanx.hash(make(2)) != phalanx.hash(make(3))
    held = make(2)
    assert phalanx.hash(held) == phalanx.hash(make(2))
    point = Point(1, None)
    point.y = [point]
    assert phalanx.hash(point) == phalanx.hash(point)


def test_what_is_shared_often_costs_little():
    nested = [1]
    for _ in range(200):
        nested = [nested, nested]
    assert phalanx.hash(nested) == phalanx.hash(nested)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        phalanx.hash(deep)


def test_arrays_are_told_by_content_type_shape_and_order(tmp_path):
    array = np.random.default_rng(0).random((600, 700))
    assert phalanx.hash(array) == phalanx.hash(array.copy())
    others = [array.T, np.asfortranarray(array), array.astype("f4"), array.reshape(700, 600), array[::-1]]
    assert len({phalanx.hash(other) for other in [array, *others]}) == 6
    changed = array.copy()
    changed[300, 300] += 1e-9
    assert phalanx.hash(changed) != phalanx.hash(array)
    mapped = np.memmap(tmp_path / "map", "f8", "w+", shape=array.shape)
    mapped[:] = array
    assert phalanx.hash(mapped) != phalanx.hash(array)
    assert phalanx.hash(mapped, coerce_mmap=True) == phalanx.hash(array, coerce_mmap=True)


def test_what_cannot_be_looked_at_raises():
    with pytest.raises(TypeError):
        phalanx.hash(sys._getframe())

    class Stubborn:
        def __reduce_ex__(self, protocol):
            raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        phalanx.hash([Stubborn()])


def test_functions_are_told_by_what_they_do():
    def make(number):
        return lambda x: x + number

    assert phalanx.hash(make(1)) == phalanx.hash(make(1))
    assert phalanx.hash(make(1)) != phalanx.hash(make(2))
    assert phalanx.hash(lambda x: x + 1) != phalanx.hash(lambda x: x + 2)
    assert phalanx.hash(functools.partial(make(1), 2)) != phalanx.hash(functools.partial(make(2), 2))


def test_a_call_has_one_key_however_it_is_written(memory):
    @memory.cache
    def f(a, b=2, *args, c, d=4, **kwargs):
        return object

    key = f._get_args_id(1, c=3)
    assert (
        key
        == f._get_args_id(1, 2, c=3, d=4)
        == f._get_args_id(c=3, a=1)
        == f._get_args_id(b=2, d=4, c=3, a=1)
    )
    others = [
        f._get_args_id(1, 2, 3, c=3), f._get_args_id(1, c=4), f._get_args_id(1, c=3, d=5),
        f._get_args_id(1, c=3, e=5), f._get_args_id(1, 2, (), c=3), f._get_args_id(True, c=3),
    ]  # fmt: skip
    assert len({key, *others}) == 7


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "Wrong number of arguments for f"),
        ((1, 2, 3), {}, "Too many arguments for f"),
        ((1,), {"a": 1}, "both as positional and as keyword"),
        ((1,), {"z": 1}, "Too many keyword arguments for f"),
    ],
)
def test_a_call_that_cannot_be_is_refused(memory, args, kwargs, message):
    @memory.cache
    def f(a, b=2):
        return a

    with pytest.raises(ValueError, match=message):
        f(*args, **kwargs)


def test_what_is_ignored_does_not_decide(memory):
    @memory.cache(ignore=["log", "**"])
    def f(x, log=None, **rest):
        return x, log

    assert f(1, log="a", more=1) == f(1, log="b", less=2) == (1, "a")
    assert f(2, log="b") == (2, "b")
    with pytest.raises(ValueError, match="argument 'nothing' is not defined for function f"):
        memory.cache(f.func, ignore=["nothing"])(1)
    with pytest.raises(ValueError, match="must be a list"):
        memory.cache(f.func, ignore="log")(1)


def helper(x):
    return x + 1


def uses_helper(x):
    return helper(x) * FACTOR


FACTOR = 10


def test_a_changed_helper_or_global_value_counts_at_once(memory, monkeypatch):
    f = memory.cache(uses_helper)
    assert f(1) == 20
    monkeypatch.setitem(globals(), "helper", lambda x: x + 2)
    assert f(1) == 30
    monkeypatch.setitem(globals(), "FACTOR", 100)
    assert f(1) == 300
    monkeypatch.undo()
    assert f.check_call_in_cache(1) and f(1) == 20


def test_a_changed_cell_counts_at_once(memory):
    def make():
        number = 1

        @memory.cache
        def f(x):
            return x + number

        def change(to):
            nonlocal number
            number = to

        return f, change

    f, change = make()
    assert f(1) == 2
    change(10)
    assert f(1) == 11
    change(1)
    assert f.check_call_in_cache(1)
    other, _ = make()
    assert other.check_call_in_cache(1)


def test_changed_code_counts_at_once(memory):
    def f(x):
        return x + 1

    def g(x):
        return x * 100

    cached = memory.cache(f)
    assert cached(2) == 3
    f.__code__ = g.__code__
    assert cached(2) == 200


def test_closures_of_one_function_do_not_mix(memory):
    functions = [memory.cache(lambda x, n=n: x + n) for n in range(3)]
    assert [f(1) for f in functions] == [1, 2, 3]

    def make(array):
        return memory.cache(lambda i: array[i])

    assert [make(np.arange(3) * n)(1) for n in (1, 2, 1)] == [0 + 1, 2, 1]


def test_functions_of_one_name_do_not_mix(memory):
    @memory.cache
    def f(x):
        return "first"

    first = f

    @memory.cache
    def f(x):
        return "second"

    assert [first(1), f(1), first(1), f(1)] == ["first", "second", "first", "second"]


class Scaled:
    def __init__(self, memory, by):
        self.by = by
        self.scale = memory.cache(self.scale)

    def scale(self, x):
        return x * self.by


def test_methods_are_told_by_their_object(memory):
    two, three = Scaled(memory, 2), Scaled(memory, 3)
    assert (two.scale(5), three.scale(5)) == (10, 15)
    assert Scaled(memory, 2).scale.check_call_in_cache(5)
    two.by = 4
    assert two.scale(5) == 20


def test_a_default_that_changes_is_looked_at_with_each_call(memory):
    @memory.cache
    def append(x=[]):  # noqa: B006
        x.append(None)
        return len(x)

    assert (append(), append(), append()) == (1, 2, 3)


PROGRAM = """
    import sys
    import phalanx
    {imports}

    memory = phalanx.Memory(sys.argv[1], verbose=0)

    {before}

    @memory.cache
    def f(x):
        print("computed")
        return {body}

    print(f(5))
"""


def run(folder, cache, before="", body="x", imports="", name="program.py", seed="1"):
    """Run a program of its own; return what it prints."""
    before = textwrap.dedent(before).strip().replace("\n", "\n    ")
    program = folder / name
    program.write_text(textwrap.dedent(PROGRAM.format(before=before, body=body, imports=imports)))
    line = [sys.executable, str(program), str(cache)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, env=environment(seed))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def environment(seed):
    import os

    return {**os.environ, "PYTHONHASHSEED": seed}


def test_programs_find_what_others_computed(tmp_path):
    cache = tmp_path / "cache"
    helper = (
        "def helper(x): return x + 1\nNAMES = {'a', 'b', 'c', 3, None}\nclass K:\n    def m(self): return 1"
    )
    body = "(helper(x), len(NAMES), K().m())"
    first = run(tmp_path, cache, helper, body)
    assert first[0] == "computed"
    # Another hash seed, other lines, another folder.
    assert run(tmp_path, cache, f"\n\n{helper}", body, seed="2") == first[1:]
    (tmp_path / "elsewhere").mkdir()
    assert run(tmp_path / "elsewhere", cache, helper, body, seed="3") == first[1:]


CHANGES = [
    ("def helper(x): return {}", "helper(x)"),
    ("def a(x): return {}\ndef helper(x): return a(x)", "helper(x)"),
    ("N = {}", "x + N"),
    ("N = {{'a': [{}]}}", "x + N['a'][0]"),
    ("class K:\n    def m(self): return {}", "K().m()"),
    ("class K:\n    def m(self): return {}\nk = K()", "k.m()"),
    ("class B:\n    n = {}\nclass K(B): pass", "K.n"),
    ("import functools\n@functools.lru_cache\ndef h(x): return {}", "h(x)"),
    ("@memory.cache\ndef h(x): return {}", "h(x)"),
    ("T = {{'f': lambda x: {}}}", "T['f'](x)"),
]


@pytest.mark.parametrize(("before", "body"), CHANGES)
def test_a_program_that_was_changed_computes_anew(tmp_path, before, body):
    cache, one, other = tmp_path / "cache", before.format(1), before.format(2)
    first = run(tmp_path, cache, one, body)
    assert first[0] == "computed"
    second = run(tmp_path, cache, other, body)
    assert second[0] == "computed" and second != first
    # Both are known now.
    assert run(tmp_path, cache, one, body) == first[1:]
    assert run(tmp_path, cache, other, body) == second[1:]


def test_helpers_in_modules_of_the_program_count(tmp_path):
    cache, imports = tmp_path / "cache", "import mine\nimport mine as other\nfrom mine import half"
    imports = imports.replace("\n", "\n    ")
    for version, expected in [(1, ["computed", "(2,", "2.5)"]), (2, ["computed", "(3,", "2.5)"])]:
        (tmp_path / "mine.py").write_text(f"def g(x): return {version} + 1\ndef half(x): return x / 2\n")
        assert run(tmp_path, cache, "", "(mine.g(x), half(x))", imports) == expected
        assert run(tmp_path, cache, "", "(mine.g(x), half(x))", imports) == expected[1:]


def test_what_cannot_be_looked_at_in_a_definition_counts_by_its_type(tmp_path):
    before = "import threading\nlock = threading.Lock()\nhere = open(__file__)"
    cache = tmp_path / "cache"
    assert run(tmp_path, cache, before, "(lock.locked(), here.closed)") == ["computed", "(False,", "False)"]
    assert run(tmp_path, cache, before, "(lock.locked(), here.closed)") == ["(False,", "False)"]
