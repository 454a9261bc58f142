"""`Value`, `Array`, `RawValue` and `RawArray`."""

from __future__ import annotations

import ctypes
import pickle
import threading

import pytest
import targets
from support import mp, submodule

INTEGERS = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "l": 8, "L": 8, "q": 8, "Q": 8}
FLOATS = {"f": 4, "d": 8}
CTYPES = [ctypes.c_bool, ctypes.c_byte, ctypes.c_short, ctypes.c_int, ctypes.c_long]
CTYPES += [ctypes.c_longlong, ctypes.c_size_t, ctypes.c_uint8, ctypes.c_float, ctypes.c_double]


def limits(code):
    bits = 8 * INTEGERS[code]
    return (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ["Value", "RawValue"])
@pytest.mark.parametrize("code", [*INTEGERS, *FLOATS])
def test_value_of_every_typecode(make, code):
    make = getattr(mp, make)
    assert make(code).value == 0
    value = make(code, 3)
    assert value.value == 3
    assert type(value.value) is (int if code in INTEGERS else float)
    for number in limits(code) if code in INTEGERS else (1.5, -2.25, float("inf")):
        value.value = number
        assert value.value == number


@pytest.mark.parametrize("make", ["Value", "RawValue"])
def test_value_of_a_character(make):
    value = getattr(mp, make)("c", b"x")
    assert value.value == b"x"
    value.value = b"y"
    assert value.value == b"y"
    wide = getattr(mp, make)("u", "x")
    wide.value = "ž"
    assert wide.value == "ž"


@pytest.mark.parametrize("kind", CTYPES)
def test_value_of_a_ctypes_type(kind):
    value = mp.Value(kind, 1)
    assert value.value == 1
    assert type(value.value) is type(kind(1).value)


def test_integers_wrap_as_in_ctypes():
    value = mp.Value("b", 127)
    value.value += 1
    assert value.value == ctypes.c_byte(128).value == -128
    value = mp.Value("I", 0)
    value.value -= 1
    assert value.value == 2**32 - 1


@pytest.mark.parametrize("make", ["Value", "RawValue"])
def test_value_of_the_wrong_kind(make):
    make = getattr(mp, make)
    value = make("i", 1)
    for wrong in ("text", 1.5, None):
        with pytest.raises(TypeError):
            value.value = wrong
    assert value.value == 1
    with pytest.raises(TypeError):
        make("d", "text")
    with pytest.raises(TypeError):
        make("?unknown?")


def test_value_is_shared(ctx):
    value, raw = ctx.Value("d", 1.5), ctx.RawValue("q", 7)
    process = ctx.Process(target=double_values, args=(value, raw))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert (value.value, raw.value) == (3.0, 14)


def double_values(*values):
    for value in values:
        value.value *= 2


def test_value_with_its_lock(ctx):
    value = ctx.Value("i", 0)
    processes = [ctx.Process(target=targets.increment_locked, args=(value, 2000)) for _ in range(3)]
    for process in processes:
        process.start()
    targets.increment_locked(value, 2000)
    for process in processes:
        process.join()
    assert value.value == 8000


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_lock_of_ones_own(default_ctx, kind):
    lock = getattr(default_ctx, kind)()
    for shared in (
        default_ctx.Value("i", 1, lock=lock),
        default_ctx.Array("i", [1, 2], lock=lock),
    ):
        assert shared.get_lock() is lock


def test_default_lock_is_reentrant():
    for shared in (mp.Value("i", 1), mp.Array("i", 2), mp.Value("i", 1, lock=True)):
        assert isinstance(shared.get_lock(), submodule("synchronize").RLock)
        with shared.get_lock(), shared.get_lock():
            pass
        with shared:
            pass
        shared.acquire()
        shared.release()


def test_without_a_lock():
    value, array = mp.Value("i", 5, lock=False), mp.Array("i", [1, 2], lock=False)
    for shared in (value, array, mp.RawValue("i"), mp.RawArray("i", 1)):
        assert not hasattr(shared, "get_lock")
        assert not hasattr(shared, "get_obj")
    assert value.value == 5
    assert array[:] == [1, 2]


def test_lock_has_to_be_a_lock():
    with pytest.raises(AttributeError):
        mp.Value("i", 1, lock="no lock")
    with pytest.raises(AttributeError):
        mp.Array("i", 1, lock=3)


def test_the_lock_excludes_the_attribute(default_ctx):
    """Get and set of the value take the lock."""
    value = default_ctx.Value("i", 1)
    read = threading.Event()
    thread = threading.Thread(target=lambda: (value.value, read.set()))
    with value.get_lock():
        thread.start()
        assert not read.wait(0.03)
    assert read.wait(60)
    thread.join()


def test_get_obj():
    value, array = mp.Value("i", 5), mp.Array("d", [1.0, 2.0])
    assert value.get_obj().value == 5
    value.get_obj().value = 6
    assert value.value == 6
    array.get_obj()[1] = 9.0
    assert array[:] == [1.0, 9.0]
    assert isinstance(array.get_obj(), ctypes.Array)
    assert isinstance(mp.RawValue("i"), ctypes.c_int)
    assert isinstance(mp.RawArray("i", 3), ctypes.Array)


# --- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ["Array", "RawArray"])
@pytest.mark.parametrize("code", [*INTEGERS, *FLOATS])
def test_array_of_every_typecode(make, code):
    make = getattr(mp, make)
    assert make(code, 5)[:] == [0] * 5
    array = make(code, [1, 2, 3])
    assert array[:] == [1, 2, 3]
    assert (len(array), array[0], array[-1]) == (3, 1, 3)
    if code in INTEGERS:
        array[0], array[2] = limits(code)
        assert (array[0], array[2]) == limits(code)


@pytest.mark.parametrize("make", ["Array", "RawArray"])
def test_array_slices(make):
    array = getattr(mp, make)("i", range(10))
    assert array[2:5] == [2, 3, 4]
    assert array[::-2] == [9, 7, 5, 3, 1]
    assert array[5:2] == []
    array[2:4] = [20, 30]
    assert list(array) == [0, 1, 20, 30, 4, 5, 6, 7, 8, 9]
    array[:] = range(10, 20)
    assert array[:] == list(range(10, 20))
    with pytest.raises(ValueError):
        array[0:3] = [1, 2]
    assert list(reversed(array[:3])) == [12, 11, 10]
    assert sum(array) == sum(range(10, 20))
    assert 13 in list(array)


@pytest.mark.parametrize("make", ["Array", "RawArray"])
def test_array_out_of_range(make):
    array = getattr(mp, make)("i", 3)
    for index in (3, -4, 1000):
        with pytest.raises(IndexError):
            array[index]
        with pytest.raises(IndexError):
            array[index] = 1
    with pytest.raises(TypeError):
        array["0"]
    with pytest.raises(TypeError):
        array[0] = "text"


@pytest.mark.parametrize("make", ["Array", "RawArray"])
def test_array_sizes(make):
    make = getattr(mp, make)
    assert make("i", 0)[:] == []
    assert make("i", [])[:] == []
    with pytest.raises(ValueError):
        make("i", -1)
    large = make("d", 1_000_000)
    assert (len(large), large[0], large[999_999]) == (1_000_000, 0.0, 0.0)
    large[999_999] = 1.0
    assert large[999_999] == 1.0


def test_fresh_memory_is_zero_even_when_reused():
    for _ in range(20):
        array = mp.RawArray("q", 5000)
        assert not any(array)
        array[:] = range(1, 5001)
        value = mp.RawValue("q")
        assert value.value == 0
        value.value = -1
        del array, value


@pytest.mark.parametrize("make", ["Array", "RawArray"])
def test_array_of_characters(make):
    array = getattr(mp, make)("c", b"hello")
    assert array.value == b"hello"
    assert array.raw == b"hello"
    array.value = b"bye"
    assert array.value == b"bye"
    assert array.raw == b"bye\0o"
    assert array[0] == b"b"
    assert array[:2] == b"by"
    array.raw = b"12345"
    assert array.value == b"12345"
    with pytest.raises(ValueError):
        array.value = b"too long for it"


def test_array_is_shared(ctx):
    value, array = ctx.Value("i", 1), ctx.Array("i", [1, 2, 3])
    point = ctx.Value(targets.Point, 1.0, 2)
    process = ctx.Process(target=targets.change_shared, args=(value, array, point))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert value.value == 42
    assert array[:] == [-1, -2, -3]
    assert (point.x, point.y) == (2.5, -7)


def test_array_filled_by_many(ctx):
    array = ctx.RawArray("i", 8)
    processes = [ctx.Process(target=targets.fill_slot, args=(array, n, n * n)) for n in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert array[:] == [n * n for n in range(8)]


def test_array_through_a_pool_initializer(ctx):
    array = ctx.Array("d", 20)
    with ctx.Pool(2, targets.store, (array,)) as pool:
        pool.map(fill_own, range(20))
        pool.close()
        pool.join()
    assert array[:] == [n * 0.5 for n in range(20)]


def fill_own(index):
    targets.stored[0][index] = index * 0.5


def test_numpy_view_of_an_array(default_ctx):
    numpy = pytest.importorskip("numpy", reason="numpy is an optional companion")
    array = default_ctx.RawArray("d", 100)
    view = numpy.frombuffer(array, dtype="float64")
    view[:] = numpy.arange(100)
    process = default_ctx.Process(target=targets.fill_slot, args=(array, 3, -1.0))
    process.start()
    process.join()
    assert view[3] == -1.0
    assert array[99] == 99.0
    guarded = default_ctx.Array("i", 10)
    numpy.frombuffer(guarded.get_obj(), dtype="int32")[:] = 7
    assert guarded[:] == [7] * 10


# --- structures -----------------------------------------------------------------------------------


def test_structure():
    for point in (mp.Value(targets.Point, 1.5, 2), mp.RawValue(targets.Point, 1.5, 2)):
        assert (point.x, point.y) == (1.5, 2)
        point.x = 3.5
        assert point.x == 3.5
        with pytest.raises(TypeError):
            point.y = "text"


def test_array_of_structures():
    points = mp.Array(targets.Point, [(1.0, 2), (3.0, 4)])
    assert [(point.x, point.y) for point in points] == [(1.0, 2), (3.0, 4)]
    points[1].y = 9
    assert points[1].y == 9
    assert len(points) == 2


def test_copy_and_synchronized():
    sharedctypes = submodule("sharedctypes")
    value = mp.RawValue(targets.Point, 1.0, 2)
    twin = sharedctypes.copy(value)
    twin.x = 5.0
    assert value.x == 1.0
    lock = mp.Lock()
    wrapped = sharedctypes.synchronized(value, lock)
    assert wrapped.get_lock() is lock
    wrapped.x = 7.0
    assert value.x == 7.0


def test_only_by_inheritance():
    for shared in (mp.Value("i", 1), mp.Array("i", 1), mp.RawValue("i", 1), mp.RawArray("i", 1)):
        with pytest.raises((RuntimeError, TypeError, pickle.PicklingError)):
            pickle.dumps(shared)


def test_representation():
    assert "Synchronized wrapper" in repr(mp.Value("i", 5))
    assert "SynchronizedArray wrapper" in repr(mp.Array("i", 5))


def test_many_values():
    values = [mp.RawValue("i", number) for number in range(5000)]
    assert [value.value for value in values] == list(range(5000))
