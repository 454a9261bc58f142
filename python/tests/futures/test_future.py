"""`phalanx.futures.Future` against the standard library's: whatever holds for one holds for the other."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import threading
import time
import weakref
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, as_completed, wait

import pytest
import targets
from phalanx import ProcessPoolExecutor
from phalanx.futures import CancelledError, Future, InvalidStateError
from support import wait_until


@pytest.fixture(params=[concurrent.futures.Future, Future], ids=["standard", "phalanx"])
def kind(request):
    return request.param


def finished(kind, value):
    future = kind()
    future.set_result(value)
    return future


def later(action):
    thread = threading.Thread(target=lambda: (time.sleep(0.05), action()))
    thread.start()
    return thread


def test_it_is_one_of_the_standard_library():
    assert issubclass(Future, concurrent.futures.Future)
    assert isinstance(Future(), concurrent.futures.Future)
    assert Future[int] is not None


class TestStates:
    def test_of_a_call_that_returns(self, kind):
        future = kind()
        assert (future.done(), future.running(), future.cancelled()) == (False, False, False)
        assert future.set_running_or_notify_cancel() is True
        assert (future.done(), future.running(), future.cancel()) == (False, True, False)
        future.set_result("value")
        assert (future.done(), future.running(), future.cancel()) == (True, False, False)
        assert (future.result(), future.exception()) == ("value", None)

    def test_of_a_call_that_raises(self, kind):
        future, error = kind(), ValueError("text")
        future.set_exception(error)
        assert future.exception() is error
        for _ in range(2):
            with pytest.raises(ValueError, match="text") as raised:
                future.result()
            assert raised.value is error

    def test_of_one_that_is_cancelled(self, kind):
        future = kind()
        assert future.cancel() is True
        assert future.cancel() is True
        assert (future.cancelled(), future.done(), future.running()) == (True, True, False)
        for outcome in (future.result, future.exception):
            with pytest.raises(CancelledError):
                outcome()
        assert future.set_running_or_notify_cancel() is False

    def test_what_comes_too_late_is_refused(self, kind):
        for future in (finished(kind, 1), kind()):
            if not future.done():
                future.cancel()
            with pytest.raises(InvalidStateError):
                future.set_result(2)
            with pytest.raises(InvalidStateError):
                future.set_exception(ValueError())

    def test_a_second_beginning_is_refused(self, kind, caplog):
        future = kind()
        future.set_running_or_notify_cancel()
        with caplog.at_level(logging.CRITICAL), pytest.raises(RuntimeError, match="unexpected state"):
            future.set_running_or_notify_cancel()
        assert "in unexpected state: RUNNING" in caplog.text

    def test_in_words(self, kind):
        future = kind()
        assert repr(future).endswith("state=pending>")
        future.set_running_or_notify_cancel()
        assert repr(future).endswith("state=running>")
        assert repr(finished(kind, 5)).endswith("state=finished returned int>")
        future.set_exception(ValueError())
        assert repr(future).endswith("state=finished raised ValueError>")
        assert repr(future).startswith("<Future at 0x")


class TestWaiting:
    def test_for_the_result(self, kind):
        future = kind()
        thread = later(lambda: future.set_result(3))
        assert future.result(60) == 3
        thread.join()

    def test_for_the_exception(self, kind):
        future = kind()
        thread = later(lambda: future.set_exception(KeyError()))
        assert isinstance(future.exception(60), KeyError)
        thread.join()

    def test_ends_when_it_is_cancelled(self, kind):
        future = kind()
        thread = later(future.cancel)
        with pytest.raises(CancelledError):
            future.result(60)
        thread.join()

    @pytest.mark.parametrize("timeout", [0, -1, 0.02])
    def test_has_a_time_limit(self, kind, timeout):
        for outcome in (kind().result, kind().exception):
            with pytest.raises(concurrent.futures.TimeoutError):
                outcome(timeout)

    def test_of_many_threads(self, kind):
        future, seen = kind(), []
        threads = [threading.Thread(target=lambda: seen.append(future.result(60))) for _ in range(10)]
        for thread in threads:
            thread.start()
        future.set_result(1)
        for thread in threads:
            thread.join(60)
        assert seen == [1] * 10


class TestCallbacks:
    def test_in_order_and_at_once_when_it_is_late(self, kind):
        future, seen = kind(), []
        future.add_done_callback(lambda f: seen.append((1, f)))
        future.add_done_callback(lambda f: seen.append((2, f)))
        future.set_result(None)
        future.add_done_callback(lambda f: seen.append((3, f)))
        assert seen == [(1, future), (2, future), (3, future)]

    def test_of_one_that_is_cancelled(self, kind):
        future, seen = kind(), []
        future.add_done_callback(seen.append)
        future.cancel()
        assert seen == [future]

    def test_what_they_raise_is_logged(self, kind, caplog):
        future, seen = kind(), []

        def wrong(_):
            raise ValueError("from the callback")

        future.add_done_callback(wrong)
        future.add_done_callback(seen.append)
        with caplog.at_level(logging.ERROR):
            future.set_result(1)
            future.add_done_callback(wrong)
        assert caplog.text.count("exception calling callback for <Future at") == 2
        assert caplog.text.count("ValueError: from the callback") == 2
        assert seen == [future]

    def test_may_ask_the_future(self, kind):
        future, seen = kind(), []
        future.add_done_callback(lambda f: seen.append((f.result(), f.cancel(), f.done())))
        future.set_result(1)
        assert seen == [(1, False, True)]


class TestTheFunctionsOfTheStandardLibrary:
    def test_as_completed(self, kind):
        futures = [kind() for _ in range(20)]
        futures[3].set_result(3)
        thread = later(lambda: [f.set_result(n) for n, f in enumerate(futures) if n != 3])
        assert {f.result() for f in as_completed([*futures, futures[0]], timeout=60)} == set(range(20))
        thread.join()
        assert not any(f._waiters for f in futures)

    def test_as_completed_has_a_time_limit(self, kind):
        futures = [finished(kind, 1), kind()]
        seen = []
        with pytest.raises(concurrent.futures.TimeoutError, match=r"1 \(of 2\) futures unfinished"):
            seen.extend(as_completed(futures, timeout=0.02))
        assert not any(f._waiters for f in futures)

    def test_wait(self, kind):
        done, failed, open_ = finished(kind, 1), kind(), kind()
        thread = later(lambda: failed.set_exception(ValueError()))
        assert wait([open_, done], return_when=FIRST_COMPLETED) == ({done}, {open_})
        assert wait([open_, failed], return_when=FIRST_EXCEPTION, timeout=60) == ({failed}, {open_})
        assert wait([done, failed], return_when=ALL_COMPLETED) == ({done, failed}, set())
        assert wait([done, open_], timeout=0.02) == ({done}, {open_})
        thread.join()

    def test_cancelled_ones_are_told_of(self, kind):
        futures = [kind(), kind()]
        thread = later(lambda: [(f.cancel(), f.set_running_or_notify_cancel()) for f in futures])
        assert set(as_completed(futures, timeout=60)) == set(futures)
        thread.join()

    def test_several_at_a_time_wait_for_both_kinds(self):
        """The order in which conditions are acquired is by address: no lock may be shared by several."""
        with ProcessPoolExecutor(2) as processes, concurrent.futures.ThreadPoolExecutor(2) as threads:
            calls = [
                executor.submit(targets.square, number)
                for number in range(200)
                for executor in (processes, threads)
            ]
            sums = []
            waiters = [
                threading.Thread(target=lambda: sums.append(sum(f.result() for f in as_completed(calls))))
                for _ in range(4)
            ]
            for waiter in waiters:
                waiter.start()
            for waiter in waiters:
                waiter.join(60)
        assert sums == [2 * sum(n * n for n in range(200))] * 4

    def test_asyncio_wraps_it(self, kind):
        async def work():
            future = kind()
            thread = later(lambda: future.set_result(5))
            try:
                return await asyncio.wait_for(asyncio.wrap_future(future), 60)
            finally:
                thread.join()

        assert asyncio.run(work()) == 5

    def test_cancelling_in_asyncio_cancels_it(self, kind):
        async def work():
            future = kind()
            wrapped = asyncio.wrap_future(future)
            wrapped.cancel()
            await asyncio.sleep(0)
            return future.cancelled()

        assert asyncio.run(work()) is True


class TestItsInside:
    """What the standard library's functions, and programs that know its inside, touch."""

    def test_holding_it_keeps_the_outcome_out(self, kind):
        future = kind()
        with future._condition, future._condition:
            thread = threading.Thread(target=future.set_result, args=(1,))
            waiting = finished(kind, [])
            future._waiters.append(_Waiter(waiting))
            thread.start()
            time.sleep(0.05)
            assert not future.done()
        thread.join(60)
        assert future.result(60) == 1
        assert waiting.result() == [("result", future)]

    def test_only_the_holder_lets_go(self, kind):
        future = kind()
        for misuse in (future._condition.release, future._condition.notify_all, future._condition.wait):
            with pytest.raises(RuntimeError):
                misuse()

    def test_waiting_for_a_notice(self, kind):
        future, woken = kind(), []

        def sleep():
            with future._condition:
                woken.append(future._condition.wait(60))

        thread = threading.Thread(target=sleep)
        thread.start()

        def notify():
            with future._condition:
                future._condition.notify()
            return bool(woken)

        wait_until(notify, "the sleeper is woken")
        thread.join(60)
        assert woken == [True]
        with future._condition:
            assert future._condition.wait(0.01) is False
            assert future._condition.wait_for(lambda: True, 1) is True
            assert future._condition.wait_for(lambda: False, 0.01) is False

    def test_its_parts_can_be_set(self, kind):
        future = kind()
        future._state = "FINISHED"
        future._result = 7
        assert future.result(0) == 7
        future._exception = ValueError("set")
        with pytest.raises(ValueError, match="set"):
            future.result(0)

    def test_programs_can_add_to_it(self, kind):
        future = kind()
        future.own = "attribute"
        assert future.own == "attribute"
        assert weakref.ref(future)() is future


def test_a_state_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no such state"):
        Future()._state = "ASLEEP"


class _Waiter:
    def __init__(self, future):
        self.seen = future.result()

    def add_result(self, future):
        self.seen.append(("result", future))

    def add_exception(self, future):
        self.seen.append(("exception", future))

    def add_cancelled(self, future):
        self.seen.append(("cancelled", future))


def test_rings_of_references_are_collected(kind):
    future = kind()
    future.add_done_callback(lambda f, ring=future: None)
    future.set_result([future])
    gone = weakref.ref(future)
    del future
    gc.collect()
    assert gone() is None


def test_two_threads_that_complete_one_at_once(kind):
    for _ in range(200):
        future, told = kind(), []
        barrier = threading.Barrier(2)

        def complete(future=future, told=told, barrier=barrier):
            barrier.wait(60)
            try:
                future.set_result(1)
            except InvalidStateError:
                told.append("late")

        threads = [threading.Thread(target=complete) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert told == ["late"]
