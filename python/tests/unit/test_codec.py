"""The codec: what arrives is what `pickle.loads(pickle.dumps(x))` would give."""

import collections
import dataclasses
import enum
import functools
import io
import math
import pickle
import random
import struct
import subprocess
import sys
import textwrap
import threading

import pytest
from phalanx import _core

LARGE = 64 * 1024


def round_trip(obj, **options):
    frame, buffers = _core._codec_dumps(obj, **options)
    assert _core._codec_buffers(frame) == [len(buffer) for buffer in buffers]
    return _core._codec_loads(frame, [bytearray(buffer) for buffer in buffers])


def same(a, b, seen=None):
    """Equal in value and in type all the way down, and shared where the other is shared."""
    seen = {} if seen is None else seen
    if type(a) is not type(b):
        return False
    if id(a) in seen:
        return seen[id(a)] == id(b)
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, (list, tuple)):
        if isinstance(a, list):
            seen[id(a)] = id(b)
        return len(a) == len(b) and all(same(x, y, seen) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        seen[id(a)] = id(b)
        return (
            len(a) == len(b)
            and all(same(x, y, seen) for x, y in zip(a, b, strict=True))
            and all(same(x, y, seen) for x, y in zip(a.values(), b.values(), strict=True))
        )
    return a == b


class Colour(enum.Enum):
    RED = 1


class Number(int):
    pass


class Text(str):
    pass


class Items(list):
    pass


class Mapping(dict):
    pass


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Record:
    name: str
    values: list


ATOMS = [
    None,
    True,
    False,
    0,
    1,
    -1,
    255,
    2**31,
    -(2**31) - 1,
    2**63 - 1,
    -(2**63),
    2**63,
    -(2**63) - 1,
    10**400,
    0.0,
    -0.0,
    1.5,
    math.inf,
    -math.inf,
    math.nan,
    5e-324,
    "",
    "a",
    "é",
    "hello",
    "naïve",
    "日本語",
    "🐍" * 7,
    "\ud800",
    "nul\0inside",
    "x" * 255,
    "x" * 256,
    "ü" * 300,
    "x" * (LARGE - 1),
    "x" * LARGE,
    "ü" * LARGE,
    b"",
    b"\0",
    b"bytes" * 51,
    b"bytes" * 52,
    b"b" * (LARGE - 1),
    b"b" * LARGE,
    b"b" * (LARGE * 3 + 1),
    bytearray(),
    bytearray(b"abc"),
    bytearray(LARGE),
    3 + 4j,
    Ellipsis,
    NotImplemented,
    Number(3),
    Text("abc"),
    Colour.RED,
    range(3),
    frozenset({1, 2}),
]


@pytest.mark.parametrize("value", ATOMS, ids=lambda value: repr(value)[:20])
def test_atoms(value):
    assert same(round_trip(value), pickle.loads(pickle.dumps(value)))


@pytest.mark.parametrize("value", ATOMS, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: [x],
        lambda x: (x,),
        lambda x: [x, x],
        lambda x: [1, x],
        lambda x: [1.0, x],
        lambda x: (1, x),
        lambda x: (1.0, x),
        lambda x: {"key": x},
        lambda x: {7: x, "k" * 40: x},
        lambda x: [(x,), (x, x)],
        lambda x: ((x,), 1),
        lambda x: [((x,),)],
        lambda x: [[x]],
        lambda x: {"key": (1, x)},
        lambda x: {"key": [x]},
    ],
)
def test_atoms_in_containers(value, wrap):
    value = wrap(value)
    assert same(round_trip(value), pickle.loads(pickle.dumps(value)))


@pytest.mark.parametrize(
    "value",
    [
        [],
        (),
        {},
        set(),
        {1, 2, 3},
        [[]],
        [()],
        ((),),
        {"a": {}},
        [1, 2, 3],
        [1, True],
        [True, 1],
        [1.0, 1],
        [1, 1.0],
        (1, 2**70),
        [2**70, 1],
        [42, None, "hello"],
        list(range(-1000, 1000)),
        [i / 7 for i in range(1000)],
        tuple(range(1000)),
        [(i, str(i)) for i in range(1000)],
        [tuple(range(17))],
        {str(i): i for i in range(2000)},
        {"": 0, "é": 1, "a" * 32: 2, "a" * 33: 3},
        {1: 2, -(2**63): 3},
        {True: 1},
        {2**70: 1},
        {1.5: 1},
        {None: 1},
        {(1, 2): 3},
        {"\ud800": 1},
        Items([1, 2]),
        Mapping(a=1),
        Point(1, 2),
        [Point(1, 2)],
        collections.OrderedDict(b=1, a=2),
        collections.defaultdict(list, a=[1]),
        Record("r", [1, "x"]),
        ["word"] * 10,
        [b"z" * LARGE, b"y" * LARGE, "t" * LARGE],
        {"a": b"z" * LARGE, "b": 1},
        [bytearray(3)],
    ],
    ids=lambda value: repr(value)[:24],
)
def test_containers(value):
    assert same(round_trip(value), pickle.loads(pickle.dumps(value)))


def random_value(rng, depth):
    kind = rng.randrange(12 if depth else 8)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind <= 2:
        return rng.choice([rng.randrange(-300, 300), rng.getrandbits(64) - 2**63, rng.getrandbits(70)])
    if kind == 3:
        return rng.choice([rng.random(), -0.0, math.inf])
    if kind <= 5:
        return "".join(rng.choice("abcé日🐍") for _ in range(rng.randrange(6)))
    if kind <= 7:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(6)))
    items = [random_value(rng, depth - 1) for _ in range(rng.randrange(5))]
    if kind == 8:
        return items
    if kind == 9:
        return tuple(items)
    if kind == 10:
        return {rng.choice([str(i), i]): item for i, item in enumerate(items)}
    return [*items, *items]


def test_random_values_arrive_as_pickle_would_give_them():
    rng = random.Random(20)
    for _ in range(5000):
        value = random_value(rng, 3)
        assert same(round_trip(value), pickle.loads(pickle.dumps(value))), value


def test_shared_mutable_objects_stay_shared():
    inner = [1]
    a, b, (c,), d = round_trip([inner, inner, (inner,), {"k": inner}])
    assert a is b is c is d["k"]


def test_two_references_to_a_tuple_that_holds_a_list():
    pair = ([1], 2)
    a, b = round_trip([pair, pair])
    assert a[0] is b[0]


PICKLED = {20, 21}


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2], [3.0], ["x", None], [], [[[b"deep"]]]],
        {"a": {"b": [1, {"c": (1, (2, [3]))}]}, "d": []},
        (([1],), {"k": (True, 2**64 - 1, -(2**127))}),
        [((0, 0), (0, 0))] * 3,
        functools.reduce(lambda inner, _: [inner], range(62), [1]),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_nested_containers_need_no_pickle(value):
    frame, _ = _core._codec_dumps(value)
    assert frame[0] not in PICKLED
    assert same(round_trip(value), pickle.loads(pickle.dumps(value)))


def test_a_container_that_others_know_too_needs_no_pickle():
    inner, pair = [1], (["x"], 2)
    frame, _ = _core._codec_dumps([inner, pair, {"k": 1}])
    assert frame[0] not in PICKLED
    again = [inner, pair, (pair, 3)]
    a, b, (c, _) = round_trip(again)
    assert same([a, b, (c, 3)], again) and b is c


def test_a_tuple_that_holds_itself_by_way_of_a_list():
    loop = ([], 1)
    loop[0].append(loop)
    arrived = round_trip(loop)
    assert arrived[0][0] is arrived
    (wrapped,) = round_trip([loop])
    assert wrapped[0][0] is wrapped


def test_many_paths_to_one_tuple_are_not_walked_each():
    tree = ("leaf",)
    for _ in range(40):
        tree = (tree, tree)
    frame, buffers = _core._codec_dumps([tree])
    assert len(frame) + sum(map(len, buffers)) < 5 << 20
    (arrived,) = _core._codec_loads(frame, buffers)
    for _ in range(40):
        assert arrived[0] is arrived[1]
        arrived = arrived[0]
    assert arrived == ("leaf",)


def test_nesting_beyond_the_limit_of_the_native_form():
    deep = functools.reduce(lambda inner, _: [inner], range(300), [1])
    assert same(round_trip(deep), deep)
    with pytest.raises(ValueError, match="nested deeper"):
        _core._codec_loads(b"\x0d\x01\0\0\0" * 100_000)


def test_integers_of_any_size_from_other_senders():
    for number in (0, -1, 2**63, -(2**200), 3**500):
        raw = number.to_bytes(70 + number.bit_length() // 8, "little", signed=True)
        assert _core._codec_loads(b"\x17" + struct.pack("<Q", len(raw)) + raw) == number


def test_cycles():
    loop = [1]
    loop.append(loop)
    arrived = round_trip(loop)
    assert arrived[0] == 1 and arrived[1] is arrived
    table = {"x": 1}
    table["self"] = table
    arrived = round_trip(table)
    assert arrived["self"] is arrived


def test_a_large_string_held_many_times_is_sent_once():
    text = "s" * 60_000
    for held in ([text] * 500, [(text,)] * 500, dict.fromkeys(range(500), text)):
        frame, buffers = _core._codec_dumps(held)
        assert len(frame) + sum(map(len, buffers)) < 5 << 20
        assert round_trip(held) == held


def test_a_large_buffer_held_twice_is_sent_once():
    data = b"d" * 200_000
    frame, buffers = _core._codec_dumps([data, data, 1])
    assert len(frame) + sum(map(len, buffers)) < 300_000
    a, b, _ = round_trip([data, data, 1])
    assert a is b and a == data


def test_large_buffers_leave_the_frame():
    pickled = [{0}, *map(str, range(50_000))]
    for value in (b"x" * LARGE, bytearray(LARGE), "x" * LARGE, (1, b"x" * LARGE), pickled):
        frame, buffers = _core._codec_dumps(value)
        assert len(frame) < 100 and len(buffers) == 1
        assert same(round_trip(value), value)


def test_the_value_is_independent_of_the_original():
    data = bytearray(LARGE)
    frame, buffers = _core._codec_dumps(data)
    data.extend(b"more")
    assert _core._codec_loads(frame, buffers) == bytes(LARGE)


def test_numpy_arrays():
    np = pytest.importorskip("numpy")
    for array in (
        np.arange(100_000, dtype="f8"),
        np.arange(100_000, dtype="f8").reshape(100, 1000, order="F"),
        np.arange(100_000)[::2],
        np.arange(3),
        np.zeros((0, 3)),
        np.array(["a", "b"], dtype=object),
        np.ones(100_000, dtype=[("a", "i4"), ("b", "f4")]),
    ):
        arrived = round_trip(array)
        assert arrived.dtype == array.dtype and arrived.shape == array.shape
        assert (arrived == array).all() and arrived.flags.writeable
    frozen = np.arange(100_000)
    frozen.flags.writeable = False
    assert not round_trip(frozen).flags.writeable
    a, b = round_trip([frozen, frozen])
    assert a is b


def test_arrays_use_the_memory_of_their_buffer():
    np = pytest.importorskip("numpy")
    frame, (raw,) = _core._codec_dumps(np.zeros(10_000))
    memory = bytearray(raw)
    arrived = _core._codec_loads(frame, [memory])
    arrived[0] = 1.0
    assert memory[:8] == struct.pack("d", 1.0)


def test_pickle_buffers_of_every_layout():
    small = pickle.PickleBuffer(b"abc")
    assert round_trip(small) == b"abc"
    large = pickle.PickleBuffer(bytearray(b"z" * LARGE))
    assert round_trip(large) == b"z" * LARGE
    holes = memoryview(bytearray(LARGE * 4))[::2]
    with pytest.raises(Exception, match="contiguous"):
        _core._codec_dumps(pickle.PickleBuffer(holes))


def test_functions_and_classes_by_name():
    assert round_trip(same) is same
    assert round_trip(Record) is Record
    assert round_trip(len) is len
    partial = round_trip(functools.partial(max, 3))
    assert partial(5) == 5
    assert round_trip("abc".upper)() == "ABC"


def test_lambdas_closures_and_local_classes():
    step = 3
    assert round_trip(lambda x: x + step)(4) == 7

    def double(x):
        return double and 2 * x

    assert round_trip([double])[0](4) == 8

    class Local:
        def __init__(self, value):
            self.value = value

    arrived = round_trip(Local(5))
    assert arrived.value == 5
    assert isinstance(arrived, Local)


def test_a_lambda_beside_a_large_buffer():
    np = pytest.importorskip("numpy")
    array = np.arange(50_000)
    function, arrived = round_trip([lambda: 5, array])
    assert function() == 5 and (arrived == array).all()


def test_what_cannot_be_pickled_is_refused_with_its_place():
    holder = Record("r", [1, {"deep": threading.Lock()}])
    with pytest.raises(TypeError, match=r"cannot pickle '_thread\.lock' object") as caught:
        _core._codec_dumps((1, holder))
    assert "[1].values[1]['deep']" in str(caught.value)


def test_an_open_file_is_refused():
    with open(__file__) as file, pytest.raises(TypeError, match="TextIOWrapper"):
        _core._codec_dumps(file)


class Raises:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyError("k"), RecursionError("deep")])
def test_an_error_of_the_object_itself_comes_through(error):
    with pytest.raises(type(error)) as caught:
        _core._codec_dumps([1, Raises(error)])
    assert caught.value.args == error.args


class SendsToo:
    def __reduce__(self):
        frame, buffers = _core._codec_dumps([bytearray(LARGE * 2), pickle.PickleBuffer(bytearray(LARGE))])
        return _core._codec_loads, (frame, buffers)


def test_an_object_that_encodes_while_it_is_encoded():
    outer = pickle.PickleBuffer(bytearray(b"o" * LARGE))
    before, inner, after = round_trip([outer, SendsToo(), outer])
    assert before == after == b"o" * LARGE
    assert inner == [bytearray(LARGE * 2), bytearray(LARGE)]


class Handle:
    pass


def test_registered_reducers():
    script = """
        import pickle, sys
        from phalanx import _core
        class Handle:
            def __reduce__(self):
                raise TypeError("no")
        def rebuild(value):
            return ("rebuilt", value)
        _core.register_reducer(Handle, lambda handle: (rebuild, (7,)))
        for value in (Handle(), [Handle(), lambda: 1]):
            frame, buffers = _core._codec_dumps(value)
            print(str(_core._codec_loads(frame, buffers))[:15])
        data = [bytearray(100_000), 5, Handle()]
        frame, buffers = _core._codec_dumps(data)
        assert _core._codec_loads(frame, buffers)[2] == ("rebuilt", 7)
    """
    assert run(script) == ["('rebuilt', 7)", "[('rebuilt', 7)"]


def run(script, *, stdin=False):
    command = [sys.executable, "-"] if stdin else [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(
        command,
        input=textwrap.dedent(script) if stdin else None,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_main_by_value():
    script = """
        import sys
        from phalanx import _core
        def f(x): return x + offset
        offset = 5
        frame, buffers = _core._codec_dumps([f, {}], True)
        del f
        function = _core._codec_loads(frame, buffers)[0]
        offset = 7
        print(function(1))
    """
    assert run(script) == ["6"]


def test_importing_the_codec_imports_no_pickle():
    script = """
        import sys
        from phalanx import _core
        frame, buffers = _core._codec_dumps({"a": [1]}["a"])
        _core._codec_loads(frame, buffers)
        print([name for name in ("pickle", "_pickle", "cloudpickle", "re") if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_truncated_frames_raise():
    np = pytest.importorskip("numpy")
    for value in (
        5,
        "text",
        [1, 2, 3],
        {"a": (1, "x")},
        (1.0, 2.0),
        Record("r", []),
        b"x" * 300,
        np.zeros(10_000),
    ):
        frame, buffers = _core._codec_dumps(value)
        for length in range(len(frame)):
            with pytest.raises((ValueError, EOFError, pickle.UnpicklingError)):
                _core._codec_loads(frame[:length], buffers)
    with pytest.raises(ValueError, match="buffers"):
        _core._codec_loads(frame, [])
    with pytest.raises(ValueError, match="buffers"):
        _core._codec_loads(frame, [*buffers, b""])


def test_damaged_frames_raise_or_decode_but_never_crash():
    """Native tags only: a damaged pickle may legitimately call anything."""
    rng = random.Random(7)
    values = ["text", [1, 2, 3], {"a": (1, "x"), "b": b"y"}, (1.0, 2.0), [(1, 2), None], b"x" * 300]
    frames = [_core._codec_dumps(value)[0] for value in values]
    for _ in range(100_000):
        frame = bytearray(rng.choice(frames))
        for _ in range(rng.randrange(1, 4)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        if frame[0] in (20, 21):
            continue
        try:
            _core._codec_loads(bytes(frame), [])
        except Exception as error:
            assert isinstance(error, (ValueError, TypeError))


def test_random_bytes_raise_or_decode_but_never_crash():
    rng = random.Random(8)
    for _ in range(100_000):
        frame = bytes([rng.randrange(26)]) + rng.randbytes(rng.randrange(40))
        if frame[0] in (20, 21):
            continue
        try:
            _core._codec_loads(frame, [])
        except Exception as error:
            assert isinstance(error, (ValueError, TypeError))


def test_huge_counts_are_refused_before_anything_is_allocated():
    for tag in range(13, 20):
        with pytest.raises(ValueError, match="announced"):
            _core._codec_loads(bytes([tag]) + b"\xff\xff\xff\xff" + b"\0" * 30)
    for tag in (6, 8, 9):
        with pytest.raises(ValueError, match="announced"):
            _core._codec_loads(bytes([tag]) + b"\xff" * 8 + b"abc")


def test_threads_do_not_mix_up_their_buffers():
    np = pytest.importorskip("numpy")
    failures = []

    def work(fill):
        for _ in range(200):
            arrived = round_trip([np.full(10_000, fill), {"key": fill}, io.BytesIO])
            if not (arrived[0] == fill).all() or arrived[1] != {"key": fill}:
                failures.append(fill)

    threads = [threading.Thread(target=work, args=(fill,)) for fill in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert failures == []
