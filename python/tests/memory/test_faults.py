"""`phalanx.Memory` when processes are killed and disks are full."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import numpy as np
import phalanx
import pytest
from phalanx.memory import CacheWarning
from support import Script, wait_until

PROGRAM = """
    import sys, time
    import phalanx

    memory = phalanx.Memory(sys.argv[1], verbose=0)

    @memory.cache(ignore=["seconds"])
    def f(x, seconds):
        print("computing", flush=True)
        time.sleep(seconds)
        return x * 2

    if __name__ == "__main__":
        print("started", flush=True)
        print("result", f(21, float(sys.argv[2])), flush=True)
"""


def read_until(program, word):
    lines = []
    while not lines or not lines[-1].startswith(word):
        line = program.process.stdout.readline()
        assert line, program.process.stderr.read()
        lines.append(line)
    return lines


def folders(tmp_path, count):
    made = [tmp_path / f"program-{number}" for number in range(count)]
    for folder in made:
        folder.mkdir()
    return made


def test_two_programs_at_once_compute_once(tmp_path):
    one, other = folders(tmp_path, 2)
    cache = str(tmp_path / "cache")
    with Script(one, PROGRAM, cache, "1") as first:
        read_until(first, "computing")
        with Script(other, PROGRAM, cache, "1") as second:
            assert read_until(second, "result") == ["started\n", "result 42\n"]
        assert read_until(first, "result") == ["result 42\n"]


def test_the_next_takes_over_from_one_that_was_killed(tmp_path):
    one, *others = folders(tmp_path, 4)
    cache = str(tmp_path / "cache")
    with Script(one, PROGRAM, cache, "1000") as first:
        read_until(first, "computing")
        waiting = [Script(folder, PROGRAM, cache, "0.1") for folder in others]
        try:
            time.sleep(0.5)
            assert all(program.process.poll() is None for program in waiting)
            os.kill(first.process.pid, signal.SIGKILL)
            outputs = [read_until(program, "result") for program in waiting]
        finally:
            for program in waiting:
                program.__exit__()
    assert sorted(len(lines) for lines in outputs) == [2, 2, 3]
    assert {lines[-1] for lines in outputs} == {"result 42\n"}
    assert list((tmp_path / "cache" / "phalanx" / ".work").iterdir()) == []


def test_who_waits_can_be_interrupted(tmp_path):
    one, other = folders(tmp_path, 2)
    cache = str(tmp_path / "cache")
    with Script(one, PROGRAM, cache, "1000") as first:
        read_until(first, "computing")
        interrupt(other, cache)


def interrupt(folder, cache):
    with Script(folder, PROGRAM, cache, "0") as second:
        read_until(second, "started")
        time.sleep(0.5)
        second.process.send_signal(signal.SIGINT)
        assert second.process.wait(30) != 0
        assert "KeyboardInterrupt" in second.process.stderr.read()


def nap(x, path):
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.02)
    return np.full(1000, x)


def all_of(f, path, count):
    return [int(f(x, path).sum()) for x in range(count)]


def test_eight_processes_at_once_compute_each_result_once(tmp_path):
    memory = phalanx.Memory(tmp_path / "cache", verbose=0)
    f, path = memory.cache(nap, ignore=["path"]), tmp_path / "calls"
    with phalanx.Pool(8) as pool:
        results = pool.starmap(all_of, [(f, path, 20)] * 8, chunksize=1)
    assert results == [[x * 1000 for x in range(20)]] * 8
    assert len(path.read_text().split()) == 20


def test_a_worker_killed_while_it_computes_costs_its_task_only(tmp_path):
    memory = phalanx.Memory(tmp_path / "cache", verbose=0)

    def linger(x, path):
        with open(path, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(1000 if len(path.read_text().split()) == 1 else 0)
        return x

    f, path = memory.cache(linger, ignore=["path"]), tmp_path / "calls"
    with phalanx.Pool(2) as pool:
        first, second = pool.apply_async(f, (1, path)), pool.apply_async(f, (1, path))
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), "a computation")
        time.sleep(0.2)
        assert len(path.read_text().split()) == 1
        os.kill(int(path.read_text()), signal.SIGKILL)
        outcomes = []
        for call in (first, second):
            try:
                outcomes.append(call.get(60))
            except phalanx.WorkerDiedError:
                outcomes.append("died")
    assert sorted(map(str, outcomes)) == ["1", "died"]


def store_and_check(folder, seed):
    memory = phalanx.Memory(folder, verbose=0, bytes_limit=200_000)
    f = memory.cache(lambda x: np.full(20_000, x % 251, dtype="u1"))
    rng = np.random.default_rng(seed)
    for number in rng.integers(0, 30, 150):
        value = f(int(number))
        if value.shape != (20_000,) or (value != number % 251).any():
            return f"wrong value for {number}"
        if sum(item.size for item in memory.store_backend.get_items()) > 200_000:
            return "over the limit"
    return "well"


def test_results_vanish_while_others_read_them(tmp_path):
    with phalanx.Pool(4) as pool:
        outcomes = pool.starmap(store_and_check, [(tmp_path, seed) for seed in range(4)], chunksize=1)
    assert outcomes == ["well"] * 4


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this user may not mount a small file system: {done.stderr}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_costs_the_cache_only(small_disk):
    memory = phalanx.Memory(small_disk, verbose=0)
    f = memory.cache(lambda size: np.ones(size, dtype="u1"))
    assert f(100_000).sum() == 100_000
    for _ in range(2):
        with pytest.warns(CacheWarning, match="no room for a cache entry"):
            assert f(5_000_000).sum() == 5_000_000
    assert list((small_disk / "phalanx" / ".work").iterdir()) == []
    assert f.check_call_in_cache(100_000) and not f.check_call_in_cache(5_000_000)
    # Full to the last byte: not even a lock can be made.
    filler = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space left"):
        while True:
            os.write(filler, bytes(4096))
    os.close(filler)
    with pytest.warns(CacheWarning):
        assert f(300_000).sum() == 300_000
    assert f(100_000).sum() == 100_000


def test_a_forked_child_does_not_give_its_parents_claim_back(tmp_path):
    memory = phalanx.Memory(tmp_path / "cache", verbose=0)

    @memory.cache
    def f(x):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        with phalanx.get_context("fork").Pool(1) as pool:
            return pool.apply(claim_is_taken, (str(tmp_path / "cache"),))

    assert f(1) is True


def claim_is_taken(folder):
    locks = [name for name in os.listdir(f"{folder}/phalanx/.work") if name.endswith(".lock")]
    return len(locks) == 1
