"""What travels through a pool: arguments, results, functions and exceptions of every kind."""

from __future__ import annotations

import array
import datetime
import decimal
import fractions
import functools
import math
import os
import pathlib
import re
import subprocess
import sys
import traceback
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass

import pytest
import targets
from support import START_METHODS, mp, phalanx_only, run_script, submodule, wait_until

numpy = pytest.importorskip("numpy", reason="numpy is an optional companion")


@pytest.fixture
def pool(default_ctx):
    with default_ctx.Pool(2) as pool:
        yield pool
    pool.join()


# --- values ---------------------------------------------------------------------------------------

Pair = namedtuple("Pair", "left right")


@dataclass
class Record:
    number: int
    text: str
    parts: list


class IntSubclass(int):
    pass


class ListSubclass(list):
    pass


VALUES = [
    None, True, False, 0, -1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**1000,
    0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324, 1 + 2j,
    "", "text", "žluťoučký kůň", "\U0001f600", "\ud800", "a\0b", "x" * 70_000,
    b"", b"bytes", bytes(range(256)), b"\0" * 70_000, bytearray(b"array"),
    (), (1,), (1, "a", None, 2.5, b"b"), [], [1, 2, 3], [1.0, 2.0], ["a", "b"], [b"a"], [None, True],
    [1, 2**70], [1, 2.0], [True, 1], [[1], [2, [3]]], ([], ()), {}, {"a": 1}, {1: "a", None: 2.5},
    {"a": {"b": [1, (2,)]}}, {(1, 2): {3}}, set(), {1, "a"}, frozenset({1, 2}), ...,
    range(3, 100, 7), slice(1, 2, 3), IntSubclass(3), ListSubclass([1, 2]),
    decimal.Decimal("1.10"), fractions.Fraction(1, 3), datetime.datetime(2024, 2, 29, 1, 2, 3),
    datetime.timedelta(days=1), uuid.UUID(int=5), pathlib.PurePosixPath("/a/b"),
    OrderedDict(b=1, a=2), defaultdict(list, a=[1]), deque([1, 2], maxlen=5), Counter("aab"),
    Pair(1, "r"), Record(1, "t", [2]), re.compile("a+"), array.array("d", [1.0, 2.0]),
    functools.partial(targets.add, 1), int, Pair, len, targets.square,
]  # fmt: skip


def same(left, right):
    """Equal in value and in type, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return math.copysign(1, left) == math.copysign(1, right) and left == right
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if type(left) is dict:
        return len(left) == len(right) and all(
            same(a, b) and same(left[a], right[b]) for a, b in zip(left, right, strict=True)
        )
    if isinstance(left, functools.partial):
        return (left.func, left.args, left.keywords) == (right.func, right.args, right.keywords)
    return left == right


@pytest.mark.parametrize("name", ["map", "apply", "imap"])
def test_every_value_arrives_as_it_was_sent(pool, name):
    if name == "map":
        arrived = pool.map(targets.identity, VALUES, 5)
    elif name == "apply":
        arrived = [pool.apply(targets.identity, (value,)) for value in VALUES]
    else:
        arrived = list(pool.imap(targets.identity, VALUES))
    wrong = [(a, b) for a, b in zip(VALUES, arrived, strict=True) if not same(a, b)]
    assert wrong == []


def test_not_a_number_arrives(pool):
    assert math.isnan(pool.apply(targets.identity, (math.nan,)))
    assert [math.isnan(x) for x in pool.apply(targets.identity, ([math.nan, 1.0],))] == [True, False]


def test_sharing_inside_a_value_is_kept(pool):
    part = [1]
    cycle = [part, part]
    cycle.append(cycle)
    arrived = pool.apply(targets.identity, (cycle,))
    assert arrived[0] is arrived[1]
    assert arrived[2] is arrived
    twice = pool.apply(targets.identity, ({"a": part, "b": part},))
    assert twice["a"] is twice["b"]


def test_result_is_a_copy(pool):
    value = [1, 2]
    assert pool.apply(targets.identity, (value,)) is not value


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 65_535, 65_536, 65_537, 1_000_000, 20_000_000])
def test_bytes_of_any_size(pool, size):
    value = bytes(size)
    assert pool.apply(targets.identity, (value,)) == value
    assert pool.map(len, [value, value]) == [size, size]


def test_many_large_results_at_once(pool):
    results = pool.map(make_bytes, [300_000] * 60, 1)
    assert [len(result) for result in results] == [300_000] * 60


def make_bytes(size):
    return b"y" * size


# --- numpy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 10, 5_000, 8_192, 8_193, 1_000_000])
def test_numpy_arrays_arrive_right_and_writable(ctx, count):
    if count == 0:
        with ctx.Pool(1) as pool:
            arrived = pool.apply(targets.identity, (numpy.zeros((0, 3)),))
            assert arrived.shape == (0, 3)
        pool.join()
        return
    source = numpy.arange(count, dtype="float64")
    with ctx.Pool(2) as pool:
        facts = pool.map(targets.array_facts, [source, source + 1])
        assert facts == [
            (True, float(source.sum()), (count,)),
            (True, float((source + 1).sum()), (count,)),
        ]
        doubled = pool.map(targets.double_array, [source, source])
    pool.join()
    for result in doubled:
        assert result.flags.writeable
        assert numpy.array_equal(result, source * 2)
        result += 1  # it is ours to change, and the pool is long gone
    assert source[0] == 0.0  # and the sender's is untouched
    assert numpy.array_equal(doubled[0], source * 2 + 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: numpy.asfortranarray(numpy.arange(60_000.0).reshape(200, 300)),
        lambda: numpy.arange(60_000).reshape(200, 300)[::2, ::-3],
        lambda: numpy.arange(40_000, dtype=">i4"),
        lambda: numpy.array([1, "a", None], dtype=object),
        lambda: numpy.array(["abc", "de"] * 9_000),
        lambda: numpy.zeros(5_000, dtype=[("a", "i4"), ("b", "f8", 3)]),
        lambda: numpy.arange(6, dtype="complex128").reshape(1, 2, 3),
        lambda: numpy.float32(1.5),
        lambda: numpy.array(7),
        lambda: numpy.array([True, False] * 40_000),
        lambda: numpy.ma.masked_array([1, 2, 3], [0, 1, 0]),
    ],
    ids=[
        "fortran",
        "strided",
        "big-endian",
        "object",
        "text",
        "record",
        "complex",
        "scalar",
        "zero-d",
        "bool",
        "masked",
    ],
)
def test_numpy_arrays_of_every_kind(pool, make):
    value = make()
    arrived = pool.apply(targets.identity, (value,))
    assert type(arrived) is type(value)
    # numpy itself gives some arrays back in the byte order of the machine
    assert arrived.dtype.newbyteorder("=") == value.dtype.newbyteorder("=")
    assert arrived.shape == value.shape
    assert numpy.array_equal(arrived, value)


@phalanx_only
def test_large_arrays_arrive_without_a_copy(pool):
    """The receiver's own memory does not grow by the array: it reads the shared one."""
    size = 80_000_000
    source = numpy.ones(size // 8)
    before = {}

    def both_were_asked():
        before.update(pool.map(private_memory, [None] * 8, 1))
        return len(before) == 2

    wait_until(both_were_asked, "each worker has had a task")
    for pid, after in pool.map(private_memory, [source] * 2, 1):
        assert after - before[pid] < size // 2
    mine = private_memory(None)[1]
    arrived = pool.apply(ones, (size // 8,))
    assert private_memory(None)[1] - mine < size // 2
    assert arrived.sum() == size // 8


def private_memory(array):
    if array is not None:
        assert array.sum() == len(array)
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return os.getpid(), int(fields["RssAnon"].split()[0]) * 1024


def ones(count):
    return numpy.ones(count)


def test_read_only_arrays_arrive(pool):
    value = numpy.arange(100_000.0)
    value.flags.writeable = False
    assert numpy.array_equal(pool.apply(targets.identity, (value,)), value)


def test_one_array_twice_in_a_value_is_one_array_there(pool):
    value = numpy.arange(50_000.0)
    left, right = pool.apply(targets.identity, ([value, value],))
    left[0] = -5
    assert right[0] == -5
    assert value[0] == 0


def test_arrays_outlive_many_others(pool):
    """What has arrived stays as it is, whatever goes through the same memory later."""
    kept = pool.map(filled, range(20), 1)
    for _ in range(5):
        pool.map(filled, range(100, 120), 1)
    assert [float(array.min()) == float(array.max()) == n for n, array in enumerate(kept)] == [True] * 20


def filled(value):
    return numpy.full(30_000, float(value))


def test_a_view_of_an_arrived_array_keeps_it_alive(pool):
    import gc

    view = pool.apply(filled, (3,))[10:20]
    gc.collect()
    for value in range(20):
        pool.apply(filled, (value,))
    assert view.tolist() == [3.0] * 10


# --- functions ------------------------------------------------------------------------------------


def test_methods_and_builtins_as_functions(pool):
    assert pool.map(str.upper, ["a", "b"]) == ["A", "B"]
    assert pool.map("-".join, [["a", "b"]]) == ["a-b"]
    assert pool.map(Adder(3).add, [1, 2]) == [4, 5]
    assert pool.map(Adder(4), [1, 2]) == [5, 6]
    assert pool.map(functools.partial(targets.add, 10, c=5), [1, 2]) == [16, 17]
    assert pool.map(Adder.twice, [1, 2]) == [2, 4]
    assert pool.map(Adder.made, [1]) == ["Adder 1"]


class Adder:
    def __init__(self, amount):
        self.amount = amount

    def add(self, value):
        return value + self.amount

    __call__ = add

    @staticmethod
    def twice(value):
        return 2 * value

    @classmethod
    def made(cls, value):
        return f"{cls.__name__} {value}"


@phalanx_only
def test_lambdas_closures_and_local_things(ctx):
    offset = 100

    def local(value):
        return value + offset

    class Local:
        def __init__(self, value):
            self.value = value

        def shown(self):
            return f"local {self.value}"

    with ctx.Pool(2) as pool:
        assert pool.map(lambda value: value + 1, range(5)) == [1, 2, 3, 4, 5]
        assert pool.map(local, range(3)) == [100, 101, 102]
        assert pool.map(Local(7).shown.__func__, [Local(1), Local(2)]) == ["local 1", "local 2"]
        assert pool.apply(lambda: Local(3)).shown() == "local 3"
        assert pool.apply(lambda make: make(4).shown(), (Local,)) == "local 4"
        assert pool.apply(lambda: lambda value: value * offset)(2) == 200
        assert list(pool.imap(lambda value: -value, range(3))) == [0, -1, -2]
        assert pool.starmap(lambda a, b: a * b, [(2, 3)]) == [6]
    pool.join()


@phalanx_only
def test_changed_closure_is_sent_anew(pool):
    """What a lambda has captured is that of the moment of the call."""
    for factor in range(5):
        assert pool.map(lambda value, factor=factor: value * factor, [1, 2]) == [factor, 2 * factor]
    state = {"value": 0}
    for number in range(3):
        state["value"] = number
        assert pool.apply(lambda: state["value"]) == number


MAIN_OBJECTS = """
import sys
import LIBRARY as mp

class Thing:
    def __init__(self, value):
        self.value = value
    def __eq__(self, other):
        return type(self) is type(other) and self.value == other.value

class MainError(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code

def double(thing):
    return Thing(thing.value * 2)

def fail(thing):
    raise MainError(thing.value)

if __name__ == "__main__":
    with mp.get_context(sys.argv[1]).Pool(2) as pool:
        print(pool.map(double, [Thing(1), Thing(2)]) == [Thing(2), Thing(4)])
        try:
            pool.apply(fail, (Thing(5),))
        except MainError as error:
            print("MainError", error.code)
        pool.close()
        pool.join()
"""


@pytest.mark.parametrize("method", START_METHODS)
def test_classes_and_functions_of_the_main_program(tmp_path, method):
    done = run_script(tmp_path, MAIN_OBJECTS, method)
    assert done.stdout.split("\n")[:2] == ["True", "MainError 5"]


@phalanx_only
@pytest.mark.parametrize("method", START_METHODS)
def test_program_from_the_command_line(method):
    """No file to import again: as in a notebook, what `__main__` defines travels by value."""
    source = (
        "import phalanx as mp\n"
        "factor = 3\n"
        "def times(value):\n"
        "    return value * factor\n"
        f"with mp.get_context({method!r}).Pool(2) as pool:\n"
        "    print(pool.map(times, [1, 2, 3]))\n"
    )
    for how in (["-c", source], ["-"]):
        done = subprocess.run(
            [sys.executable, *how], input=source, capture_output=True, text=True, timeout=60
        )
        assert done.stdout == "[3, 6, 9]\n", done.stderr


@phalanx_only
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_function_defined_after_the_pool_was_started(tmp_path, method):
    """The second notebook cell: the workers cannot have seen it."""
    done = run_script(
        tmp_path,
        """
        import sys
        import LIBRARY as mp

        if __name__ == "__main__":
            with mp.get_context(sys.argv[1]).Pool(2) as pool:
                pool.map(abs, range(4))

                def late(value):
                    return value + 1000

                print(pool.map(late, [1, 2]))
        """,
        method,
    )
    assert done.stdout == "[1001, 1002]\n"


# --- exceptions -----------------------------------------------------------------------------------


def caught(pool, function, value=None):
    with pytest.raises(BaseException) as info:
        pool.apply(function, (value,))
    return info.value


def chain(error):
    """An exception and all it was caused by."""
    found = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__
    return found


def test_exception_keeps_type_arguments_and_attributes(pool):
    error = caught(pool, targets.raise_with_attributes)
    assert type(error) is FileNotFoundError
    assert error.args == (2, "no such thing")
    assert (error.errno, error.filename, error.extra) == (2, "some/path", [1, 2])


def test_exception_tells_the_remote_traceback(pool):
    error = caught(pool, targets.raise_value_error, "here")
    assert error.args == ("no good", "here")
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert "in raise_value_error" in text
    assert 'raise ValueError("no good", value)' in text
    assert type(error.__cause__).__name__ == "RemoteTraceback"
    assert "in raise_value_error" in str(error.__cause__)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes exist from Python 3.11 on")
def test_exception_keeps_its_notes(pool):
    assert caught(pool, targets.raise_with_notes).__notes__ == ["first note", "second note"]


@phalanx_only
def test_exception_keeps_its_cause(pool):
    error = caught(pool, targets.raise_with_cause)
    assert (type(error), error.args) == (ValueError, ("the effect",))
    assert [(type(cause), cause.args) for cause in chain(error)].count((KeyError, ("the cause",))) == 1
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert "the direct cause" in text
    assert "in raise_with_cause" in text


@phalanx_only
def test_exception_whose_class_cannot_be_rebuilt_by_calling_it(pool):
    error = caught(pool, targets.raise_needs_keyword, 7)
    assert type(error) is targets.NeedsKeyword
    assert (error.args, error.code) == (("code 7",), 7)
    error = caught(pool, targets.raise_needs_two)
    assert type(error) is targets.NeedsTwo
    assert (error.left, error.right, str(error)) == ("left", "right", "left and right")
    error = caught(pool, raise_called_process_error)
    assert (type(error), error.returncode, error.cmd) == (subprocess.CalledProcessError, 3, ["false"])


def raise_called_process_error(_):
    raise subprocess.CalledProcessError(3, ["false"])


@phalanx_only
@pytest.mark.parametrize(
    ("function", "text"),
    [
        (targets.raise_unpicklable, "text of the unpicklable"),
        (targets.raise_breaks_on_load, "text of the unloadable"),
    ],
)
def test_exception_that_cannot_travel_still_arrives(pool, function, text):
    error = caught(pool, function)
    wanted = "Unpicklable" if function is targets.raise_unpicklable else "BreaksOnLoad"
    # Rebuilt without its own __reduce__, or as a RemoteError that tells all about it.
    assert type(error).__name__ == wanted or isinstance(error, mp.RemoteError)
    full = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert text in full
    assert wanted in full
    assert f"in {function.__name__}" in full
    assert pool.map(targets.identity, [1, 2]) == [1, 2]


@phalanx_only
def test_exception_with_an_argument_that_cannot_travel(pool):
    error = caught(pool, raise_with_a_generator)
    assert isinstance(error, (mp.RemoteError, LookupError))
    full = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert "LookupError" in full
    assert "in raise_with_a_generator" in full
    assert pool.map(targets.identity, [1, 2]) == [1, 2]


def raise_with_a_generator(_):
    raise LookupError("has a generator", (n for n in ()))


@phalanx_only
@pytest.mark.parametrize("how", ["map", "imap", "imap_unordered", "apply_async"])
def test_one_bad_exception_costs_one_task(pool, how):
    if how == "map":
        with pytest.raises(targets.NeedsKeyword):
            pool.map(keyword_error_at_three, range(6), 1)
    elif how == "apply_async":
        results = [pool.apply_async(keyword_error_at_three, (n,)) for n in range(6)]
        with pytest.raises(targets.NeedsKeyword):
            results.pop(3).get(60)
        assert [result.get(60) for result in results] == [0, 1, 2, 4, 5]
    else:
        iterator = getattr(pool, how)(keyword_error_at_three, range(6))
        values, errors = [], []
        for _ in range(6):
            try:
                values.append(next(iterator))
            except targets.NeedsKeyword as error:
                errors.append(error.code)
        assert (sorted(values), errors) == ([0, 1, 2, 4, 5], [3])
    assert pool.map(targets.identity, range(4)) == [0, 1, 2, 3]


def keyword_error_at_three(value):
    if value == 3:
        raise targets.NeedsKeyword(code=3)
    return value


def test_unpicklable_result(pool):
    with pytest.raises(submodule("pool").MaybeEncodingError) as info:
        pool.apply(targets.return_unpicklable, (1,))
    assert "generator" in str(info.value)
    assert pool.map(targets.identity, [1, 2]) == [1, 2]
    results = [pool.apply_async(generator_at_two, (n,)) for n in range(4)]
    with pytest.raises(submodule("pool").MaybeEncodingError):
        results.pop(2).get(60)
    assert [result.get(60) for result in results] == [0, 1, 3]


def generator_at_two(value):
    return (n for n in ()) if value == 2 else value


@phalanx_only
def test_result_that_breaks_on_arrival(pool):
    with pytest.raises(Exception) as info:
        pool.apply_async(targets.return_breaks_on_load, (1,)).get(60)
    text = "".join(traceback.format_exception(type(info.value), info.value, info.value.__traceback__))
    assert "loading breaks on purpose" in text
    assert pool.map(targets.identity, [1, 2]) == [1, 2]


@pytest.mark.parametrize("how", ["apply", "map", "starmap", "apply_async"])
def test_unpicklable_argument(pool, how):
    generator = (n for n in ())
    with pytest.raises((TypeError, AttributeError), match="generator"):
        if how == "apply":
            pool.apply(targets.identity, (generator,))
        elif how == "map":
            pool.map(targets.identity, [1, generator, 2], 1)
        elif how == "starmap":
            pool.starmap(targets.identity, [(generator,)])
        else:
            pool.apply_async(targets.identity, (generator,)).get(60)
    assert pool.map(targets.identity, [1, 2]) == [1, 2]


def test_unpicklable_argument_costs_only_its_item(pool):
    results = pool.imap(targets.identity, [0, (n for n in ()), 2])
    assert next(results) == 0
    with pytest.raises(TypeError):
        next(results)
    assert next(results) == 2


@phalanx_only
def test_argument_that_breaks_on_arrival(pool):
    with pytest.raises(Exception) as info:
        pool.apply_async(targets.identity, (targets.ValueThatBreaksOnLoad(),)).get(60)
    text = "".join(traceback.format_exception(type(info.value), info.value, info.value.__traceback__))
    assert "loading breaks on purpose" in text
    assert pool.map(targets.identity, [1, 2]) == [1, 2]


@phalanx_only
@pytest.mark.parametrize("code", [0, 3])
def test_sys_exit_in_a_task_is_an_error_of_that_task(pool, code):
    with pytest.raises((mp.WorkerDiedError, SystemExit)):
        pool.apply_async(sys.exit, (code,)).get(60)
    assert pool.map(targets.identity, [1, 2]) == [1, 2]


def test_locks_and_queues_do_not_travel_as_arguments(pool):
    """As in the standard library: they are shared by inheritance, here by the initializer."""
    for thing in (mp.Lock(), mp.SimpleQueue()):
        with pytest.raises(RuntimeError, match="inheritance"):
            pool.apply(targets.identity, (thing,))
    assert pool.map(targets.identity, [1, 2]) == [1, 2]
