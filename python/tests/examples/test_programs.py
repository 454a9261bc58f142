"""Every example program runs to its end and prints what it promises."""

import phalanx
import pytest

from .running import EXAMPLES, run

APPLES = sum(number % 7 for number in range(300))


def output_of(script):
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_hello_pool():
    assert output_of("hello_pool.py") == [
        str([x * x for x in range(10)]),
        str(sum(x * x for x in range(1000))),
    ]


def test_queue_pipeline():
    assert output_of("queue_pipeline.py") == [f"{APPLES} apples"]


def test_shared_array():
    (line,) = output_of("shared_array.py")
    assert line.startswith("4000 throws: [")


def test_crash_survival():
    lines = output_of("crash_survival.py")
    expected = [f"task {number}: {number * number}" for number in range(10)]
    expected[5] = "task 5 lost: WorkerDiedError"
    assert lines == [*expected, "the pool goes on: [400, 900]"]


def test_lambda_in_pool():
    answers = f"{[x * x for x in range(5)]} {[3 * x for x in range(5)]}"
    assert output_of("lambda_in_pool.py") == [
        f"{method}: {answers}" for method in phalanx.get_all_start_methods()
    ]


def test_numpy_zero_copy():
    pytest.importorskip("numpy", reason="this example is about numpy arrays")
    assert output_of("numpy_zero_copy.py") == [
        *(
            f"array {number} arrived in shared memory, its doubled sum is {2_000_000 * number}"
            for number in range(1, 5)
        ),
        "the sender's arrays are unchanged: [1.0, 2.0, 3.0, 4.0]",
    ]


def test_every_program_is_tested():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - {"tour"}
    assert scripts <= tested
