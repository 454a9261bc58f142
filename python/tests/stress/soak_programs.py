"""Scenes of the soak about `Parallel`, `Memory`, shared values, and programs that are interrupted (see soak_scenes)."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from pathlib import Path

import support
from soak_scenes import ended, payload, sabotage, started, work

mp = support.mp


def parallels(choose, saboteur):
    """A call has all its results, or the error of a death; the next finds workers."""
    from phalanx import _crews

    saboteur.most_kills = 5
    saboteur.start()
    made = 0
    try:
        for _ in range(choose.randrange(1, 6)):
            tasks = [(n, choose.choice([0, 100, 10_000])) for n in range(choose.randrange(1, 200))]
            try:
                results = mp.Parallel(3)(mp.delayed(work)(task) for task in tasks)
            except mp.WorkerDiedError:
                continue
            if results != [(n, payload(size, n)) for n, size in tasks]:
                raise AssertionError("a call returned something else")
            made += len(tasks)
    finally:
        saboteur.over.set()
        saboteur.join()
        _crews.end_all()
    return made


def slow_square(number):
    time.sleep(0.001)
    return number, payload(number % 5000, number)


def compute(folder, numbers, counts, index):
    cached = mp.Memory(folder, verbose=0).cache(slow_square)
    for number in numbers:
        if cached(number) != slow_square(number):
            raise AssertionError(f"the result for {number} is damaged")
        counts[index] += 1


def memories(choose, saboteur):
    """Results on disk are whole, whoever dies while it computes, writes or reads them."""
    context = mp.get_context("fork")
    counts = context.RawArray("q", 4)
    with tempfile.TemporaryDirectory(prefix="phalanx-soak-") as folder:
        plan = [choose.randrange(60) for _ in range(choose.randrange(20, 200))]
        users = [started(context, compute, folder, plan, counts, index) for index in range(3)]
        sabotage(saboteur, users)
        compute(folder, plan, counts, 3)
        ended(users, saboteur.killed)
        saboteur.stop()
    return sum(counts)


def add(value, array, rounds, index):
    for _ in range(300):
        with contextlib.suppress(mp.OwnerDiedError), value.get_lock():
            value.value += 1
        with contextlib.suppress(mp.OwnerDiedError), array.get_lock():
            array[1] = array[0] + 1
            array[0] = array[1]
        rounds[index] += 1


def values(choose, saboteur):
    """Nothing that was counted under a value's lock is lost, but what the dead and the told left out."""
    context = mp.get_context("fork")
    value, array, rounds = context.Value("q", 0), context.Array("q", 2), context.RawArray("q", 4)
    users = [started(context, add, value, array, rounds, index) for index in range(3)]
    sabotage(saboteur, users)
    add(value, array, rounds, 3)
    ended(users, saboteur.killed)
    saboteur.stop()
    done, slack = sum(rounds), 4 * len(saboteur.killed)
    if not done - slack <= value.value <= done + slack or not done - slack <= array[0] <= done + slack:
        raise AssertionError(
            f"{value.value} and {array[0]} counted, {done} rounds, {len(saboteur.killed)} killed"
        )
    return 4 * done


PROGRAM = """
import sys, time
import LIBRARY as mp

def work(number):
    time.sleep(number % 3 / 1000)
    return number

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    queue, lock = context.Queue(), context.Lock()
    try:
        with context.Pool(2) as pool:
            print("ready", flush=True)
            while True:
                {use}
    except KeyboardInterrupt:
        print(time.monotonic_ns(), flush=True)
"""
USES = [
    "pool.map(work, range(1000), 1)",
    "list(pool.imap(work, range(1000)))",
    "pool.apply_async(time.sleep, (600,)).get()",
    "queue.get()",
    "lock.acquire(timeout=600)",
]
#: Seconds from each Ctrl-C until the caller had its KeyboardInterrupt, and until nobody was left.
CAUGHT: list[float] = []
GONE: list[float] = []


def interrupts(choose, saboteur):
    """Ctrl-C at any moment: the caller gets one KeyboardInterrupt, and nobody is left."""
    saboteur.over.set()
    saboteur.start()  # this scene does its own harm
    source = PROGRAM.replace("{use}", choose.choice(USES))
    with tempfile.TemporaryDirectory(prefix="phalanx-soak-") as folder:
        with support.Script(Path(folder), source, choose.choice(support.START_METHODS)) as script:
            script.line()
            time.sleep(choose.uniform(0, 0.05))
            begin = time.monotonic_ns()
            script.signal_group(signal.SIGINT)
            done = script.finish()
            ended_at = time.monotonic_ns()
            support.wait_until(lambda: not script.alive(), "nobody is left")
        if done.returncode != 0 or "Traceback" in done.stderr:
            raise AssertionError(f"not one clean interrupt: {done.returncode}\n{done.stdout}\n{done.stderr}")
        CAUGHT.append((int(done.stdout) - begin) / 1e9)
        GONE.append((ended_at - begin) / 1e9)
    return 1


SCENES = {scene.__name__: scene for scene in (parallels, memories, values, interrupts)}
