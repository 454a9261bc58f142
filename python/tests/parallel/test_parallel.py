"""`Parallel`: what joblib's documentation promises, and what phalanx promises beyond it."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import threading
import time
from operator import neg

import numpy
import phalanx
import pytest
import targets
from phalanx import (
    Parallel,
    WorkerDiedError,
    _crews,
    _inner_threads,
    delayed,
    effective_n_jobs,
    parallel_config,
)
from support import Script, run_script, runs, wait_until
from threadpoolctl import threadpool_info

HOW = ("processes", "threads")


def add(x, y=0, *, scale=1):
    return (x + y) * scale


def fail_at(number, place):
    if number == place:
        raise ValueError(f"no {number}")
    return number


def nap(seconds, value=None):
    time.sleep(seconds)
    return value


def pid(_=None):
    return os.getpid()


def warned_of_waste():
    return pytest.warns(UserWarning, match="cancelled|not used")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("backend", HOW)
class TestBothWays:
    def test_results_are_in_order(self, backend):
        calls = (delayed(add)(n) for n in range(3000))
        assert Parallel(2, backend=backend)(calls) == list(range(3000))

    def test_keywords_and_functions_may_vary(self, backend):
        calls = [delayed(add)(1, scale=3), delayed(neg)(4), delayed(add)(1, y=2), delayed(len)("four")]
        assert Parallel(2, backend=backend)(calls * 5) == [3, -4, 3, 4] * 5

    def test_nothing_to_do(self, backend):
        assert Parallel(2, backend=backend)([]) == []
        assert list(Parallel(2, backend=backend, return_as="generator")(iter(()))) == []

    def test_the_error_of_a_task(self, backend):
        with pytest.raises(ValueError, match="no 7"):
            Parallel(2, backend=backend)(delayed(fail_at)(n, 7) for n in range(100))
        assert Parallel(2, backend=backend)([delayed(neg)(1)]) == [-1]

    def test_an_error_does_not_wait_for_what_is_in_front_of_it(self, backend):
        begin = time.monotonic()
        with pytest.raises(ValueError, match="no 1"):
            Parallel(2, backend=backend)([delayed(nap)(20), delayed(fail_at)(1, 1)])
        assert time.monotonic() - begin < 15

    def test_the_error_of_the_input(self, backend):
        def calls():
            yield delayed(neg)(1)
            raise LookupError("the input ends badly")

        with pytest.raises(LookupError, match="ends badly"):
            Parallel(2, backend=backend)(calls())

    def test_what_is_no_call_is_refused(self, backend):
        with pytest.raises(TypeError):
            Parallel(2, backend=backend)(range(3))

    def test_a_generator_takes_endless_input(self, backend):
        results = Parallel(2, backend=backend, return_as="generator")(
            delayed(neg)(n) for n in itertools.count()
        )
        assert list(itertools.islice(results, 500)) == [-n for n in range(500)]
        with warned_of_waste():
            results.close()

    def test_a_generator_is_held_back_by_its_reader(self, backend):
        read = []

        def calls():
            for number in itertools.count():
                read.append(number)
                yield delayed(neg)(number)

        results = Parallel(2, backend=backend, return_as="generator", pre_dispatch=4)(calls())
        next(results)
        time.sleep(0.3)
        # What is ahead of the reader depends on how many travel together: tiny tasks, many.
        assert len(read) < 5000
        with warned_of_waste():
            results.close()

    def test_unordered_results_come_as_they_are_ready(self, backend):
        calls = [delayed(nap)(1.5, "slow"), *(delayed(nap)(0, "fast") for _ in range(3))]
        results = list(Parallel(2, backend=backend, return_as="generator_unordered")(calls))
        assert results == ["fast"] * 3 + ["slow"]

    def test_a_result_that_takes_too_long(self, backend):
        with pytest.raises(phalanx.TimeoutError):
            Parallel(2, backend=backend, timeout=0.3)([delayed(neg)(1), delayed(nap)(20)])

    def test_one_long_task_leaves_nobody_without_work(self, backend):
        done = []
        gate = threading.Event()

        def note(n):
            done.append(n)
            if len(done) == 200:
                gate.set()
            return n

        if backend == "threads":
            calls = [delayed(gate.wait)(60), *(delayed(note)(n) for n in range(200))]
            assert Parallel(2, backend=backend)(calls) == [True, *range(200)]
        else:
            begin = time.monotonic()
            calls = [delayed(nap)(1, "long"), *(delayed(nap)(0.005, n) for n in range(150))]
            assert Parallel(2, backend=backend)(calls) == ["long", *range(150)]
            assert time.monotonic() - begin < 60

    def test_a_context_keeps_no_results_of_an_earlier_call(self, backend):
        with Parallel(2, backend=backend) as parallel:
            with pytest.raises(ValueError, match="no 3"):
                parallel(delayed(fail_at)(n, 3) for n in range(50))
            assert parallel(delayed(neg)(n) for n in range(5)) == [0, -1, -2, -3, -4]
            assert parallel(delayed(neg)(n) for n in range(2)) == [0, -1]

    def test_one_call_at_a_time(self, backend):
        parallel = Parallel(2, backend=backend, return_as="generator")
        results = parallel(delayed(neg)(n) for n in range(5))
        with pytest.raises(RuntimeError, match="already running"):
            parallel([])
        assert list(results) == [0, -1, -2, -3, -4]
        assert list(parallel([delayed(neg)(1)])) == [-1]

    def test_a_generator_that_is_dropped_ends_its_work(self, backend):
        parallel = Parallel(2, backend=backend, return_as="generator")
        results = parallel(delayed(nap)(0.01, n) for n in range(1000))
        assert next(results) == 0
        with warned_of_waste():
            del results
            gc.collect()
        assert next(parallel([delayed(neg)(1)])) == -1

    @pytest.mark.parametrize("pre_dispatch", ["all", 1, "3*n_jobs", "n_jobs // 2 + 1"])
    @pytest.mark.parametrize("batch_size", ["auto", 1, 7])
    def test_dispatch(self, backend, pre_dispatch, batch_size):
        parallel = Parallel(2, backend=backend, pre_dispatch=pre_dispatch, batch_size=batch_size)
        assert parallel(delayed(neg)(n) for n in range(100)) == [-n for n in range(100)]

    def test_progress_is_told(self, backend, capsys):
        parallel = Parallel(2, backend=backend, verbose=11)
        assert parallel(delayed(neg)(n) for n in range(4)) == [0, -1, -2, -3]
        told = capsys.readouterr().err
        assert "[Parallel(n_jobs=2)]: Using" in told and "finished" in told

    def test_progress_can_be_overridden(self, backend):
        class Watched(Parallel):
            seen = ()

            def print_progress(self):
                self.seen += ((self.n_completed_tasks, self.n_dispatched_tasks),)

        parallel = Watched(2, backend=backend)
        parallel(delayed(neg)(n) for n in range(4))
        assert len(parallel.seen) >= 4 and parallel.seen[-1] == (4, 4)


class TestWorkers:
    def test_they_stay_for_the_next_call(self):
        first = set(Parallel(2)(delayed(pid)(n) for n in range(50)))
        assert os.getpid() not in first
        (crew,) = _crews._idle
        workers = {process.pid for process in crew.core.processes()}
        assert first <= workers
        # Which of them does how much is not said: one may be quick enough for all.
        assert set(Parallel(2)(delayed(pid)(n) for n in range(50))) <= workers
        assert {process.pid for process in crew.core.processes()} == workers

    def test_they_leave_when_nobody_needs_them(self):
        Parallel(2, idle_worker_timeout=0.2)([delayed(neg)(1)])
        wait_until(lambda: not _crews._idle, "the workers leave")
        wait_until(lambda: _crews._reaper is None, "nobody waits for them")
        assert Parallel(2)([delayed(neg)(1)]) == [-1]

    def test_the_death_of_one_costs_its_task(self):
        calls = [delayed(die if n == 5 else neg)(*(() if n == 5 else (n,))) for n in range(50)]
        with pytest.raises(WorkerDiedError, match="die"):
            Parallel(2)(calls)
        assert Parallel(2)(delayed(neg)(n) for n in range(3)) == [0, -1, -2]

    def test_an_initializer_runs_in_each(self):
        parallel = Parallel(2, initializer=targets_set, initargs=("yes",))
        assert set(parallel(delayed(targets_get)() for _ in range(20))) == {"yes"}

    def test_workers_that_cannot_start_are_not_kept(self, tmp_path):
        def fail_at_first():
            if not (tmp_path / "now").exists():
                raise OSError("not yet")

        parallel = Parallel(2, initializer=fail_at_first)
        with pytest.raises(OSError, match="not yet"):
            parallel(delayed(neg)(n) for n in range(3))
        (tmp_path / "now").touch()
        assert parallel(delayed(neg)(n) for n in range(3)) == [0, -1, -2]

    def test_a_forked_child_has_workers_of_its_own(self):
        with Parallel(2) as parallel:
            assert parallel([delayed(neg)(1)]) == [-1]
            queue = phalanx.get_context("fork").SimpleQueue()
            process = phalanx.get_context("fork").Process(
                target=lambda: queue.put(parallel(delayed(neg)(n) for n in range(3)))
            )
            process.start()
            assert queue.get() == [0, -1, -2]
            process.join(30)
            assert process.exitcode == 0
            assert parallel([delayed(neg)(2)]) == [-2]

    def test_threads_that_share_no_workers(self):
        results = {}

        def work(name):
            results[name] = Parallel(2)(delayed(add)(n, name) for n in range(500))

        threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert results == {name: [n + name for n in range(500)] for name in range(3)}

    def test_they_know_what_is_defined_later(self, tmp_path):
        done = run_script(
            tmp_path,
            """
            from phalanx import Parallel, delayed
            value = "first"
            def look():
                return value, helper()
            def helper():
                return 1
            print(Parallel(2)(delayed(look)() for _ in range(2)))
            value = "second"
            def helper():
                return 2
            class Late:
                def __init__(self, n): self.n = n
            def twice(late):
                return Late(late.n * 2)
            print(Parallel(2)(delayed(look)() for _ in range(2)))
            print([type(r) is Late and r.n for r in Parallel(2)(delayed(twice)(Late(n)) for n in range(3))])
            """,
        )
        assert done.stdout.splitlines() == [
            "[('first', 1), ('first', 1)]",
            "[('second', 2), ('second', 2)]",
            "[0, 2, 4]",
        ]

    def test_a_program_ends_with_its_workers(self, tmp_path):
        done = run_script(
            tmp_path,
            """
            import os
            from phalanx import Parallel, delayed
            print(*set(Parallel(2)(delayed(os.getpid)() for _ in range(50))))
            """,
        )
        for pid in map(int, done.stdout.split()):
            wait_until(lambda pid=pid: not runs(pid), "the worker has ended")

    @pytest.mark.parametrize("backend", HOW)
    def test_an_interrupt_ends_it_at_once(self, tmp_path, backend):
        program = f"""
            import time
            from phalanx import Parallel, delayed

            def task(number):
                print("began", flush=True)
                time.sleep(3 if "{backend}" == "threads" else 60)

            try:
                Parallel(2, backend="{backend}")(delayed(task)(n) for n in range(10))
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            print(Parallel(2)(delayed(abs)(-n) for n in range(3)), flush=True)
        """
        with Script(tmp_path, program) as script:
            assert script.line() == "began"
            script.signal_group(signal.SIGINT)
            done = script.finish()
        assert done.returncode == 0 and "Traceback" not in done.stderr
        assert done.stdout.splitlines()[-2:] == ["interrupted", "[0, 1, 2]"]

    def test_a_killed_parent_leaves_no_worker(self, tmp_path):
        program = """
            import os, time
            from phalanx import Parallel, delayed
            print(*set(Parallel(2)(delayed(os.getpid)() for _ in range(50))), flush=True)
            time.sleep(60)
        """
        with Script(tmp_path, program) as script:
            workers = [int(pid) for pid in script.line().split()]
            os.kill(script.pid, signal.SIGKILL)
            for worker in workers:
                wait_until(lambda worker=worker: not runs(worker), "the worker has ended")

    def test_a_task_may_start_processes(self):
        assert Parallel(2)(delayed(start_one)(n) for n in range(2)) == [0, 1]


_setting = None


def targets_set(value):
    global _setting
    _setting = value


def targets_get():
    return _setting


def start_one(number):
    queue = phalanx.SimpleQueue()
    process = phalanx.Process(target=queue.put, args=(number,))
    process.start()
    process.join(30)
    return queue.get()


def nested(count):
    level = _crews.nesting_level()
    inner = Parallel(2)(delayed(where)() for _ in range(count))
    return level, sorted(set(inner))


def where():
    return threading.current_thread() is threading.main_thread(), _crews.nesting_level()


class TestNesting:
    def test_threads_within_processes(self):
        assert Parallel(2)(delayed(nested)(3) for _ in range(2)) == [(1, [(False, 2)])] * 2

    def test_one_after_the_other_further_down(self):
        def outer():
            return Parallel(2)(delayed(nested)(2) for _ in range(2))

        ((level, inner), _) = Parallel(2)(delayed(outer)() for _ in range(2))[0]
        assert level == 2 and inner == [(False, 2)]


class TestArrays:
    def test_large_ones_are_shared_and_cannot_be_written(self):
        array = numpy.arange(300_000.0)
        calls = (delayed(look_at)(array, n) for n in range(6))
        for writable, total, number in Parallel(2, max_nbytes="1M")(calls):
            assert (writable, total) == (False, array.sum() + number)

    def test_small_ones_are_everybodys_own(self):
        array = numpy.zeros(10)
        results = Parallel(2)(delayed(increment)(array) for _ in range(4))
        assert [float(result[0]) for result in results] == [1.0] * 4 and array[0] == 0

    @pytest.mark.parametrize("setting", [{"mmap_mode": "c"}, {"max_nbytes": None}, {"mmap_mode": None}])
    def test_they_can_be_everybodys_own_to_write(self, setting):
        array = numpy.zeros(300_000)
        results = Parallel(2, **setting)(delayed(increment)(array) for _ in range(4))
        assert [float(result[0]) for result in results] == [1.0] * 4 and array[0] == 0

    def test_a_small_one_may_change_between_calls(self):
        large, small = numpy.zeros(300_000), numpy.zeros(3)
        with Parallel(2) as parallel:
            for number in range(5):
                small[:] = number
                assert parallel([delayed(first_of)(large, small)] * 4) == [number] * 4

    @pytest.mark.parametrize("options", [None, {"retries": 1}])
    def test_a_shared_one_is_stored_once(self, options):
        array = numpy.ones(20_000_000 // 8)
        parallel = Parallel(2, return_as="generator", pre_dispatch=20)
        if options is not None:
            parallel = parallel.options(**options)
        before = shared_memory_in_use()
        results = parallel(delayed(look_at)(array, n) for n in range(40))
        most = 0
        for _ in results:
            most = max(most, shared_memory_in_use() - before)
        assert most < 3 * array.nbytes

    def test_many_different_ones_do_not_pile_up(self):
        def calls():
            for number in range(60):
                yield delayed(look_at)(numpy.full(10_000_000 // 8, float(number)), 0)

        before = shared_memory_in_use()
        most = 0
        results = Parallel(2, return_as="generator")(calls())
        for number, (_, total, _) in enumerate(results):
            assert total == number * 10_000_000 // 8
            most = max(most, shared_memory_in_use() - before)
        assert most < 400_000_000


class TestMemoryMaps:
    def test_what_tasks_write_is_in_the_file(self, tmp_path):
        output = numpy.memmap(tmp_path / "sums", dtype="f8", mode="w+", shape=(6, 2))
        Parallel(2)(delayed(fill)(output[number], number) for number in range(6))
        assert output.tolist() == [[n, n] for n in range(6)]
        Parallel(2)(delayed(fill)(output[:, number], number + 10) for number in range(2))
        assert output.tolist() == [[10, 11]] * 6

    def test_they_are_not_copied(self, tmp_path):
        whole = numpy.memmap(tmp_path / "data", dtype="i4", mode="w+", shape=(100, 1000))
        whole[:] = numpy.arange(100_000).reshape(100, 1000)
        whole.flush()
        data = numpy.memmap(tmp_path / "data", dtype="i4", mode="r", shape=(100, 1000))
        parts = [data, data[3:7], data[:, 10:20], data[::2, ::3], data.T]
        # What runs backwards, or is nowhere, travels as a copy.
        copied = [data[::-1], data[5:5]]
        seen = Parallel(2, max_nbytes="1G")(delayed(kind_of_array)(part) for part in parts + copied)
        assert [total for _, total, _ in seen] == [int(part.sum()) for part in parts + copied]
        assert [(kind, writable) for kind, _, writable in seen[:5]] == [("memmap", False)] * 5

    def test_queues_still_copy_them(self, tmp_path):
        array = numpy.memmap(tmp_path / "data", dtype="f8", mode="w+", shape=(3,))
        Parallel(2)([delayed(fill)(array, 1)])
        with phalanx.Pool(1) as pool:
            pool.apply(fill, (array, 2))
        assert array.tolist() == [1, 1, 1]


def fill(array, value):
    array[:] = value


def kind_of_array(array):
    return type(array).__name__, int(array.sum()), array.flags.writeable


def look_at(array, number):
    return array.flags.writeable, float(array.sum()) + number, number


def increment(array):
    array += 1
    return array[:1]


def first_of(large, small):
    return small[0]


def shared_memory_in_use():
    """Bytes of anonymous shared memory that this process and its workers use."""
    used = 0
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        try:
            if os.readlink(path).startswith("/memfd:"):
                used += os.stat(path).st_blocks * 512
        except FileNotFoundError:
            pass  # It was the descriptor of the listing itself.
    return used


class TestSettings:
    def test_numbers_of_jobs(self):
        count = phalanx.cpu_count()
        assert effective_n_jobs(-1) == count and effective_n_jobs(3) == 3
        assert effective_n_jobs(-count - 5) == 1 and effective_n_jobs(None) == 1
        with pytest.raises(ValueError, match="n_jobs == 0"):
            effective_n_jobs(0)
        with pytest.raises(ValueError, match="n_jobs == 0"):
            Parallel(0)([])

    def test_a_configuration_holds_within_its_block(self):
        with parallel_config(n_jobs=2, backend="threading"):
            assert Parallel().n_jobs == 2 and effective_n_jobs(None) == 2
            assert Parallel()(delayed(pid)(n) for n in range(3)) == [os.getpid()] * 3
            with parallel_config(n_jobs=3):
                assert Parallel().n_jobs == 3
            assert Parallel(n_jobs=4).n_jobs == 4
        assert Parallel().n_jobs == 1

    @pytest.mark.parametrize("setting", [{"prefer": "threads"}, {"require": "sharedmem"}])
    def test_tasks_can_share_memory(self, setting):
        seen = []
        Parallel(2, **setting)(delayed(seen.append)(n) for n in range(10))
        assert sorted(seen) == list(range(10))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"return_as": "set"},
            {"batch_size": 0},
            {"batch_size": 1.5},
            {"backend": "no such"},
            {"prefer": "magic"},
            {"require": "magic"},
            {"prefer": "processes", "require": "sharedmem"},
            {"backend": "loky", "require": "sharedmem"},
            {"max_nbytes": "lots"},
            {"n_jobs": "many"},
        ],
    )
    def test_wrong_ones_are_refused(self, wrong):
        with pytest.raises(ValueError):
            Parallel(**wrong)
        with pytest.raises(ValueError):
            Parallel(2, pre_dispatch="__import__('os')")([delayed(neg)(1)])

    def test_unknown_ones_are_refused(self):
        with pytest.raises(TypeError, match="unexpected"):
            Parallel(2, colour="red")

    def test_threads_of_libraries_are_limited(self):
        def threads():
            return os.environ["OMP_NUM_THREADS"]

        assert Parallel(2, inner_max_num_threads=3)(delayed(threads)() for _ in range(2)) == ["3", "3"]
        assert "OMP_NUM_THREADS" not in os.environ or os.environ["OMP_NUM_THREADS"] == "1"


def threads_of_blas(*_):
    found = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    assert found, "numpy has a BLAS library that can be asked"
    return set(found)


class TestThreadsOfLoadedLibraries:
    """numpy is loaded here, and its BLAS library has all processors for itself."""

    @pytest.mark.parametrize("wanted", [1, 3])
    def test_they_are_as_many_as_was_said(self, wanted):
        before = threads_of_blas()
        parallel = Parallel(2, inner_max_num_threads=wanted)
        assert parallel(delayed(threads_of_blas)() for _ in range(4)) == [{wanted}] * 4
        assert threads_of_blas() == before

    def test_they_are_a_workers_share_by_default(self, monkeypatch):
        for name in _inner_threads.VARIABLES:
            monkeypatch.delenv(name, raising=False)
        share = max(phalanx.cpu_count() // 2, 1)
        assert Parallel(2)(delayed(threads_of_blas)() for _ in range(4)) == [{share}] * 4

    def test_they_are_limited_in_a_library_that_only_a_task_loads(self, tmp_path):
        program = """
            import sys
            from phalanx import Parallel, delayed

            def threads():
                assert "numpy" not in sys.modules
                import numpy
                from threadpoolctl import threadpool_info
                found = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
                return found

            print(Parallel(2, inner_max_num_threads=1)(delayed(threads)() for _ in range(1)))
        """
        assert run_script(tmp_path, program).stdout == "[{1}]\n"


class TestDelayed:
    def test_it_captures_a_call(self):
        assert delayed(add)(1, scale=2) == (add, (1,), {"scale": 2})

    def test_it_looks_like_its_function(self):
        wrapped = delayed(targets.square)
        assert wrapped.__name__ == "square" and wrapped.__wrapped__ is targets.square
