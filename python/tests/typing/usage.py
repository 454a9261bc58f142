"""What a program's author is told by a type checker. Checked by `scripts/check-types`, never run."""

import phalanx as mp
from phalanx import dummy
from phalanx.connection import Connection
from phalanx.pool import AsyncResult, MapResult
from phalanx.queues import JoinableQueue, Queue
from typing_extensions import assert_type


def text(number: int) -> str:
    return str(number)


def pools() -> None:
    with mp.Pool(2, initializer=text, initargs=(1,)) as pool:
        assert_type(pool.map(text, [1]), list[str])
        assert_type(pool.starmap(text, [(1,)]), list[str])
        assert_type(pool.apply(text, (1,)), str)
        assert_type(next(pool.imap(text, range(3))), str)
        one: AsyncResult[str] = pool.apply_async(text, (1,), callback=print, error_callback=print)
        assert_type(one.get(timeout=1.0), str)
        many: MapResult[str] = pool.map_async(text, [1])
        assert_type(many.get(), list[str])
        pool.map(text, ["a"])  # type: ignore[arg-type]
    with mp.Pool(seed=1, logs=True) as pool:
        assert_type(pool.map(text, [1], progress="texts"), list[str])
        assert_type(pool.any(text, [1]), bool)
        pool.first(text, [1], lambda value: value.isdigit(), default=None)
    assert_type(mp.cancelled(), bool)
    mp.rng().random()


def queues(numbers: Queue[int], work: JoinableQueue[str]) -> None:
    assert_type(numbers.get(timeout=1), int)
    numbers.put("a")  # type: ignore[arg-type]
    work.task_done()


def processes() -> None:
    process = mp.Process(target=text, args=(1,), kwargs=None, daemon=True)
    process.start()
    process.interrupt()
    assert_type(process.exitcode, int | None)
    assert_type(mp.parent_process() is None, bool)
    context = mp.get_context("spawn")
    context.Process(target=text).start()
    here, there = mp.Pipe(duplex=False)
    assert_type(here, Connection)
    assert_type(there.fileno(), int)
    mp.connection.wait([here, process.sentinel], timeout=1)


def locks() -> None:
    with mp.Lock(on_owner_death="release") as acquired:
        assert_type(acquired, bool)
    mp.Lock(on_owner_death="ignore")  # type: ignore[arg-type]
    assert_type(mp.Semaphore(2).locked(), bool)
    assert_type(dummy.RLock().locked(), bool)
    assert_type(mp.Lock()._semlock.handle, int)
    assert_type(mp.RLock()._semlock._count(), int)
    try:
        mp.RLock().acquire(timeout=1)
    except mp.OwnerDiedError as error:
        assert_type(error.pid, int | None)


def misspelt() -> None:
    mp.Quue()  # type: ignore[attr-defined]
