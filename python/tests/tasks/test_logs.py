"""Log records of workers reach the handlers of the process that owns the pool."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap

import phalanx as mp
import pytest
import tasks_targets as targets
from support import wait_until

pytestmark = pytest.mark.phalanx_only


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def kept():
    handler = Kept()
    logger = logging.getLogger("tasks")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.getLogger("tasks.quiet").setLevel(logging.WARNING)
    yield handler.records
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logging.getLogger("tasks.quiet").setLevel(logging.NOTSET)


def test_records_of_a_pool_arrive_as_they_were_made(ctx, kept):
    with ctx.Pool(2, logs=True) as pool:
        pids = pool.map(targets.log_some, range(20), chunksize=1)
    assert len(kept) == 40
    assert {record.process for record in kept} == set(pids)
    assert all("PoolWorker" in record.processName for record in kept)
    assert {record.name for record in kept} == {"tasks.part"}
    for pid in set(pids):
        messages = [record.getMessage() for record in kept if record.process == pid]
        numbers = [number for number in range(20) if pids[number] == pid]
        expected = [f"task {n} {what}" for n in numbers for what in ("begins", "fails")]
        assert messages == expected
    first = next(record for record in kept if record.levelno == logging.INFO)
    assert first.item == int(first.getMessage().split()[1])
    assert first.filename == "tasks_targets.py"
    failed = next(record for record in kept if record.levelno == logging.ERROR)
    assert "ValueError: number" in logging.Formatter().format(failed)


def test_records_of_an_executor_arrive(ctx, kept):
    with mp.ProcessPoolExecutor(2, mp_context=ctx, logs=True) as executor:
        list(executor.map(targets.log_some, range(5)))
        executor.submit(targets.log_some, 5).result()
    assert len(kept) == 12


def test_what_a_worker_said_last_arrives(kept):
    with mp.Pool(1, logs=True) as pool:
        with pytest.raises(mp.WorkerDiedError):
            pool.apply(targets.log_and_die, (1,))
        wait_until(lambda: pool.apply(abs, (1,)) and kept, "the record is there")
    assert [record.getMessage() for record in kept] == ["about to end"]


def test_records_arrive_while_nobody_waits(kept):
    with mp.Pool(1, logs=True) as pool:
        result = pool.apply_async(targets.log_some, (3,))
        wait_until(lambda: len(kept) == 2, "the records are there")
        assert result.get() > 0
    pool = mp.Pool(1, logs=True)
    pool.apply_async(targets.log_some, (4,))
    pool.close()
    pool.join()
    assert len(kept) == 4


def test_what_cannot_be_sent_arrives_as_a_text(kept):
    with mp.Pool(1, logs=True) as pool:
        assert pool.apply(targets.log_strangely, (1,))
    (record,) = kept
    assert (record.getMessage(), record.odd) == ("odd: <odd>", "<odd>")


def test_a_handler_that_raises_costs_no_result(kept, capsys):
    class Broken(logging.Handler):
        def emit(self, record):
            try:
                raise RuntimeError("broken handler")
            except RuntimeError:
                self.handleError(record)

    broken = Broken()
    logging.getLogger("tasks").addHandler(broken)
    try:
        with mp.Pool(1, logs=True) as pool:
            assert len(pool.map(targets.log_some, range(3))) == 3
    finally:
        logging.getLogger("tasks").removeHandler(broken)
    assert "broken handler" in capsys.readouterr().err
    assert len(kept) == 6


def test_a_child_of_a_task_does_not_speak_through_the_pool(kept):
    with mp.Pool(1, logs=True) as pool:
        assert pool.map(targets.log_in_child, range(2)) == [0, 0]
    assert kept == []


def test_handlers_of_the_parent_are_called_once(tmp_path):
    """A worker that is forked has a copy of the parent's handlers: it does not use them."""
    program = """
        import logging
        import phalanx as mp, tasks_targets

        if __name__ == "__main__":
            logging.basicConfig(level=logging.INFO, format="%(levelname)s %(processName)s %(message)s")
            own = logging.getLogger("tasks.part")
            own.addHandler(logging.StreamHandler())
            own.propagate = False
            with mp.get_context("fork").Pool(1, logs=True) as pool:
                pool.map(tasks_targets.log_some, [1])
    """
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(program), encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, script],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stderr.count("task 1 begins") == 1
    assert answer.stderr.count("task 1 fails") == 1


def test_without_the_option_records_stay_where_they_were_made(kept):
    with mp.get_context("fork").Pool(1) as pool:
        pool.map(targets.log_some, [1])
    assert kept == []
