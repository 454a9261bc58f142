"""Inputs that never end: nothing hangs, and memory stays bounded, whoever reads them."""

from __future__ import annotations

import itertools
import resource
import signal
import time

import pytest
import targets
from support import START_METHODS, Script, memory_group, mp, phalanx_only, run_script

pytestmark = phalanx_only


def test_endless_inputs_are_read_a_little_ahead(default_ctx):
    read = itertools.count()
    with default_ctx.Pool(2) as pool:
        results = pool.imap(targets.square, read)
        assert [next(results) for _ in range(100)] == [n * n for n in range(100)]
        time.sleep(0.3)
        assert next(read) < 20_000
        results = pool.imap(targets.identity, (bytes(100_000) for _ in itertools.count()))
        before = next(results) and shared_kibibytes()
        for _ in range(2000):
            next(results)
        assert shared_kibibytes() - before < 200 << 10
    pool.join()


READERS = {
    "imap": lambda pool, executor, items: pool.imap(targets.identity, items),
    "imap_unordered": lambda pool, executor, items: pool.imap_unordered(targets.identity, items),
    "Executor.map": lambda pool, executor, items: executor.map(targets.identity, items, buffersize=10),
    "Parallel": lambda pool, executor, items: mp.Parallel(2, return_as="generator")(
        mp.delayed(targets.identity)(item) for item in items
    ),
}


@pytest.mark.filterwarnings("ignore:.*have been cancelled|.*not used:UserWarning")
@pytest.mark.parametrize("reader", READERS)
def test_endless_inputs_everywhere(default_ctx, reader):
    """While the caller takes results, and while it takes none: no more is read than a window."""
    from phalanx import _crews

    read = itertools.count()
    with default_ctx.Pool(2) as pool, mp.ProcessPoolExecutor(2, default_ctx) as executor:
        results = READERS[reader](pool, executor, read)
        for _ in range(50):
            next(results)
        time.sleep(0.3)
        assert next(read) < 20_000
        if hasattr(results, "close"):
            results.close()
    pool.join()
    _crews.end_all()


def test_an_endless_input_of_an_executor(default_ctx):
    """Without `buffersize` it is taken for one that ends; it is given up after a million calls."""
    read = itertools.count()
    with mp.ProcessPoolExecutor(2, default_ctx) as executor:
        results = executor.map(targets.identity, read)
        assert next(read) < 1_100_000
        assert [next(results) for _ in range(1000)] == list(range(1000))
        results.close()


def shared_kibibytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssShmem"))


def little_address_space():
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))


@pytest.fixture
def little_memory():
    with memory_group(600 << 20) as prefix:
        yield prefix


#: Who needs all of an input, or all of its results, before it can return.
NEEDS_ALL = {
    "map": "pool.map(ident, endless())",
    "starmap": "pool.starmap(ident, zip(endless()))",
    "map_async": "pool.map_async(ident, endless())",
    "starmap_async": "pool.starmap_async(ident, zip(endless()))",
    "map with options": "pool.options(retries=1).map(ident, endless())",
    "map_async with options": "pool.options(retries=1).map_async(ident, endless())",
    "map of threads": "threads.map(ident, endless())",
    "Parallel": "mp.Parallel(2)(calls())",
    "Parallel in this process": "mp.Parallel(1)(calls())",
    "Parallel of threads": "mp.Parallel(2, prefer='threads')(calls())",
    "Parallel that dispatches all": "mp.Parallel(2, pre_dispatch='all')(calls())",
    "Parallel that is watched": "mp.Parallel(2, verbose=1)(calls())",
    "Parallel with options": "mp.Parallel(2).options(retries=1)(calls())",
}


@pytest.mark.parametrize("reader", NEEDS_ALL)
def test_who_needs_all_of_an_endless_input_says_so(tmp_path, request, reader):
    """An error before memory ends, which says how much was read; the workers are as good as before."""
    if "Parallel" in reader:
        # Results that overtake others need addresses too, which may be the first to run out.
        little = {"prefix": request.getfixturevalue("little_memory")}
    else:
        little = {"limits": little_address_space}
    done = run_script(
        tmp_path,
        """
        import itertools, sys
        import LIBRARY as mp

        def ident(item):
            return item

        def endless():
            return (bytes(10_000) for _ in itertools.count())

        def calls():
            return (mp.delayed(ident)(item) for item in endless())

        if __name__ == "__main__":
            with mp.Pool(2) as pool, mp.pool.ThreadPool(2) as threads:
                try:
                    eval(sys.argv[1])
                except mp.InputTooLongError as error:
                    assert isinstance(error, MemoryError)
                    assert error.count > 1000, error
                    assert error.memory > 64 << 20, error
                    assert f"after {error.count} items" in str(error)
                    assert "if it never ends, use" in str(error)
                    print("too long")
                assert pool.map(ident, range(100)) == threads.map(ident, range(100)) == list(range(100))
            assert mp.Parallel(2)(mp.delayed(ident)(number) for number in range(100)) == list(range(100))
        """,
        NEEDS_ALL[reader],
        **little,
    )
    assert done.stdout.splitlines()[-1] == "too long"


@pytest.mark.parametrize("filling", ["manager.list(count())", "rows.extend(count())", "known.update(pairs)"])
def test_containers_of_a_manager_refuse_what_has_no_end(tmp_path, little_memory, filling):
    """Whoever reads it, the manager's server or this process, says so; what was there stays."""
    done = run_script(
        tmp_path,
        """
        import sys
        from itertools import count
        import LIBRARY as mp

        if __name__ == "__main__":
            with mp.Manager() as manager:
                rows, known = manager.list([1]), manager.dict(one=1)
                pairs = zip(count(), count())
                try:
                    eval(sys.argv[1])
                except (mp.InputTooLongError, mp.managers.RemoteError) as error:
                    # A manager that cannot make an object sends the traceback.
                    assert "of the input of a shared" in str(error), error
                    print("too long")
                assert list(rows) == [1] and dict(known) == {"one": 1}
        """,
        filling,
        prefix=little_memory,
    )
    assert done.stdout.splitlines()[-1] == "too long"


#: Streams, and what ends those who would run the rest of them.
CLOSED = {
    "imap": ("pool.imap(ident, endless())", "pool.close(), pool.join()"),
    "imap_unordered": ("pool.imap_unordered(ident, endless())", "pool.close(), pool.join()"),
    "imap with options": ("pool.options(retries=1).imap(ident, endless())", "pool.close(), pool.join()"),
    "imap of threads": ("threads.imap(ident, endless())", "threads.close(), threads.join()"),
    "Executor.map": ("executor.map(ident, endless())", "executor.shutdown()"),
    "Executor.map with options": (
        "executor.options(retries=1).map(ident, endless())",
        "executor.shutdown()",
    ),
}


@pytest.mark.parametrize("reader", CLOSED)
def test_the_end_of_who_reads_an_endless_input(tmp_path, little_memory, reader):
    """What is left is to be run, as everywhere; of an endless input so much as there is memory for."""
    done = run_script(
        tmp_path,
        """
        import itertools, sys
        import LIBRARY as mp

        def ident(item):
            return item

        def endless():
            return (bytes(10_000) for _ in itertools.count())

        if __name__ == "__main__":
            with mp.ProcessPoolExecutor(2) as executor, mp.Pool(2) as pool, mp.pool.ThreadPool(2) as threads:
                results = eval(sys.argv[1])
                eval(sys.argv[2])
                count = 0
                try:
                    for result in results:
                        assert result == bytes(10_000)
                        count += 1
                except mp.InputTooLongError as error:
                    # As they come, the error may come before the last.
                    is_early = "unordered" in sys.argv[1]
                    assert 1000 < count <= error.count if is_early else 1000 < count == error.count
                    print("too long")
        """,
        *CLOSED[reader],
        prefix=little_memory,
    )
    assert done.stdout.splitlines()[-1] == "too long"


@pytest.mark.parametrize("results", ["small", "large"])
def test_results_that_nobody_fetches_are_bounded(tmp_path, little_memory, results):
    """An executor runs ahead of who fetches, as long as there is memory; then it waits, and goes on."""
    done = run_script(
        tmp_path,
        """
        import itertools, sys, time
        import LIBRARY as mp
        def ident(item):
            return item

        def enlarged(number):
            return bytes(1_000_000)

        def used():
            with open("/proc/self/statm") as statm:
                mapped, resident, shared = statm.read().split()[:3]
            return (int(resident) - int(shared)) * 4096 + mp._core.arena_census()[3]

        if __name__ == "__main__":
            function, least = {"small": (ident, 100_000), "large": (enlarged, 20)}[sys.argv[1]]
            with mp.ProcessPoolExecutor(2) as executor:
                read = itertools.count()
                before = used()
                results = executor.map(function, read)
                time.sleep(1)
                print(used() - before < 300 << 20)
                fetched = [next(results) for _ in range(least)]
                print(fetched == list(map(function, range(least))))
                results.close()
        """,
        results,
        prefix=little_memory,
    )
    assert done.stdout.split() == ["True", "True"]


@pytest.mark.parametrize("terms", ["executor", "executor.options(retries=1)"])
def test_long_inputs_are_run_to_their_end(tmp_path, terms):
    """Also by an executor of which nobody fetches results, and which ends with its with statement."""
    count = 1_100_000 if terms == "executor" else 30_000
    done = run_script(
        tmp_path,
        """
        import os, sys
        import LIBRARY as mp

        def mark(_):
            os.write(marks, b"x")

        if __name__ == "__main__":
            marks = os.open(sys.argv[3], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            mp.set_start_method("fork")
            mp.futures._MOST_AT_ONCE = min(10_000, int(sys.argv[2]))
            with mp.ProcessPoolExecutor(2) as executor:
                eval(sys.argv[1]).map(mark, iter(range(int(sys.argv[2]))))
            print(os.path.getsize(sys.argv[3]))
        """,
        terms,
        str(count),
        str(tmp_path / "marks"),
    )
    assert int(done.stdout) == count


@pytest.mark.parametrize("method", START_METHODS)
def test_ctrl_c_while_an_endless_input_is_read(tmp_path, method):
    """The iterator is written in C: no code of Python's runs that would see the signal."""
    source = """
        import itertools, sys
        import LIBRARY as mp

        if __name__ == "__main__":
            with mp.get_context(sys.argv[1]).Pool(2) as pool:
                print(pool.map(abs, range(-2, 0)), flush=True)
                try:
                    pool.map(abs, itertools.count())
                except KeyboardInterrupt:
                    print("interrupted")
        """
    with Script(tmp_path, source, method) as script:
        assert script.line() == "[2, 1]"
        time.sleep(0.3)
        script.process.send_signal(signal.SIGINT)
        done = script.finish()
    assert done.stdout == "interrupted\n"
