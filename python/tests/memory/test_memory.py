"""`phalanx.Memory`: results are found again, whole, by whoever needs them."""

from __future__ import annotations

import asyncio
import datetime
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import phalanx
import pytest
from phalanx.memory import CacheWarning, MemorizedResult, NotMemorizedResult


@pytest.fixture
def memory(tmp_path):
    return phalanx.Memory(tmp_path / "cache", verbose=0)


def note(path):
    """Leave a trace of a computation."""
    with open(path, "a") as file:
        file.write("x")


def noted(path):
    return len(path.read_text()) if path.exists() else 0


def slow(x, path):
    note(path)
    time.sleep(0.05)
    return x * 2


def entries(memory):
    return [item.path for item in memory.store_backend.get_items()]


VALUES = [
    None, 1, "text", b"bytes", [1, {"a": (2.5,)}], {1, 2}, np.arange(5), np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(20)[::3], np.array(7), np.zeros((0, 3)),
    np.array(["a", "bc"]), np.array([None, [1]], dtype=object), np.array(["2020"], dtype="M8[Y]"),
    np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]), {"x": [np.ones(1000), np.zeros(3)], "y": "z"},
]  # fmt: skip


def same(one, other):
    if isinstance(one, np.ndarray):
        return (
            type(one) is type(other)
            and (one.dtype, one.shape, one.flags.f_contiguous) == (other.dtype, other.shape, other.flags.f_contiguous)
            and one.tolist() == other.tolist()
        )  # fmt: skip
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and type(one) is type(other)


@pytest.mark.parametrize(
    "compress", [False, True, 9, ("zlib", 1), ("gzip", 3), ("bz2", 5), ("lzma", 1), ("xz", 6)]
)
def test_values_come_back_as_they_were(tmp_path, compress):
    memory = phalanx.Memory(tmp_path, verbose=0, compress=compress)
    f = memory.cache(lambda index: VALUES[index])
    for index, value in enumerate(VALUES):
        assert same(f(index), value)
        stored = f(index)
        expected = np.ascontiguousarray(value) if index == 9 else value
        assert same(stored, expected), repr(value)
        if isinstance(stored, np.ndarray) and stored.size:
            stored[...] = stored[..., :1] if stored.ndim else 8  # It may be written to,
            assert same(f(index), expected)  # and nobody else sees that.


def test_methods_of_compression_that_are_not_known_are_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot compress with 'rar'"):
        phalanx.Memory(tmp_path, compress=("rar", 3))
    with pytest.raises(ValueError, match="at level 10"):
        phalanx.Memory(tmp_path, compress=10)


@pytest.mark.parametrize("mode", ["r", "c", "r+"])
def test_arrays_are_mapped_if_asked(tmp_path, mode):
    memory = phalanx.Memory(tmp_path, verbose=0, mmap_mode=mode)
    f = memory.cache(
        lambda n: {"a": np.arange(n * 1.0), "b": np.asfortranarray(np.ones((n, 2))), "c": "text"}
    )
    for _ in range(2):
        value = f(1000)
        assert isinstance(value["a"], np.memmap) and isinstance(value["b"], np.memmap)
        assert value["a"].sum() == 499_500 and value["b"].shape == (1000, 2) and value["c"] == "text"
        assert value["b"].flags.f_contiguous and value["a"].flags.writeable == (mode != "r")
        if mode != "r":
            value["a"][:] = 0  # In memory only.
    assert phalanx.Memory(tmp_path, verbose=0).cache(f.func)(1000)["a"].sum() == 499_500


def test_results_of_the_programs_own_classes_and_of_local_functions_come_back(memory):
    class Local:
        value = 3

    f = memory.cache(lambda: (Local(), lambda x: x + 1))
    for _ in range(2):
        instance, function = f()
        assert instance.value == 3 and function(1) == 2


def test_a_result_that_cannot_be_stored_is_returned_with_a_warning(memory):
    f = memory.cache(lambda: threading.Lock())
    for _ in range(2):
        with pytest.warns(CacheWarning, match="Unable to cache to disk") as caught:
            assert not f().locked()
        assert caught[0].filename == __file__
    with pytest.warns(CacheWarning):
        reference = f.call_and_shelve()
    assert isinstance(reference, NotMemorizedResult) and not reference.get().locked()


def test_exceptions_are_not_kept(memory, tmp_path):
    @memory.cache
    def f(x):
        note(tmp_path / "calls")
        raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            f(1)
    assert noted(tmp_path / "calls") == 3 and entries(memory) == []


def damage(path, how):
    data = bytearray(Path(path).read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    elif how == "torn":
        data = data[: len(data) // 2]
    elif how == "garbage":
        data = b"garbage"
    else:
        data = b""
    Path(path).write_bytes(data)


@pytest.mark.parametrize("how", ["flipped", "torn", "garbage", "empty"])
@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_a_damaged_result_is_never_returned(tmp_path, how, mmap_mode, caplog):
    memory = phalanx.Memory(tmp_path / "cache", verbose=0, mmap_mode=mmap_mode)
    f = memory.cache(lambda n, path: note(path) or np.arange(n), ignore=["path"])
    calls = tmp_path / "calls"
    for size in (10, 1_000_000):
        calls.unlink(missing_ok=True)
        f(size, calls)
        [path] = [path for path in entries(memory) if os.path.getsize(path) > size]
        damage(path, how)
        assert f(size, calls).sum() == size * (size - 1) // 2
        assert noted(calls) == 2
        assert "corrupted" in caplog.text and "Exception while loading results" in caplog.text
        assert f(size, calls).sum() == size * (size - 1) // 2 and noted(calls) == 2
        memory.clear(warn=False)


def test_a_reference_to_a_damaged_result_says_so(memory):
    f = memory.cache(lambda x: [x] * 1000)
    reference = f.call_and_shelve(1)
    damage(entries(memory)[0], "flipped")
    with pytest.raises(KeyError, match="corrupted"):
        reference.get()


def test_references_can_be_pickled_and_outlive_the_program(memory, tmp_path):
    f = memory.cache(lambda x: np.full(5, x))
    reference = f.call_and_shelve(3)
    (tmp_path / "reference").write_bytes(pickle.dumps(reference))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).get().sum())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "reference")], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "15\n", done.stderr
    assert eval(repr(reference), {"MemorizedResult": make_result}).get().sum() == 15
    reference.clear()
    with pytest.raises(KeyError, match="Non-existing item"):
        reference.get()


def make_result(location, func, args_id):
    return MemorizedResult(location, (func, args_id))


def test_validation_decides_whether_a_result_is_used(memory, tmp_path):
    seen = []
    calls = tmp_path / "calls"

    def validate(metadata):
        seen.append(metadata)
        return len(seen) % 2 == 1

    f = memory.cache(slow, ignore=["path"], cache_validation_callback=validate)
    f(1, calls)
    f(1, calls)
    assert noted(calls) == 1
    f(1, calls)
    assert noted(calls) == 2
    assert seen[0]["input_args"] == {"x": "1"} and seen[0]["duration"] >= 0.05
    assert abs(seen[0]["time"] - time.time()) < 60
    g = memory.cache(slow, ignore=["path"], cache_validation_callback=phalanx.expires_after(hours=1))
    g(1, calls)
    assert noted(calls) == 2
    h = memory.cache(slow, ignore=["path"], cache_validation_callback=phalanx.expires_after(microseconds=1))
    h(1, calls)
    assert noted(calls) == 3


def test_the_cache_keeps_within_its_limit(tmp_path):
    memory = phalanx.Memory(tmp_path, verbose=0, bytes_limit="1M")
    f = memory.cache(lambda x: np.full(10_000, x, dtype="u1"))
    for number in range(150):
        f(number)
        assert sum(item.size for item in memory.store_backend.get_items()) <= 2**20
    assert f.check_call_in_cache(149) and not f.check_call_in_cache(0)
    with pytest.warns(CacheWarning, match="does not fit"):
        assert memory.cache(lambda: np.zeros(2**21, dtype="u1"))().nbytes == 2**21


def test_a_cache_is_reduced_and_cleared(memory):
    f, g = memory.cache(lambda x: x), memory.cache(abs)
    for number in range(10):
        f(number)
        g(-number)
    memory.reduce_size(items_limit=15)
    assert len(entries(memory)) == 15
    memory.reduce_size(age_limit=datetime.timedelta(hours=1), bytes_limit="1G")
    assert len(entries(memory)) == 15
    with pytest.raises(ValueError, match="has to be a positive"):
        memory.reduce_size(age_limit=datetime.timedelta(seconds=-1))
    with pytest.raises(ValueError, match="cannot read the size"):
        memory.reduce_size(bytes_limit="many")
    f.clear()
    assert not f.check_call_in_cache(9) and g.check_call_in_cache(-9)
    memory.clear(warn=False)
    assert entries(memory) == []


def test_a_cache_of_joblib_in_the_same_place_is_left_alone(tmp_path):
    theirs = joblib.Memory(tmp_path, verbose=0).cache(slow, ignore=["path"])
    theirs(1, tmp_path / "calls")
    memory = phalanx.Memory(tmp_path, verbose=0)
    ours = memory.cache(slow, ignore=["path"])
    ours(1, tmp_path / "calls")
    assert noted(tmp_path / "calls") == 2
    memory.clear(warn=False)
    assert theirs.check_call_in_cache(1, tmp_path / "calls")


def test_without_a_place_nothing_is_kept(tmp_path):
    memory = phalanx.Memory(None)
    f = memory.cache(slow)
    assert f(1, tmp_path / "calls") == f(1, tmp_path / "calls") == 2 and noted(tmp_path / "calls") == 2
    assert f.call_and_shelve(1, tmp_path / "calls").get() == 2
    assert f.call(1, tmp_path / "calls") == (2, {}) and not f.check_call_in_cache(1, "")
    memory.clear()
    memory.reduce_size(items_limit=0)
    assert memory.eval(abs, -1) == 1


def test_messages_are_those_of_the_chosen_verbosity(tmp_path, capsys):
    f = phalanx.Memory(tmp_path, verbose=1).cache(slow, ignore=["path"])
    f(1, tmp_path / "calls")
    assert "[Memory] Calling" in capsys.readouterr().out
    f(1, tmp_path / "calls")
    assert capsys.readouterr().out == ""
    f = phalanx.Memory(tmp_path, verbose=5).cache(slow, ignore=["path"])
    f(1, tmp_path / "calls")
    assert "Loading slow(x=1)" in capsys.readouterr().out


def work(f, path, numbers):
    return [f(number, path) for number in numbers]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_use_memorized_functions(memory, tmp_path, method):
    f = memory.cache(slow, ignore=["path"])
    path = tmp_path / "calls"
    with phalanx.get_context(method).Pool(2) as pool:
        results = pool.starmap(work, [(f, path, range(5))] * 4)
    assert results == [[0, 2, 4, 6, 8]] * 4 and noted(path) == 5
    assert work(f, path, range(5)) == results[0] and noted(path) == 5


def test_workers_find_closures_by_what_the_parent_saw(memory, tmp_path):
    path, state = tmp_path / "calls", []

    @memory.cache
    def f(x):
        note(path)
        state.append(x)
        return x

    f(1)
    with phalanx.get_context("spawn").Pool(1) as pool:
        assert pool.map(f, [1, 2]) == [1, 2]
    f(2)
    assert noted(path) == 2


def test_threads_compute_each_result_once(memory, tmp_path):
    f, path = memory.cache(slow, ignore=["path"]), tmp_path / "calls"
    threads = [threading.Thread(target=work, args=(f, path, range(5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert noted(path) == 5


def test_coroutine_functions_are_computed_once(memory, tmp_path):
    path = tmp_path / "calls"

    @memory.cache
    async def f(x):
        note(path)
        await asyncio.sleep(0.02)
        return x * 2

    async def main():
        assert await asyncio.gather(*(f(x) for x in (1, 2, 1, 1, 2))) == [2, 4, 2, 2, 4]
        assert (await f.call_and_shelve(1)).get() == 2
        assert (await f.call(1))[0] == 2

    asyncio.run(main())
    assert noted(path) == 3


def test_a_function_that_needs_its_own_result_does_not_wait_for_itself(memory):
    depth = []

    @memory.cache
    def f(x):
        depth.append(x)
        return 1 if len(depth) > 3 else f(x) + 1

    assert f(0) == 4


def test_a_folder_that_may_not_be_written_is_no_obstacle(tmp_path):
    memory = phalanx.Memory(tmp_path / "cache", verbose=0)
    f = memory.cache(slow, ignore=["path"])
    f(1, tmp_path / "calls")
    folder = tmp_path / "cache" / "phalanx"
    # A file in the way of the folder of locks: not even the superuser can make it.
    (folder / ".work").rmdir()
    (folder / ".work").write_text("")
    assert f(1, tmp_path / "calls") == 2 and noted(tmp_path / "calls") == 1
    with pytest.warns(CacheWarning):
        assert f(2, tmp_path / "calls") == 4


def test_import_costs_nothing_until_it_is_used():
    code = "import sys, phalanx; print('phalanx.memory' in sys.modules); phalanx.Memory; phalanx.hash(1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


def test_warnings_are_not_errors_of_ours(memory):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert memory.cache(abs)(-3) == 3
        assert memory.eval(max, [1, 2]) == 2
