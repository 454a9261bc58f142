"""Random numbers of tasks: reproducible with a seed, never shared without."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap

import numpy as np
import phalanx as mp
import pytest
import tasks_targets as targets

pytestmark = pytest.mark.phalanx_only


def all_calls(pool, chunksize):
    """The results of every kind of call, in an order that does not depend on the workers."""
    yield pool.map(targets.draw, range(12), chunksize)
    yield pool.starmap(targets.draw_two, [(1, 2), (3, 4), (5, 6)], chunksize)
    yield list(pool.imap(targets.draw, range(8), chunksize or 1))
    yield sorted(pool.imap_unordered(targets.draw, range(8), chunksize or 1))
    yield pool.apply(targets.draw, (1,))
    yield pool.map_async(targets.draw, range(3), chunksize).get()
    yield pool.apply_async(targets.draw, (), {"number": 5}).get()


def test_results_depend_on_the_seed_alone(ctx):
    outcomes = []
    for workers, chunksize in ((1, None), (2, 1), (3, 5)):
        with ctx.Pool(workers, seed=2024) as pool:
            outcomes.append(list(all_calls(pool, chunksize)))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    with ctx.Pool(2, seed=2025) as pool:
        assert pool.map(targets.draw, range(12)) != outcomes[0][0]


def test_no_two_tasks_have_numbers_in_common():
    with mp.Pool(2, seed=0) as pool:
        drawn = [
            number
            for _ in range(3)
            for task in pool.map(targets.draw, range(50), chunksize=7)
            for number in task[1:4]
        ]
    assert len(set(drawn)) == 3 * 50 * 3


@pytest.mark.parametrize("seed", [0, 42, 2**31, 2**200 + 12345])
def test_streams_are_those_of_numpys_seed_sequence(seed):
    with mp.Pool(2, seed=seed) as pool:
        pool.map(targets.draw, range(2))
        results = pool.map(targets.draw, range(5))
    for index, (_, plain, legacy, own, is_same) in enumerate(results):
        sequence = np.random.SeedSequence(seed, spawn_key=(1, index))
        words = sequence.generate_state(8)
        assert own == np.random.default_rng(sequence).random()
        assert legacy == np.random.RandomState(words[4:]).random_sample()
        assert plain == random.Random(int.from_bytes(words[:4].tobytes(), "little")).random()
        assert is_same


def test_an_executor_gives_the_same_whatever_its_workers(ctx):
    outcomes = []
    for workers in (1, 3):
        with mp.ProcessPoolExecutor(workers, mp_context=ctx, seed=7) as executor:
            mapped = list(executor.map(targets.draw, range(10)))
            futures = [executor.submit(targets.draw, number) for number in range(6)]
            outcomes.append((mapped, [future.result() for future in futures]))
    assert outcomes[0] == outcomes[1]
    assert len({result[1] for result in outcomes[0][1]}) == 6


def test_a_retried_call_draws_the_same_again(tmp_path):
    with mp.ProcessPoolExecutor(2, seed=3) as executor:
        again = executor.options(retries=1)
        first = again.submit(targets.draw_once_in_vain, str(tmp_path / "mark")).result()
    with mp.ProcessPoolExecutor(1, seed=3) as executor:
        assert executor.submit(targets.draw_once_in_vain, str(tmp_path / "mark")).result() == first


def test_options_change_no_numbers(tmp_path):
    with mp.Pool(2, seed=3) as pool:
        plain = [
            pool.map(targets.draw, range(6)),
            list(pool.imap(targets.draw, range(6))),
            pool.apply(targets.draw, (1,)),
        ]
    with mp.Pool(2, seed=3) as pool:
        careful = pool.options(retries=1, timeout=60)
        assert plain == [
            careful.map(targets.draw, range(6)),
            list(careful.imap(targets.draw, range(6))),
            careful.apply(targets.draw, (1,)),
        ]
    with mp.ProcessPoolExecutor(2, seed=3) as executor:
        assert list(executor.options(retries=1).map(targets.draw, range(6))) == plain[0]
        assert list(executor.map(targets.draw, range(6))) == plain[1]


def test_a_call_whose_worker_died_draws_the_same_again(tmp_path):
    with mp.ProcessPoolExecutor(1, seed=3) as executor:
        again = executor.options(retries=1)
        first = again.submit(targets.draw_after_death, str(tmp_path / "mark")).result()
        second = executor.submit(targets.draw_after_death, str(tmp_path / "mark")).result()
    with mp.ProcessPoolExecutor(2, seed=3) as executor:
        assert executor.submit(targets.draw_after_death, str(tmp_path / "mark")).result() == first
        assert executor.submit(targets.draw_after_death, str(tmp_path / "mark")).result() == second
    assert first != second


def test_without_a_seed_no_two_workers_share_a_stream(ctx):
    np.random.seed(1)
    random.seed(1)
    with ctx.Pool(3) as pool:
        drawn = pool.map(targets.draw_global, range(24), chunksize=1)
    for kind in zip(*drawn, strict=True):
        assert len(set(kind)) == len(kind)


def test_a_child_of_a_task_does_not_share_its_stream():
    with mp.Pool(1, seed=1) as pool:
        child, task = pool.apply(targets.draw_in_child, (0,))
    assert child != task


def test_numpy_is_imported_by_the_tasks_that_want_it_and_nobody_else():
    program = """
        import phalanx as mp, tasks_targets

        if __name__ == "__main__":
            with mp.Pool(1, seed=5) as pool:
                print(pool.map(tasks_targets.has_numpy, [0, 1]))
            with mp.Pool(1) as pool:
                print(pool.map(tasks_targets.has_numpy, [0]))
            # The first task of each worker imports it.
            for workers in (1, 3):
                with mp.Pool(workers, seed=5) as pool:
                    print(pool.map(tasks_targets.draw, range(3), chunksize=1))
    """
    path = ":".join(sys.path)
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = answer.stdout.splitlines()
    assert lines[:2] == ["[False, False]", "[False]"]
    assert lines[2] == lines[3]
    with mp.Pool(1, seed=5) as pool:
        assert lines[2] == str(pool.map(targets.draw, range(3)))


def test_a_stream_can_be_had_in_this_process_too():
    seeds = mp.pool.Seeds(11)
    call = seeds.count_call()
    before = random.getstate(), np.random.get_state()[1].tolist()
    here = [seeds.run(call, index, lambda index=index: targets.draw(index)) for index in range(4)]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    with mp.Pool(2, seed=11) as pool:
        assert pool.map(targets.draw, range(4)) == here


def test_outside_of_tasks_every_process_has_its_own_generator(ctx):
    mine = float(mp.rng().random())
    assert mp.rng() is mp.rng()
    with ctx.Pool(2) as pool:
        drawn = [result[3] for result in pool.map(targets.draw, range(6), chunksize=1)]
    assert len({mine, *drawn}) == 7


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (1.5, TypeError), ("x", TypeError), ([1], TypeError)]
)
def test_what_is_no_seed_is_refused(seed, error):
    with pytest.raises(error, match="seed"):
        mp.Pool(1, seed=seed)
    with pytest.raises(error, match="seed"):
        mp.ProcessPoolExecutor(1, seed=seed)


def test_a_numpy_integer_is_a_seed():
    with mp.Pool(1, seed=np.int64(9)) as one, mp.Pool(1, seed=9) as other:
        assert one.apply(targets.draw, (1,)) == other.apply(targets.draw, (1,))
